"""What is known of the models before a month: who is eligible, and the estimates of those."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.aggregation.estimation import SESSIONS_PER_MONTH, Estimates, estimate
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.model import Array
from hawk_assets.core.sessions import sessions_of, shift

NOISE = 1e-9
"""A daily return, or the range of a model's returns, below this is the simulator's rounding."""
NO_RECORD = "no_record"


@dataclass(frozen=True, eq=False)
class Record:
    """The returns of ``n_models`` models, by name.

    :param sessions: shape ``(n_sessions,)``, ascending
    :param returns: shape ``(n_sessions, n_models)``, NaN where there is no row
    :param stored: the same shape, whether there is a row
    """

    sessions: NDArray[np.datetime64]
    returns: Array
    stored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class View:
    """What is known of all models at the start of a month.

    :param reasons: per model, what is against it; empty for the eligible
    :param estimates: of the eligible; None where there are none, or too few sessions in common
    :param status: why there are no estimates; or empty
    """

    reasons: list[str]
    estimates: Estimates | None
    status: str

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """Shape ``(n_models,)``."""
        return np.array([reason == "" for reason in self.reasons], dtype=bool)


def align(performance: Mapping[str, pd.DataFrame]) -> Record:
    """The models' returns on the union of their sessions, the models by name.

    :param performance: date and daily_return, any row order; empty where nothing is stored
    """
    frames = [performance[name] for name in sorted(performance)]
    dates = [frame["date"].to_numpy("datetime64[ns]") for frame in frames if len(frame)]
    sessions = sessions_of(np.concatenate([np.empty(0, "datetime64[ns]"), *dates])).to_numpy()
    returns = np.full((len(sessions), len(frames)), np.nan)
    stored = np.zeros(returns.shape, dtype=bool)
    for j, frame in enumerate(frames):
        if len(frame):
            rows = np.searchsorted(sessions, frame["date"].to_numpy("datetime64[ns]"))
            returns[rows, j] = frame["daily_return"].to_numpy(np.float64)
            stored[rows, j] = True
    return Record(sessions, returns, stored)


def views(
    record: Record, months: pd.DatetimeIndex, parameters: AggregationParameters
) -> Iterator[View]:
    """What is known at the start of each month, from the ``window_months`` before it."""
    need = parameters.min_months * SESSIONS_PER_MONTH
    for month in months:
        start = shift(month, -parameters.window_months)
        edges = [start.to_datetime64(), month.to_datetime64()]
        window = slice(*np.searchsorted(record.sessions, edges))
        seen = Record(record.sessions[window], record.returns[window], record.stored[window])
        reasons, sample, young = _judge(seen, month, need)
        estimates = None
        status = NO_RECORD if young else "no model is eligible"
        if "" in reasons:
            status = f"infeasible: {len(sample)} sessions in common, needs {need}"
            if len(sample) >= need:
                estimates, status = estimate(sample, parameters.half_life), ""
        yield View(reasons, estimates, status)


def _judge(seen: Record, month: pd.Timestamp, need: int) -> tuple[list[str], Array, bool]:
    """Who is eligible in a window.

    :param need: sessions of record
    :return: per model the reason against it, empty for none; the returns of the eligible on the
        sessions they have in common, shape ``(n_obs, n_eligible)``; and whether nothing but youth
        is against any model
    """
    n_sessions, n_models = seen.returns.shape
    index = np.arange(n_sessions)
    session_months = seen.sessions.astype("datetime64[M]")
    before = shift(month, -1).to_datetime64().astype("datetime64[M]")
    last = session_months[-1] if n_sessions else before
    recent = seen.stored[session_months == last].any(axis=0)
    broken = seen.stored & ~np.isfinite(seen.returns)
    moves = np.abs(seen.returns) > NOISE
    first = np.where(moves, index[:, None], n_sessions).min(axis=0, initial=n_sessions)
    trading = seen.stored & (index[:, None] >= first)
    length = trading.sum(axis=0)
    reasons, young = [""] * n_models, True
    for j in range(n_models):
        if not recent[j]:
            reasons[j] = f"no performance for {last}"
        elif broken[:, j].any():
            day = seen.sessions[broken[:, j].argmax()].astype("datetime64[D]")
            reasons[j] = f"daily_return is missing or infinite on {day}"
            young = False
        elif length[j] < need:
            reasons[j] = f"record of {length[j]} sessions, needs {need}"
        elif np.ptp(seen.returns[trading[:, j], j]) <= NOISE:
            reasons[j] = "returns do not vary"
            young = False
    eligible = np.flatnonzero([reason == "" for reason in reasons])
    common = seen.stored[:, eligible].all(axis=1) & (index >= first[eligible].max(initial=0))
    sample = seen.returns[np.ix_(common, eligible)]
    if len(sample) < need:
        return reasons, sample, young
    varies = np.ptp(sample, axis=0) > NOISE
    for j in eligible[~varies]:
        since = seen.sessions[common.argmax()].astype("datetime64[D]")
        reasons[j] = f"returns do not vary since {since}"
        young = False
    return reasons, np.ascontiguousarray(sample[:, varies]), young
