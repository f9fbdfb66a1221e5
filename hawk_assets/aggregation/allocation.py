"""Model weights of a month: who is eligible, the objective, and what is done when it fails."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.aggregation.conic import ConicProblem, Solution, Solve
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.objectives import PROGRAMS, capped, optimise
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.model import Array
from hawk_assets.core.sessions import key_of, sessions_of, shift

SESSIONS_PER_MONTH = 21
NOISE = 1e-9
"""A daily return, or the range of a model's returns, below this is the simulator's rounding."""


@dataclass(frozen=True, eq=False)
class _Record:
    """:param sessions: shape ``(n_sessions,)``, ascending
    :param returns: shape ``(n_sessions, n_models)``, NaN where there is no row
    :param stored: the same shape, whether there is a row
    """

    sessions: NDArray[np.datetime64]
    returns: Array
    stored: NDArray[np.bool_]


def build_weights(
    performance: Mapping[str, pd.DataFrame],
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
    parameters: AggregationParameters,
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
    :param solve: the backend
    :return: the WEIGHTS table, by month and model; ``status`` is Solved, no_record, or why the
        objective was not solved; ``rung`` is what gave the weights, ``solver`` what solved it
    :raises MissingMonthError: ``previous`` does not hold the month before the first
    """
    names = sorted(performance)
    record = _align([performance[name] for name in names])
    held = np.zeros(len(names))
    if previous is not None and len(months):
        held = _weights_of(previous, shift(months[0], -1), names)
    weights = np.zeros((len(months), len(names)))
    rungs, statuses, solvers, reasons = [], [], [], []
    used = "none"

    def observed(problem: ConicProblem) -> Solution:
        nonlocal used
        solution = solve(problem)
        used = solution.solver
        return solution

    for month, row in zip(months, weights, strict=True):
        start = shift(month, -parameters.window_months)
        window = slice(*np.searchsorted(record.sessions, [_day(start), _day(month)]))
        seen = _Record(record.sessions[window], record.returns[window], record.stored[window])
        against, sample = _judge(seen, month, parameters.min_months * SESSIONS_PER_MONTH)
        eligible = np.array([reason == "" for reason in against], dtype=bool)
        if eligible.any():
            row[eligible], rung, status = _mix(sample, held[eligible], parameters, observed)
        else:
            row[:], rung, status = 1.0 / len(names), "equal_weight", "no_record"
        rungs.append(rung)
        statuses.append(status)
        solvers.append(used if rung in PROGRAMS else "none")
        reasons.extend(against)
        held = row
    table = pd.DataFrame(
        {
            "month": np.repeat(months, len(names)),
            "model": names * len(months),
            "weight": weights.ravel(),
            "objective": parameters.objective,
            "solver": np.repeat(solvers, len(names)),
            "status": np.repeat(statuses, len(names)),
            "rung": np.repeat(rungs, len(names)),
            "reason": reasons,
        }
    )
    text = ["model", "objective", "solver", "status", "rung", "reason"]
    return table.astype(dict.fromkeys(text, object))


def _mix(
    sample: Array, held: Array, parameters: AggregationParameters, solve: Solve
) -> tuple[Array, str, str]:
    """Down the ladder.

    :param sample: returns of the eligible models, shape ``(n_obs, n_eligible)``
    :param held: their previous weights, all 0 if there are none
    :return: weights, the rung taken, and the status of the objective
    """
    n_obs, n = sample.shape
    cap = max(parameters.cap, 1.0 / n)
    need = parameters.min_months * SESSIONS_PER_MONTH
    estimates = estimate(sample) if n_obs >= need else None
    status = f"infeasible: {n_obs} sessions in common, needs {need}"
    if estimates is not None:
        weights, status = optimise(parameters.objective, estimates, cap, solve)
        if weights is not None:
            return weights, parameters.objective, status
    if held.sum() > 0:
        return capped(held, cap), "previous_weights", status
    if estimates is not None:
        for rung in ("min_variance", "inverse_vol"):
            weights, _ = optimise(rung, estimates, cap, solve)
            if weights is not None:
                return weights, rung, status
    return np.full(n, 1.0 / n), "equal_weight", status


def _judge(seen: _Record, month: pd.Timestamp, need: int) -> tuple[list[str], Array]:
    """Who is eligible in a window.

    :param need: sessions of record
    :return: per model the reason against it, empty for none; and the returns of the eligible on
        the sessions they have in common, shape ``(n_obs, n_eligible)``
    """
    n_sessions, n_models = seen.returns.shape
    index = np.arange(n_sessions)
    session_months = seen.sessions.astype("datetime64[M]")
    last = session_months[-1] if n_sessions else _day(shift(month, -1)).astype("datetime64[M]")
    recent = seen.stored[session_months == last].any(axis=0)
    broken = seen.stored & ~np.isfinite(seen.returns)
    moves = np.abs(seen.returns) > NOISE
    first = np.where(moves, index[:, None], n_sessions).min(axis=0, initial=n_sessions)
    trading = seen.stored & (index[:, None] >= first)
    length = trading.sum(axis=0)
    reasons = [""] * n_models
    for j in range(n_models):
        if not recent[j]:
            reasons[j] = f"no performance for {last}"
        elif broken[:, j].any():
            day = seen.sessions[broken[:, j].argmax()].astype("datetime64[D]")
            reasons[j] = f"daily_return is missing or infinite on {day}"
        elif length[j] < need:
            reasons[j] = f"record of {length[j]} sessions, needs {need}"
        elif np.ptp(seen.returns[trading[:, j], j]) <= NOISE:
            reasons[j] = "returns do not vary"
    eligible = np.flatnonzero([reason == "" for reason in reasons])
    common = seen.stored[:, eligible].all(axis=1) & (index >= first[eligible].max(initial=0))
    sample = seen.returns[np.ix_(common, eligible)]
    if len(sample) < need:
        return reasons, sample
    varies = np.ptp(sample, axis=0) > NOISE
    for j in eligible[~varies]:
        since = seen.sessions[common.argmax()].astype("datetime64[D]")
        reasons[j] = f"returns do not vary since {since}"
    return reasons, np.ascontiguousarray(sample[:, varies])


def _align(performance: list[pd.DataFrame]) -> _Record:
    """The models' returns on the union of their sessions."""
    dates = [frame["date"].to_numpy("datetime64[ns]") for frame in performance if len(frame)]
    sessions = sessions_of(np.concatenate([np.empty(0, "datetime64[ns]"), *dates])).to_numpy()
    returns = np.full((len(sessions), len(performance)), np.nan)
    stored = np.zeros(returns.shape, dtype=bool)
    for j, frame in enumerate(performance):
        if len(frame):
            rows = np.searchsorted(sessions, frame["date"].to_numpy("datetime64[ns]"))
            returns[rows, j] = frame["daily_return"].to_numpy(np.float64)
            stored[rows, j] = True
    return _Record(sessions, returns, stored)


def _weights_of(weights: pd.DataFrame, month: pd.Timestamp, names: list[str]) -> Array:
    rows = weights[weights["month"] == month]
    if rows.empty:
        raise MissingMonthError(
            f"the weights of {month:%Y-%m} are missing, on which those of the next month depend; "
            f"run: hawk backfill --from {key_of(month)}"
        )
    shares = rows.set_index("model")["weight"].reindex(names, fill_value=0.0)
    return shares.to_numpy(np.float64)


def _day(month: pd.Timestamp) -> np.datetime64:
    return month.to_datetime64()
