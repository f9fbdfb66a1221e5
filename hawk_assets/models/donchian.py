"""Breakouts run: buy a close above every close of the last weeks, leave on a shorter channel.

References: Richard Donchian's channel; Curtis Faith, Way of the Turtle, 2007, for the 20/10 and
55/20 systems. The channel is of closes and excludes the current one; the limit on the holding
period is this package's.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class Donchian(TradingModel):
    """:param enter: bars of the channel whose breakout is followed
    :param leave: bars of the channel that ends a position, below ``enter``
    :param max_hold: sessions a position is kept after its latest breakout
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
        close = bars["close"]
        return {
            "above_entry": _gap(close, talib.MAX(close, timeperiod=self.enter)),
            "below_entry": _gap(close, talib.MIN(close, timeperiod=self.enter)),
            "above_exit": _gap(close, talib.MAX(close, timeperiod=self.leave)),
            "below_exit": _gap(close, talib.MIN(close, timeperiod=self.leave)),
        }

    def signal(self, states: States) -> pd.DataFrame:
        long = latch(states["above_entry"] > 0, states["below_exit"] < 0, self.max_hold)
        short = latch(states["below_entry"] < 0, states["above_exit"] > 0, self.max_hold)
        return long - short


def _gap(close: Array, extreme: Array) -> Array:
    """The close over the extreme of the bars before it, less 1."""
    before = np.concatenate([[np.nan], extreme])[: len(close)]
    return np.asarray(close / before - 1.0, dtype=np.float64)


MODELS = (Donchian(20, 10, 126), Donchian(55, 20, 252))
