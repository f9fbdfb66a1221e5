"""Trends pay when they are strong: the sign of an EMA cross, scaled by Wilder's ADX.

Nothing below an average directional index of 20, everything above 40. Reference: J. Welles Wilder,
New Concepts in Technical Trading Systems, 1978, for the ADX; the combination is this package's.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.features.indicators import ema, recursive_warmup, relative_gap


@dataclass(frozen=True)
class AdxTrend(TradingModel):
    """:param fast: span of the fast average in bars
    :param slow: span of the slow average in bars, above ``fast``
    :param span: bars of the directional index
    :param weak: index at which a trend begins to count, in points
    :param strong: index at which it counts in full, in points
    """

    fast: int = 20
    slow: int = 50
    span: int = 14
    weak: float = 20.0
    strong: float = 40.0

    inputs = ("high", "low", "close")

    def __post_init__(self) -> None:
        if not (2 <= self.fast < self.slow and self.span >= 2 and self.weak < self.strong):
            raise ValueError(f"need 2 <= fast < slow, span >= 2 and weak < strong: {self}")

    @property
    def name(self) -> str:
        return f"adx_trend_{self.fast}_{self.slow}_{self.span}"

    @property
    def warmup(self) -> int:
        index = recursive_warmup(6 * self.span, 1 / self.span)
        return max(index, recursive_warmup(self.slow - 1, 2 / (self.slow + 1)))

    @property
    def lookback(self) -> int:
        return 0

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        return {
            "ema_gap": relative_gap(ema(close, self.fast), ema(close, self.slow)),
            "adx": directional_index(bars["high"], bars["low"], close, self.span),
        }

    def signal(self, states: States) -> pd.DataFrame:
        strength = (states["adx"] - self.weak) / (self.strong - self.weak)
        gap = states["ema_gap"]
        return (gap.gt(0).astype(float) - gap.lt(0)) * strength.clip(0.0, 1.0)


def directional_index(high: Array, low: Array, close: Array, span: int) -> Array:
    """Wilder's average directional index in points, NaN for the first ``2 * span - 1`` bars.

    TA-Lib's ADX but for one thing: an upward and a downward move that differ by rounding noise are
    equal, and then neither counts; on prices in ticks they often are.
    """
    up, down = np.diff(high), -np.diff(low)
    tie = np.abs(up - down) <= 1e-9 * close[1:]
    rise = np.where((up > down) & (up > 0) & ~tie, up, 0.0)
    fall = np.where((down > up) & (down > 0) & ~tie, down, 0.0)
    before = close[:-1]
    true_range = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    plus, minus, moved = (talib.RMA(x, timeperiod=span) for x in (rise, fall, true_range))
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.where(
            plus + minus > 1e-12 * moved, np.abs(plus - minus) / (plus + minus), 0.0
        )
    out = np.full(len(close), np.nan)
    ready = strength[span - 1 :]
    out[span:] = 100 * talib.RMA(ready, timeperiod=span)
    return out


MODELS = (AdxTrend(),)
