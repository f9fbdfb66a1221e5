"""What is known before a month: which models are eligible, and the estimates of their returns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.aggregation.estimation import SESSIONS_PER_MONTH, Estimates, estimate
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.sessions import sessions_of, shift
from hawk_assets.core.types import Array, Dates, Flags

SMALLEST_RETURN = 1e-9
"""A daily return, or a range of returns, up to this size is the simulator's rounding error."""
NO_RECORD = "no_record"


@dataclass(frozen=True, eq=False)
class ReturnPanel:
    """The daily returns of ``n_models`` models, sorted by model name.

    :param sessions: shape ``(n_sessions,)``, ascending
    :param returns: shape ``(n_sessions, n_models)``, NaN where no row is stored
    :param stored: the same shape, whether a row is stored
    """

    sessions: Dates
    returns: Array
    stored: Flags


@dataclass(frozen=True, eq=False)
class EligibleSample:
    """What is known of the models at the start of a month.

    :param reasons: per model, why it is not eligible; empty if it is
    :param estimates: of the eligible models; None if there are none, or too few common sessions
    :param status: why there are no estimates; empty if there are
    """

    reasons: list[str]
    estimates: Estimates | None
    status: str

    @property
    def eligible(self) -> Flags:
        """Shape ``(n_models,)``."""
        return np.array([reason == "" for reason in self.reasons], dtype=bool)


def align_returns(performance: Mapping[str, pd.DataFrame]) -> ReturnPanel:
    """The returns of all models on the union of their sessions.

    :param performance: date and daily_return, any row order; an empty frame where nothing is stored
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
    return ReturnPanel(sessions, returns, stored)


def eligible_samples(
    panel: ReturnPanel, months: pd.DatetimeIndex, parameters: AggregationParameters
) -> Iterator[EligibleSample]:
    """For each month the eligible models and their estimates, from ``window_months`` before it."""
    needed = parameters.min_months * SESSIONS_PER_MONTH
    for month in months:
        start = shift(month, -parameters.window_months)
        edges = [start.to_datetime64(), month.to_datetime64()]
        rows = slice(*np.searchsorted(panel.sessions, edges))
        window = ReturnPanel(panel.sessions[rows], panel.returns[rows], panel.stored[rows])
        reasons, sample, only_young = _find_eligible(window, month, needed)
        estimates = None
        status = NO_RECORD if only_young else "no model is eligible"
        if "" in reasons:
            status = f"infeasible: {len(sample)} sessions in common, needs {needed}"
            if len(sample) >= needed:
                estimates, status = estimate(sample, parameters.half_life), ""
        yield EligibleSample(reasons, estimates, status)


def _find_eligible(
    window: ReturnPanel, month: pd.Timestamp, needed: int
) -> tuple[list[str], Array, bool]:
    """The eligible models of a window.

    :param needed: sessions that a model needs since its first return that is not zero
    :return: per model the reason why it is not eligible, empty if it is; the returns of the
        eligible models on their common sessions, shape ``(n_obs, n_eligible)``; and whether each
        model that is not eligible has no fault but a record that is too short or has ended
    """
    n_sessions, n_models = window.returns.shape
    index = np.arange(n_sessions)
    session_months = window.sessions.astype("datetime64[M]")
    month_before = shift(month, -1).to_datetime64().astype("datetime64[M]")
    last = session_months[-1] if n_sessions else month_before
    recent = window.stored[session_months == last].any(axis=0)
    broken = window.stored & ~np.isfinite(window.returns)
    moves = np.abs(window.returns) > SMALLEST_RETURN
    first = np.where(moves, index[:, None], n_sessions).min(axis=0, initial=n_sessions)
    trading = window.stored & (index[:, None] >= first)
    length = trading.sum(axis=0)
    reasons, only_young = [""] * n_models, True
    for j in range(n_models):
        if not recent[j]:
            reasons[j] = f"no performance for {last}"
        elif broken[:, j].any():
            day = window.sessions[broken[:, j].argmax()].astype("datetime64[D]")
            reasons[j] = f"daily_return is missing or infinite on {day}"
            only_young = False
        elif length[j] < needed:
            reasons[j] = f"record of {length[j]} sessions, needs {needed}"
        elif np.ptp(window.returns[trading[:, j], j]) <= SMALLEST_RETURN:
            reasons[j] = "returns do not vary"
            only_young = False
    eligible = np.flatnonzero([reason == "" for reason in reasons])
    common = window.stored[:, eligible].all(axis=1) & (index >= first[eligible].max(initial=0))
    sample = window.returns[np.ix_(common, eligible)]
    if len(sample) < needed:
        return reasons, sample, only_young
    varies = np.ptp(sample, axis=0) > SMALLEST_RETURN
    for j in eligible[~varies]:
        since = window.sessions[common.argmax()].astype("datetime64[D]")
        reasons[j] = f"returns do not vary since {since}"
        only_young = False
    return reasons, np.ascontiguousarray(sample[:, varies]), only_young
