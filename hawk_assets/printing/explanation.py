"""One weight of the book, taken apart."""

from collections.abc import Mapping
from typing import Any

from hawk_assets.printing.console import new_table, out


def print_explanation(weight: Mapping[str, Any]) -> None:
    """:param weight: as ``commands.explain.explain`` returns it"""
    out.print(
        f"[bold]{weight['ticker']} {weight['weight']:+.4%}[/] of the book at the close of "
        f"{weight['session']}; model weights of {weight['month']} by {weight['fallback']}: "
        f"{weight['status']}\n"
    )
    columns = ("model", "part", "share", "insight", "signal", "decided", "prices used")
    table = new_table(*columns, left=("model", "prices used"))
    for row in weight["models"]:
        bars = row["bars"]
        used = f"{len(bars)} from {bars[0]['date']} to {bars[-1]['date']}" if bars else "no bar"
        numbers = (f"{row[c]:+.4%}" for c in ("part", "share", "insight_weight"))
        table.add_row(row["model"], *numbers, f"{row['signal']:+.3f}", row["decided"], used)
    out.print(table)
    out.print("\n[bold]What the signals saw[/]")
    for row in weight["models"]:
        seen = ", ".join(f"{k} {v:.10g}" for k, v in row["state"].items() if v is not None)
        held = row["last_close"] != row["decided"]
        kept = f" (of {row['last_close']}, the ticker's last close; its signal is held)" * held
        out.print(f"{row['model']}: {seen or 'no bar on that day, the last signal is held'}{kept}")
    out.print("[dim]part = share x insight; --json adds every row of prices behind it[/]")
