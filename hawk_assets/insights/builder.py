"""Model states to insights: the signal, held over short holes, times a budget per ticker."""

import numpy as np
import pandas as pd

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import TradingModel
from hawk_assets.core.schemas import STATE_COLUMNS
from hawk_assets.core.sessions import in_months, months_covering
from hawk_assets.core.types import Indices
from hawk_assets.insights.sizing import (
    DEFAULT_SIZING,
    SizingParameters,
    inverse_volatility_budget,
)


def sessions_needed(model: TradingModel, sizing: SizingParameters = DEFAULT_SIZING) -> int:
    """Sessions before a month that its insights depend on: ``lookback`` and the hold."""
    return model.lookback + sizing.hold_sessions


def months_needed(model: TradingModel, sizing: SizingParameters = DEFAULT_SIZING) -> int:
    """Months of states before a month that its insights depend on."""
    return months_covering(sessions_needed(model, sizing))


def build_insights(
    model: TradingModel,
    states: pd.DataFrame,
    months: pd.DatetimeIndex,
    sizing: SizingParameters = DEFAULT_SIZING,
) -> pd.DataFrame:
    """The insights of ``months``.

    A session is a date with at least one close; the signal sees no other dates. A ticker without a
    close keeps the signal of its last one for ``hold_sessions``, whatever the model says meanwhile,
    and has weight 0 after that. A weekend counts as part of its Friday: where one ticker trades on
    it, that says nothing about the others.
    ``weight = inverse_volatility_budget * signal``. It is linear in the signal, not renormalised:
    a weak signal stays a small weight, and gross exposure never exceeds 1.

    :param model: the model whose signal is computed
    :param states: its states, of ``months`` and of ``months_needed`` before the first
    :param months: the months to compute, ascending
    :param sizing: the cap of a ticker, the floor of its volatility, and the hold
    :return: date, ticker, model, signal, weight; one row per session and ticker that had a bar on
        it or on one of the ``hold_sessions`` before; no NaN
    :raises ModelError: a signal of the wrong shape, or outside [-1, 1]
    """
    names = [c for c in states.columns if c not in STATE_COLUMNS[:2]]
    wide = {c: states.pivot(index="date", columns="ticker", values=c) for c in names}
    priced = wide["close"].notna().any(axis=1)
    if not priced.all():
        wide = {c: frame[priced] for c, frame in wide.items()}
    close = wide["close"]
    signal = model.signal(wide)
    if not (signal.index.equals(close.index) and signal.columns.equals(close.columns)):
        raise ModelError(
            f"{model.name}: signal() returned a frame of shape {signal.shape} with other dates or "
            f"tickers than its states, {close.shape}; keep the index and columns of the states"
        )
    values = signal.to_numpy(np.float64)
    if (outside := np.abs(values) > 1).any():
        row, column = np.argwhere(outside)[0]
        raise ModelError(
            f"{model.name}: signal {values[row, column]} for {close.columns[column]} on "
            f"{close.index[row]:%Y-%m-%d} is outside [-1, 1]; scale or clip it in signal()"
        )
    listed = _hold(close, sizing).notna()
    held = _hold(signal.where(close.notna()), sizing).fillna(0.0)
    vol = _hold(wide["vol_63"], sizing).where(listed)
    budget = inverse_volatility_budget(vol.to_numpy(np.float64), sizing)
    weight = budget * held.to_numpy(np.float64)
    rows, columns = np.nonzero(listed.to_numpy())
    insights = pd.DataFrame(
        {
            "date": close.index.to_numpy()[rows],
            "ticker": close.columns.to_numpy()[columns],
            "model": model.name,
            "signal": held.to_numpy(np.float64)[rows, columns],
            "weight": weight[rows, columns],
        }
    )
    return in_months(insights, months).reset_index(drop=True)


def _hold(wide: pd.DataFrame, sizing: SizingParameters) -> pd.DataFrame:
    """Missing values replaced by the last one before them, for at most ``hold_sessions``.

    :param wide: indexed by session; one on a Saturday or Sunday counts as the Friday before, so
        that a weekend adds nothing to a Friday's age, and bars dated on Sundays are counted
    """
    friday = np.busday_offset(wide.index.to_numpy("datetime64[D]"), 0, roll="backward")
    counted = np.cumsum(np.append(True, friday[1:] != friday[:-1])[: len(wide)])
    rows = np.arange(len(wide))[:, None]
    last = np.maximum.accumulate(np.where(wide.notna(), rows, -1), axis=0)
    age: Indices = counted[:, None] - np.where(last >= 0, counted[last], 0)
    return wide.ffill().where((last >= 0) & (age <= sizing.hold_sessions))
