"""Winners of the past year keep winning: follow each ticker's own return, skip the last month.

The 12-1 month return in units of its volatility. Reference: Moskowitz, Ooi and Pedersen, Time
Series Momentum, Journal of Financial Economics 104, 2012; they use the sign of the whole year's
return.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import past_return
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class TimeSeriesMomentum(TradingModel):
    """:param start: bars back at which the return begins
    :param stop: bars back at which it ends, below ``start``
    """

    start: int = 252
    stop: int = 21

    slice_stable = True

    def __post_init__(self) -> None:
        if not 0 <= self.stop < self.start:
            raise ValueError(f"need 0 <= stop < start: {self}")

    @property
    def name(self) -> str:
        return f"momentum_{self.start}_{self.stop}"

    @property
    def warmup(self) -> int:
        return self.start

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"past_return": past_return(bars["close"], self.start, self.stop)}

    def signal(self, states: States) -> Signal:
        scale = np.sqrt(self.start - self.stop)
        return scaled_signal(states["past_return"], states["vol_63"] * scale)


MODELS = (TimeSeriesMomentum(),)
