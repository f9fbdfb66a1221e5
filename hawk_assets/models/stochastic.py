"""A close at the bottom of its recent range comes back: buy below 20, leave at 50, shorts mirror.

The slow stochastic %K(14, 3). Reference: George Lane's stochastic oscillator; the exit at 50 and
the limit on the holding period are this package's.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class Stochastic(TradingModel):
    """:param span: bars of the range
    :param low: buy below, in points; ``100 - low`` sells
    :param max_hold: sessions a position is kept after its latest entry signal
    """

    span: int = 14
    low: float = 20.0
    max_hold: int = 20

    inputs = ("high", "low", "close")
    slice_stable = True

    def __post_init__(self) -> None:
        if not (self.span >= 2 and 0 < self.low < 50 and self.max_hold >= 2):
            raise ValueError(f"need span >= 2, 0 < low < 50 and max_hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"stochastic_{self.span}"

    @property
    def warmup(self) -> int:
        return self.span + 1

    @property
    def lookback(self) -> int:
        return self.max_hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        top = talib.MAX(bars["high"], timeperiod=self.span)
        bottom = talib.MIN(bars["low"], timeperiod=self.span)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = 100 * (bars["close"] - bottom) / (top - bottom)
        fast = np.where(top == bottom, 50.0, place)
        slow = np.full(len(fast), np.nan)
        slow[2:] = (fast[:-2] + fast[1:-1] + fast[2:]) / 3
        return {"slow_k": slow}

    def signal(self, states: States) -> pd.DataFrame:
        value = states["slow_k"]
        long = latch(value < self.low, value >= 50, self.max_hold)
        short = latch(value > 100 - self.low, value <= 50, self.max_hold)
        return long - short


MODELS = (Stochastic(),)
