"""Model states to insights: the signal held over short holes, then sized into weights."""

import numpy as np
import pandas as pd

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, TradingModel
from hawk_assets.core.schemas import STATE_COLUMNS
from hawk_assets.core.sessions import BARS_PER_YEAR, in_months, months_covering

HOLD_SESSIONS = 5
VOL_FLOOR = 0.05
WEIGHT_CAP = 0.10


def sessions_needed(model: TradingModel) -> int:
    """Sessions before a month that its insights depend on: the model's own and the hold's."""
    return model.lookback + HOLD_SESSIONS


def months_needed(model: TradingModel) -> int:
    """Months of states before a month that its insights depend on."""
    return months_covering(sessions_needed(model))


def risk_budget(vol: Array, cap: float = WEIGHT_CAP, floor: float = VOL_FLOOR) -> Array:
    """Inverse-volatility shares of one portfolio, none above ``cap``: water-filling.

    :param vol: daily volatility, shape ``(n_dates, n_tickers)``; NaN where not ready
    :param cap: the largest share of one ticker
    :param floor: annualised volatility below which a ticker counts as that volatile
    :return: the same shape; shares in [0, cap], summing to 1 or to ``cap`` times the ready tickers
        if that is less; 0 where not ready. A row does not depend on tickers that are not ready,
        not even in its last bit.
    """
    inverse = np.nan_to_num(1.0 / np.maximum(vol * np.sqrt(BARS_PER_YEAR), floor), nan=0.0)
    ranked = -np.sort(-inverse, axis=1)
    rest = np.cumsum(ranked[:, ::-1], axis=1)[:, ::-1]
    left = 1.0 - cap * np.arange(vol.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        level = left / rest
        capped = (level * ranked > cap) & (rest > 0) & (left > 0)
        scale = np.where(
            capped.all(axis=1),
            np.inf,
            level[np.arange(len(vol)), capped.sum(axis=1) % vol.shape[1]],
        )
        filled = np.where(inverse > 0, np.minimum(cap, scale[:, None] * inverse), 0.0)
    return np.asarray(filled, dtype=np.float64)


def build_insights(
    model: TradingModel, states: pd.DataFrame, months: pd.DatetimeIndex
) -> pd.DataFrame:
    """The insights of ``months``.

    A ticker without a bar keeps its last signal for at most 5 sessions and is flat after that.
    ``weight = risk_budget * signal``: linear in the signal, so gross exposure never exceeds 1 and
    conviction is kept; no renormalisation.

    :param model: the model whose signal is months
    :param states: its states, the months asked for and ``months_needed`` before the first
    :param months: the months to compute, ascending
    :return: date, ticker, model, signal, weight; one row per session and ticker that had a bar on
        it or on one of the 5 sessions before; no NaN
    :raises ModelError: a signal of the wrong shape, or outside [-1, 1]
    """
    names = [c for c in states.columns if c not in STATE_COLUMNS[:2]]
    wide = {c: states.pivot(index="date", columns="ticker", values=c) for c in names}
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
    listed = close.ffill(limit=HOLD_SESSIONS).notna()
    held = signal.ffill(limit=HOLD_SESSIONS).fillna(0.0)
    vol = wide["vol_63"].ffill(limit=HOLD_SESSIONS).where(listed)
    weight = risk_budget(vol.to_numpy(np.float64)) * held.to_numpy(np.float64)
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
