"""Every objective out of sample on the same models and days, and whether the results differ."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.aggregation.conic import Solve
from hawk_assets.aggregation.eligibility import (
    EligibleSample,
    ReturnPanel,
    align_returns,
    eligible_samples,
)
from hawk_assets.aggregation.fallbacks import Allocation, allocate
from hawk_assets.aggregation.inference import (
    SharpeEstimate,
    adjust_p_values,
    sharpe_difference,
    sharpe_ratio,
)
from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import count_sessions_per_year
from hawk_assets.core.types import Array, Indices

REFERENCE = "equal_weight"
LEVEL = 0.05


@dataclass(frozen=True)
class ComparisonRow:
    """The results of one objective, after costs.

    :param annualized_return: the mean daily return times the sessions of a year
    :param annualized_volatility: a fraction
    :param sharpe: annualised, without a risk-free rate
    :param difference: the Sharpe ratio less that of equal weight
    :param p_value: of that difference, adjusted for the number of objectives
    :param turnover: of model weights, one-sided, per year
    :param months_per_fallback: how many months have weights of the objective and of each fallback
    """

    objective: str
    annualized_return: float
    annualized_volatility: float
    sharpe: SharpeEstimate
    difference: SharpeEstimate
    p_value: float
    turnover: float
    months_per_fallback: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """:param first: the day of the first return
    :param last: the day of the last return
    :param cost_bps: the cost of a change of weight, in basis points of the amount
    :param rows: sorted by Sharpe ratio, descending
    :param remark: which differences are significant, in words
    """

    first: pd.Timestamp
    last: pd.Timestamp
    sessions: int
    models: int
    cost_bps: float
    rows: list[ComparisonRow]
    remark: str


def compare(
    performance: Mapping[str, pd.DataFrame],
    months: pd.DatetimeIndex,
    first: pd.Timestamp,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    execution_lag: int,
    solve: Solve,
    sessions_per_year: float | None = None,
) -> Comparison:
    """Walk each objective through the months as production does, each with its own held weights.

    The weights of a month use only what is known before it. A book decided at a close is traded
    ``execution_lag`` sessions later and earns from the next session on; the weights of a month take
    effect then. The share of a model without a return is cash for the day. A change of weights
    costs ``cost_bps`` of its amount, for buying and for selling, on the day on which it takes
    effect. The models' returns already include the cost of their own trades.

    :param performance: per model, date and daily_return since the start of the history
    :param months: all months from the first one to the last compared, adjacent, ascending
    :param first: the first month compared; months before any model has a record are skipped
    :param sessions_per_year: for annual figures; None counts them
    :return: a failed objective is included, with the results of its fallbacks
    :raises MissingMonthError: no model has a record, or there are too few days to compare
    """
    panel = align_returns(performance)
    samples = list(eligible_samples(panel, months, parameters))
    compared = np.array([sample.eligible.any() for sample in samples], dtype=bool)
    compared &= months >= first
    effective = _months_in_effect(panel, months, execution_lag + 1)
    counted = (effective >= 0) & compared[effective]
    days = panel.sessions[counted]
    year = sessions_per_year or count_sessions_per_year(days)
    if len(days) < year:
        raise MissingMonthError(
            f"{len(days)} sessions with weights from a record: less than a year to compare; "
            "run hawk backfill over a longer history"
        )
    family = {name: families[name] for name in sorted(performance)}
    returns, figures = {}, {}
    for objective in OBJECTIVES:
        allocations = _walk_forward(objective, samples, family, parameters, solve)
        weights = np.array([allocation.weights for allocation in allocations])
        change = np.abs(np.diff(weights, axis=0, prepend=weights[:1])).sum(axis=1)
        applied = weights[np.maximum(effective, 0)]
        daily = (applied * np.nan_to_num(panel.returns)).sum(axis=1)
        traded = np.abs(np.diff(applied, axis=0)).sum(axis=1)
        daily[1:] -= traded * parameters.cost_bps * 1e-4
        returns[objective] = daily[counted]
        turnover = 12.0 * change[compared].mean() / 2.0
        fallbacks = Counter(a.fallback for a, c in zip(allocations, compared, strict=True) if c)
        figures[objective] = float(turnover), dict(fallbacks.most_common())
    rows = _build_rows(returns, figures, year)
    return Comparison(
        pd.Timestamp(days[0]),
        pd.Timestamp(days[-1]),
        len(days),
        len(performance),
        parameters.cost_bps,
        rows,
        _summarise(rows),
    )


def _walk_forward(
    objective: str,
    samples: list[EligibleSample],
    family: Mapping[str, str],
    parameters: AggregationParameters,
    solve: Solve,
) -> list[Allocation]:
    held, allocations = np.zeros(len(family)), []
    for sample in samples:
        allocations.append(allocate(objective, sample, held, family, parameters, solve))
        held = allocations[-1].weights
    return allocations


def _months_in_effect(panel: ReturnPanel, months: pd.DatetimeIndex, delay: int) -> Indices:
    """For each session the month whose weights earn its return, as a position in ``months``.

    -1 before the weights of the first month take effect, and after the last of ``months``.
    """
    month = np.searchsorted(months.to_numpy("datetime64[ns]"), panel.sessions, side="right") - 1
    after = panel.sessions >= (months[-1] + pd.DateOffset(months=1)).to_datetime64()
    decided = np.concatenate([np.full(delay, -1), month])[: len(month)]
    return np.where(after, -1, decided)


def _build_rows(
    returns: Mapping[str, Array], figures: Mapping[str, tuple[float, dict[str, int]]], year: float
) -> list[ComparisonRow]:
    others = [objective for objective in returns if objective != REFERENCE]
    differences = {o: sharpe_difference(returns[o], returns[REFERENCE], year) for o in returns}
    p_values = adjust_p_values([differences[o].p_value for o in others])
    adjusted = dict(zip(others, p_values, strict=True))
    rows = [
        ComparisonRow(
            objective,
            float(daily.mean()) * year,
            float(daily.std()) * float(np.sqrt(year)),
            sharpe_ratio(daily, year),
            differences[objective],
            adjusted.get(objective, 1.0),
            *figures[objective],
        )
        for objective, daily in returns.items()
    ]
    return sorted(rows, key=lambda row: -row.sharpe.value)


def _summarise(rows: list[ComparisonRow]) -> str:
    significant = [row for row in rows if row.p_value < LEVEL]
    error = float(np.mean([row.sharpe.standard_error for row in rows]))
    precision = f"The standard error of a Sharpe ratio here is about {error:.2f}."
    if not significant:
        return (
            f"None of {len(rows) - 1} objectives differs significantly from equal weight at the "
            f"{LEVEL:.0%} level: this history does not separate them. {precision}"
        )
    named = ", ".join(f"{row.objective} ({row.difference.value:+.2f})" for row in significant)
    return (
        f"{len(significant)} of {len(rows) - 1} objectives differ significantly from equal weight "
        f"at the {LEVEL:.0%} level: {named}. {precision}"
    )
