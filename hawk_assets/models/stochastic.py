"""A close at the bottom of its recent range recovers: buy below 20, exit at 50; shorts mirror it.

The slow stochastic %K(14, 3). Reference: George Lane's stochastic oscillator; the exit at 50 and
the limit on the holding period are our own.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import highest, lowest, percent_of_range
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class Stochastic(TradingModel):
    """:param span: bars of the range
    :param low: buy below it, sell above ``100 - low``, in points
    :param max_hold: sessions a signal is held after its latest entry
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
        low, high = lowest(bars["low"], self.span), highest(bars["high"], self.span)
        fast = percent_of_range(bars["close"], low, high)
        slow = np.full(len(fast), np.nan)
        slow[2:] = (fast[:-2] + fast[1:-1] + fast[2:]) / 3
        return {"slow_k": slow}

    def signal(self, states: States) -> Signal:
        value = states["slow_k"]
        long = latch(value < self.low, value >= 50, self.max_hold)
        short = latch(value > 100 - self.low, value <= 50, self.max_hold)
        return long - short


MODELS = (Stochastic(),)
