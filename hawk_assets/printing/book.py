"""The latest book: pending orders, and the models behind it."""

from collections.abc import Mapping
from typing import Any

from hawk_assets.aggregation.parameters import BENCHMARKS
from hawk_assets.printing.console import new_table, out

METRICS = ("total_return", "annualized_return", "sharpe_ratio", "max_drawdown", "turnover")
RATIOS = ("sharpe_ratio", "turnover")


def print_book(book: Mapping[str, Any]) -> None:
    """:param book: as ``commands.show.latest_book`` returns it"""
    out.print(
        f"[bold]Book at the close of {book['session']}[/], "
        "to be traded at the next close of each ticker"
    )
    if book["held_on"] != book["session"]:
        out.print(f"[yellow]held is as of {book['held_on'] or 'no session yet'}[/]")
    behind = any(row["last_close"] != book["session"] for row in book["orders"])
    table = new_table(
        "ticker", "target", "held", "order", *["last close"] * behind, left=("ticker",)
    )
    for row in book["orders"]:
        numbers = (f"{row[c]:+.2%}" for c in ("target", "held", "order"))
        table.add_row(row["ticker"], *numbers, *[row["last_close"] or "-"] * behind)
    out.print(table)
    out.print(
        f"\n[bold]Model weights of {book['month']}[/] "
        f"({book['fallback']} by {book['solver']}: {book['status']})"
    )
    columns = [name.replace("_", " ") for name in (*BENCHMARKS, *METRICS)]
    table = new_table("model", "weight", *columns, "note", left=("model", "note"))
    for row in book["models"]:
        shares = ("" if row[c] is None else f"{row[c]:.1%}" for c in ("weight", *BENCHMARKS))
        metrics = (_metric(name, row["metrics"].get(name)) for name in METRICS)
        table.add_row(row["model"], *shares, *metrics, row["reason"])
    out.print(table)
    out.print("[dim]metrics since the start, simulated after costs; not a forecast[/]")


def _metric(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name in RATIOS else f"{value:.1%}"
