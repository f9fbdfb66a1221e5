"""The latest book: pending orders, and the models behind it."""

from collections.abc import Mapping
from typing import Any

from hawk_assets.aggregation.eligibility import NO_RECORD
from hawk_assets.aggregation.optimisation import NO_SOLVER, SOLVED
from hawk_assets.aggregation.parameters import BENCHMARKS
from hawk_assets.printing.console import new_table, one_line, out, styled

METRICS = ("total_return", "annualized_return", "sharpe_ratio", "max_drawdown", "turnover")
RATIOS = ("sharpe_ratio", "turnover")


def print_book(book: Mapping[str, Any]) -> None:
    """:param book: as ``commands.show.latest_book`` returns it"""
    out.print(
        styled(
            (f"Book at the close of {book['session']}", "bold"),
            *[", ", (one_line(book["behind"]), "red")] * bool(book["behind"]),
            ", to be traded at the next close of each ticker",
        ),
        soft_wrap=True,
    )
    out.print(f"prices: {one_line(book['prices'] or 'not recorded')}", soft_wrap=True)
    if book["held_on"] != book["session"]:
        out.print(styled((f"held is as of {book['held_on'] or 'no session yet'}", "yellow")))
    behind = any(row["last_close"] != book["session"] for row in book["orders"])
    table = new_table(
        "ticker", "target", "held", "order", *["last close"] * behind, left=("ticker",)
    )
    for row in book["orders"]:
        numbers = (f"{row[c]:+.2%}" for c in ("target", "held", "order"))
        table.add_row(row["ticker"], *numbers, *[row["last_close"] or "-"] * behind)
    out.print(table)
    out.print()
    out.print(
        styled((f"Model weights of {book['month']}", "bold"), f": {describe_weights(book)}"),
        soft_wrap=True,
    )
    columns = [name.replace("_", " ") for name in (*BENCHMARKS, *METRICS)]
    table = new_table("model", "weight", *columns, "note", left=("model", "note"))
    for row in book["models"]:
        shares = ("" if row[c] is None else f"{row[c]:.1%}" for c in ("weight", *BENCHMARKS))
        metrics = (_metric(name, row["metrics"].get(name)) for name in METRICS)
        table.add_row(row["model"], *shares, *metrics, row["reason"])
    out.print(table)
    out.print(styled(("metrics since the start, simulated after costs; not a forecast", "dim")))


def describe_weights(how: Mapping[str, Any]) -> str:
    """How the weights of a month came about.

    :param how: ``objective``, ``fallback``, ``status`` and ``solver`` of the table ``weights``
    """
    by = "" if how["solver"] == NO_SOLVER else f", solved by {how['solver']}"
    status, _, raised = str(how["status"]).partition("; ")
    also = f" ({raised})" if raised else ""
    if how["fallback"] == how["objective"]:
        solved = "" if status == SOLVED else f" ({status})"
        return f"{how['objective']}{solved}{by}{also}"
    if status == NO_RECORD:
        why = f"no model has a record that is long enough for {how['objective']}"
    else:
        why = f"{how['objective']} has no solution ({status})"
    return f"{how['fallback']}{by}, because {why}{also}"


def _metric(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name in RATIOS else f"{value:.1%}"
