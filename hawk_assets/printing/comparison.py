"""The objectives side by side."""

from typing import TYPE_CHECKING

from hawk_assets.printing.console import new_table, out, styled

if TYPE_CHECKING:
    from hawk_assets.aggregation.comparison import Comparison


def print_comparison(found: "Comparison") -> None:
    out.print(
        styled(
            (f"{found.models} models, {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}", "bold"),
            f", after costs of {found.cost_bps:g} bp per change of weight",
        )
    )
    names = ("return", "volatility", "sharpe", "s.e.", "to equal", "s.e.", "p", "turnover")
    table = new_table("objective", *names, "months", left=("objective", "months"))
    for row in found.rows:
        apart = row.difference.value, row.difference.standard_error, row.p_value
        table.add_row(
            row.objective,
            f"{row.annualized_return:.1%}",
            f"{row.annualized_volatility:.1%}",
            f"{row.sharpe.value:.2f}",
            f"{row.sharpe.standard_error:.2f}",
            *(("", "", "") if row.objective == "equal_weight" else (f"{x:.2f}" for x in apart)),
            f"{row.turnover:.2f}",
            ", ".join(f"{name} {count}" for name, count in row.months_per_fallback.items()),
        )
    out.print(table)
    out.print(f"\n{found.remark}", soft_wrap=True)
    out.print("[dim]turnover of model weights, one-sided, per year; p adjusted by Holm[/]")
