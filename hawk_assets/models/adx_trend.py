"""Trends pay when they are strong: the sign of an EMA cross, scaled by Wilder's ADX.

The scale is 0 below an average directional index (ADX) of 20 and 1 above 40. Reference: J. Welles
Wilder, New Concepts in Technical Trading Systems, 1978, for the ADX; the combination is our own.
"""

from dataclasses import dataclass

import numpy as np
import talib

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import ema, recursive_warmup, relative_gap


@dataclass(frozen=True)
class AdxTrend(TradingModel):
    """:param fast: span of the fast average in bars
    :param slow: span of the slow average in bars, above ``fast``
    :param span: bars of the directional index
    :param weak: index below which a trend does not count, in points
    :param strong: index above which it counts in full, in points
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

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        return {
            "ema_gap": relative_gap(ema(close, self.fast), ema(close, self.slow)),
            "adx": directional_index(bars["high"], bars["low"], self.span),
        }

    def signal(self, states: States) -> Signal:
        strength = (states["adx"] - self.weak) / (self.strong - self.weak)
        gap = states["ema_gap"]
        return (gap.gt(0).astype(float) - gap.lt(0)) * strength.clip(0.0, 1.0)


def directional_index(high: Array, low: Array, span: int) -> Array:
    """Wilder's average directional index, in points; NaN for the first ``2 * span - 1`` bars.

    Equal to TA-Lib's ADX except in two cases. Upward and downward moves that differ only by
    rounding noise count as equal, so neither counts: frequent with prices in ticks. After hundreds
    of bars without a move the index is 0; TA-Lib's keeps its last value for ever. The true range
    cancels out, so that it is not computed.
    """
    price = high[1:]
    up, down = np.diff(high), -np.diff(low)
    tie = np.abs(up - down) <= 1e-9 * price
    rise = np.where((up > down) & (up > 0) & ~tie, up, 0.0)
    fall = np.where((down > up) & (down > 0) & ~tie, down, 0.0)
    plus, minus = (talib.RMA(x, timeperiod=span) for x in (rise, fall))
    moved = plus + minus > 1e-12 * price
    strength = np.where(moved, np.abs(plus - minus) / np.where(moved, plus + minus, 1.0), 0.0)
    out = np.full(len(high), np.nan)
    out[span:] = 100 * talib.RMA(strength[span - 1 :], timeperiod=span)
    return out


MODELS = (AdxTrend(),)
