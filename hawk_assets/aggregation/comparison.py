"""Every objective out of sample, on the same models and days, and whether they differ."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.aggregation.conic import Solve
from hawk_assets.aggregation.eligibility import Record, View, align, views
from hawk_assets.aggregation.inference import Estimate, holm, sharpe_difference, sharpe_ratio
from hawk_assets.aggregation.ladder import Choice, choose
from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.model import Array
from hawk_assets.core.sessions import BARS_PER_YEAR

REFERENCE = "equal_weight"
LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One objective, after costs.

    :param annualized_return: the mean daily return times 252
    :param annualized_volatility: a fraction
    :param sharpe: annualised, without a risk-free rate
    :param difference: of the Sharpe ratio to that of equal weight
    :param p_value: of that difference, adjusted for the number of objectives
    :param turnover: of model weights, one-sided, per year
    :param months_per_fallback: how the weights were arrived at
    """

    objective: str
    annualized_return: float
    annualized_volatility: float
    sharpe: Estimate
    difference: Estimate
    p_value: float
    turnover: float
    months_per_fallback: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """:param first: day of the first return
    :param last: day of the last one
    :param cost_bps: taken off for a change of weight, in basis points of the amount
    :param rows: by Sharpe ratio, descending
    :param remark: what the differences amount to
    """

    first: pd.Timestamp
    last: pd.Timestamp
    sessions: int
    models: int
    cost_bps: float
    rows: list[Row]
    remark: str


def compare(
    performance: Mapping[str, pd.DataFrame],
    months: pd.DatetimeIndex,
    first: pd.Timestamp,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    execution_lag: int,
    solve: Solve,
) -> Comparison:
    """Walk each objective through the months as production does, each with its own weights held.

    A month's weights are of what is known before it. A book decided at a close is traded
    ``execution_lag`` sessions later and earns from the session after that on, so the weights of a
    month take effect then. The share of a model without a return is cash for the day. A change of
    weights costs ``cost_bps`` of its amount, both ways, on the day it takes effect; what models
    trade within a month they have paid for themselves.

    :param performance: per model, date and daily_return since the start of all
    :param months: all months from the first one on, adjacent, ascending, up to the last compared
    :param first: the first month compared; months before any model has a record are left out
    :return: an objective that has failed is there with what stood in for it
    :raises MissingMonthError: no model has a record, or there are too few days to compare
    """
    record = align(performance)
    known = list(views(record, months, parameters))
    judged = np.array([view.eligible.any() for view in known], dtype=bool) & (months >= first)
    effect = _months_in_effect(record, months, execution_lag + 1)
    counted = (effect >= 0) & judged[effect]
    if counted.sum() < BARS_PER_YEAR:
        raise MissingMonthError(
            f"{counted.sum()} sessions with weights from a record: less than a year to compare; "
            "run hawk backfill over a longer history"
        )
    family = {name: families[name] for name in sorted(performance)}
    returns, figures = {}, {}
    for objective in OBJECTIVES:
        choices = _walk(objective, known, family, parameters, solve)
        weights = np.array([choice.weights for choice in choices])
        change = np.abs(np.diff(weights, axis=0, prepend=weights[:1])).sum(axis=1)
        applied = weights[np.maximum(effect, 0)]
        daily = (applied * np.nan_to_num(record.returns)).sum(axis=1)
        traded = np.abs(np.diff(applied, axis=0)).sum(axis=1)
        daily[1:] -= traded * parameters.cost_bps * 1e-4
        returns[objective] = daily[counted]
        turnover = 12.0 * change[judged].mean() / 2.0
        fallbacks = Counter(choice.fallback for choice, j in zip(choices, judged, strict=True) if j)
        figures[objective] = float(turnover), dict(fallbacks.most_common())
    days = record.sessions[counted]
    rows = _rows(returns, figures)
    return Comparison(
        pd.Timestamp(days[0]),
        pd.Timestamp(days[-1]),
        len(days),
        len(performance),
        parameters.cost_bps,
        rows,
        _remark(rows),
    )


def _walk(
    objective: str,
    known: list[View],
    family: Mapping[str, str],
    parameters: AggregationParameters,
    solve: Solve,
) -> list[Choice]:
    held, choices = np.zeros(len(family)), []
    for view in known:
        choices.append(choose(objective, view, held, family, parameters, solve))
        held = choices[-1].weights
    return choices


def _months_in_effect(
    record: Record, months: pd.DatetimeIndex, delay: int
) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """Per session the month whose weights earn its return, as a position in ``months``.

    -1 before the first month's, and after the last of ``months``.
    """
    month = np.searchsorted(months.to_numpy("datetime64[ns]"), record.sessions, side="right") - 1
    after = record.sessions >= (months[-1] + pd.DateOffset(months=1)).to_datetime64()
    decided = np.concatenate([np.full(delay, -1), month])[: len(month)]
    return np.where(after, -1, decided)


def _rows(
    returns: Mapping[str, Array], figures: Mapping[str, tuple[float, dict[str, int]]]
) -> list[Row]:
    others = [objective for objective in returns if objective != REFERENCE]
    differences = {o: sharpe_difference(returns[o], returns[REFERENCE]) for o in returns}
    adjusted = dict(zip(others, holm([differences[o].p_value for o in others]), strict=True))
    rows = [
        Row(
            objective,
            float(daily.mean()) * BARS_PER_YEAR,
            float(daily.std()) * float(np.sqrt(BARS_PER_YEAR)),
            sharpe_ratio(daily),
            differences[objective],
            adjusted.get(objective, 1.0),
            *figures[objective],
        )
        for objective, daily in returns.items()
    ]
    return sorted(rows, key=lambda row: -row.sharpe.value)


def _remark(rows: list[Row]) -> str:
    found = [row for row in rows if row.p_value < LEVEL]
    error = float(np.mean([row.sharpe.standard_error for row in rows]))
    sure = f"The standard error of a Sharpe ratio here is about {error:.2f}."
    if not found:
        return (
            f"No difference to equal weight is significant at {LEVEL:.0%} among "
            f"{len(rows) - 1}: this history does not tell the objectives apart. {sure}"
        )
    named = ", ".join(f"{row.objective} ({row.difference.value:+.2f})" for row in found)
    return (
        f"Significantly different from equal weight at {LEVEL:.0%} among {len(rows) - 1}: {named}; "
        f"the others are not. {sure}"
    )
