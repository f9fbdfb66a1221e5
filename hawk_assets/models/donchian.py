"""Breakouts continue: buy a close above all closes of the last weeks, exit on a shorter channel.

References: Richard Donchian's channel; Curtis Faith, Way of the Turtle, 2007 (20/10 and 55/20).
The channel uses closes before the current one; the limit on the holding period is our own.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import highest, lowest
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class Donchian(TradingModel):
    """:param enter: bars of the channel whose breakout is followed
    :param leave: bars of the channel whose breakout ends a holding, below ``enter``
    :param max_hold: sessions a signal is held after its latest breakout
    """

    enter: int
    leave: int
    max_hold: int

    slice_stable = True

    def __post_init__(self) -> None:
        if not (2 <= self.leave < self.enter and self.max_hold >= 2):
            raise ValueError(f"need 2 <= leave < enter and max_hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"donchian_{self.enter}_{self.leave}"

    @property
    def warmup(self) -> int:
        return self.enter

    @property
    def lookback(self) -> int:
        return self.max_hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        close, before = bars["close"], np.append(np.nan, bars["close"])[:-1]
        return {
            "above_entry": close / highest(before, self.enter) - 1.0,
            "below_entry": close / lowest(before, self.enter) - 1.0,
            "above_exit": close / highest(before, self.leave) - 1.0,
            "below_exit": close / lowest(before, self.leave) - 1.0,
        }

    def signal(self, states: States) -> Signal:
        long = latch(states["above_entry"] > 0, states["below_exit"] < 0, self.max_hold)
        short = latch(states["below_entry"] < 0, states["above_exit"] > 0, self.max_hold)
        return long - short


MODELS = (Donchian(20, 10, 126), Donchian(55, 20, 252))
