"""Model weights of a range of months, as a table."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hawk_assets.aggregation.conic import Solve
from hawk_assets.aggregation.eligibility import align_returns, eligible_samples
from hawk_assets.aggregation.fallbacks import allocate
from hawk_assets.aggregation.parameters import BENCHMARKS, AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import key_of, shift
from hawk_assets.core.types import Array


def build_weights(
    performance: Mapping[str, pd.DataFrame],
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    solve: Solve,
) -> pd.DataFrame:
    """The weights of ``months``, each from the ``window_months`` before it and nothing later.

    A model is eligible if it has performance in the last month that any model has, its
    ``daily_return`` is finite and varies, and its record since the first non-zero return is
    ``min_months`` long. Other models weigh 0 and their row says why. The estimates use the sessions
    that all eligible models have in common, from the day on which the youngest of them starts to
    trade. When the objective has no solution, the previous month's weights are held, scaled to the
    eligible models; without previous weights the fallbacks are minimum variance, inverse
    volatility, equal weight. While no model is eligible, all models weigh the same.

    :param performance: per model, date and daily_return of the window before each month, any row
        order; an empty frame where nothing is stored
    :param months: adjacent, ascending
    :param previous: the weights of the month before the first; None if the first month is the
        start of the history
    :param families: the family of each model
    :param solve: the backend
    :return: the ``weights`` table, by month and model. ``status`` is Solved, no_record, or why the
        objective has no solution, and which caps are raised; ``fallback`` is the objective, or what
        replaces it; ``solver`` is the solver of the weights. Each of ``BENCHMARKS`` is a column
        with the weights that it would have
    :raises MissingMonthError: ``previous`` does not hold the month before the first
    """
    names = sorted(performance)
    family = {name: families[name] for name in names}
    held = np.zeros(len(names))
    if previous is not None and len(months):
        held = _weights_of(previous, shift(months[0], -1), names)
    columns: dict[str, list[Array]] = {name: [] for name in ("weight", *BENCHMARKS)}
    texts: dict[str, list[str]] = {name: [] for name in ("solver", "status", "fallback", "reason")}
    for sample in eligible_samples(align_returns(performance), months, parameters):
        allocation = allocate(parameters.objective, sample, held, family, parameters, solve)
        columns["weight"].append(allocation.weights)
        for benchmark in BENCHMARKS:
            beside = allocate(benchmark, sample, np.zeros(len(names)), family, parameters, solve)
            columns[benchmark].append(beside.weights)
        for name in ("solver", "status", "fallback"):
            texts[name] += [getattr(allocation, name)] * len(names)
        texts["reason"] += sample.reasons
        held = allocation.weights
    empty = np.empty(0)
    return pd.DataFrame(
        {
            "month": np.repeat(months, len(names)),
            "model": np.array(names * len(months), dtype=object),
            **{name: np.concatenate([empty, *parts]) for name, parts in columns.items()},
            "objective": np.full(len(names) * len(months), parameters.objective, dtype=object),
            **{name: np.array(column, dtype=object) for name, column in texts.items()},
        }
    )


def _weights_of(weights: pd.DataFrame, month: pd.Timestamp, names: list[str]) -> Array:
    """The stored weights of a month in the order of ``names``; 0 for a model without a row."""
    rows = weights[weights["month"] == month]
    if rows.empty:
        raise MissingMonthError(
            f"weights of {month:%Y-%m} are missing; those of the next month depend on them; "
            f"run: hawk backfill --from {key_of(month)}"
        )
    stored = rows.set_index("model")["weight"].reindex(names, fill_value=0.0)
    return stored.to_numpy(np.float64)
