"""Model weights of a range of months: the ladder, month after month, as a table."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hawk_assets.aggregation.conic import Solve
from hawk_assets.aggregation.eligibility import align, views
from hawk_assets.aggregation.ladder import choose
from hawk_assets.aggregation.parameters import BENCHMARKS, AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.model import Array
from hawk_assets.core.sessions import key_of, shift


def build_weights(
    performance: Mapping[str, pd.DataFrame],
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    solve: Solve,
) -> pd.DataFrame:
    """The weights of ``months``, each from the ``window_months`` before it and nothing later.

    A model is eligible with performance in the last month that any model has, a finite and varying
    ``daily_return``, and a record of ``min_months`` since its first non-zero one; others weigh 0
    and their row says why. The estimates use the sessions that all eligible models have, from the
    day the youngest of them began to trade. When the objective has no solution the book holds the
    previous month's weights, scaled to the eligible; without those it goes to minimum variance,
    then inverse volatility, then equal weight. While no model is eligible all weigh the same.

    :param performance: per model, date and daily_return of the window before each month, any row
        order; an empty frame where nothing is stored
    :param months: adjacent, ascending
    :param previous: the weights of the month before the first; None when that month is the first
        of all
    :param families: the family of each model
    :param solve: the backend
    :return: the ``weights`` table, by month and model; ``status`` is Solved, no_record, or why the
        objective was not solved, and the caps that gave way; ``fallback`` is the objective, or what
        replaces it, ``solver`` what solved it. Each of ``BENCHMARKS`` is a column of the weights it
        would have
    :raises MissingMonthError: ``previous`` does not hold the month before the first
    """
    names = sorted(performance)
    family = {name: families[name] for name in names}
    held = np.zeros(len(names))
    if previous is not None and len(months):
        held = _weights_of(previous, shift(months[0], -1), names)
    columns: dict[str, list[Array]] = {name: [] for name in ("weight", *BENCHMARKS)}
    texts: dict[str, list[str]] = {name: [] for name in ("solver", "status", "fallback", "reason")}
    for view in views(align(performance), months, parameters):
        choice = choose(parameters.objective, view, held, family, parameters, solve)
        columns["weight"].append(choice.weights)
        for benchmark in BENCHMARKS:
            beside = choose(benchmark, view, np.zeros(len(names)), family, parameters, solve)
            columns[benchmark].append(beside.weights)
        for name in ("solver", "status", "fallback"):
            texts[name] += [getattr(choice, name)] * len(names)
        texts["reason"] += view.reasons
        held = choice.weights
    empty = np.empty(0)
    table = pd.DataFrame(
        {
            "month": np.repeat(months, len(names)),
            "model": np.array(names * len(months), dtype=object),
            **{name: np.concatenate([empty, *parts]) for name, parts in columns.items()},
            "objective": np.full(len(names) * len(months), parameters.objective, dtype=object),
            **{name: np.array(column, dtype=object) for name, column in texts.items()},
        }
    )
    return table


def _weights_of(weights: pd.DataFrame, month: pd.Timestamp, names: list[str]) -> Array:
    rows = weights[weights["month"] == month]
    if rows.empty:
        raise MissingMonthError(
            f"the weights of {month:%Y-%m} are missing, on which those of the next month depend; "
            f"run: hawk backfill --from {key_of(month)}"
        )
    shares = rows.set_index("model")["weight"].reindex(names, fill_value=0.0)
    return shares.to_numpy(np.float64)
