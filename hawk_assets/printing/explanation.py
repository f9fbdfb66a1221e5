"""One weight of the book, taken apart."""

from collections.abc import Mapping
from typing import Any

from hawk_assets.printing.book import describe_weights
from hawk_assets.printing.console import new_table, one_line, out, styled


def print_explanation(weight: Mapping[str, Any]) -> None:
    """:param weight: as ``commands.explain.explain`` returns it"""
    out.print(
        styled(
            (f"{one_line(weight['ticker'])} {weight['weight']:+.4%}", "bold"),
            f" of the book at the close of {weight['session']}; "
            f"model weights of {weight['month']}: {describe_weights(weight)}",
        ),
        soft_wrap=True,
    )
    out.print(f"prices: {one_line(weight['prices'] or 'not recorded')}\n", soft_wrap=True)
    columns = ("model", "part", "share", "insight", "of", "signal", "since", "prices used")
    table = new_table(*columns, left=("model", "prices used"))
    for row in weight["models"]:
        bars = row["bars"]
        used = f"{len(bars)} from {bars[0]['date']} to {bars[-1]['date']}" if bars else "no bar"
        numbers = (f"{row[c]:+.4%}" for c in ("part", "share", "insight_weight"))
        since = row["signal_since"] or "over a year"
        table.add_row(row["model"], *numbers, row["decided"], f"{row['signal']:+.3f}", since, used)
    out.print(table)
    out.print("\nWhat the signals saw", style="bold")
    for row in weight["models"]:
        seen = ", ".join(f"{k} {v:.10g}" for k, v in row["state"].items() if v is not None)
        held = row["last_close"] != row["decided"]
        kept = f" (of {row['last_close']}, the ticker's last close; its signal is held)" * held
        out.print(f"{row['model']}: {seen or 'no bar on that day, the last signal is held'}{kept}")
    out.print(
        styled(
            (
                "part = share x insight; since = the first session with this signal; "
                "--json adds every row of prices behind it",
                "dim",
            )
        )
    )
