"""Trends persist: long while the fast exponential average is above the slow one.

The gap between the averages, divided by its standard deviation under a random walk of the ticker's
volatility. Reference: Robert Carver, Systematic Trading, 2015 (EWMAC); here the gap is that of log
averages, and the scale a closed formula instead of his estimated forecast scalars.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import ema, recursive_warmup
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class EmaCross(TradingModel):
    """:param fast: span of the fast average in bars
    :param slow: span of the slow average in bars, above ``fast``
    """

    fast: int
    slow: int

    def __post_init__(self) -> None:
        if not 2 <= self.fast < self.slow:
            raise ValueError(f"need 2 <= fast < slow, got {self.fast} and {self.slow}")

    @property
    def name(self) -> str:
        return f"ema_cross_{self.fast}_{self.slow}"

    @property
    def warmup(self) -> int:
        return recursive_warmup(self.slow - 1, 2 / (self.slow + 1))

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        return {"ema_gap": np.log(ema(close, self.fast) / ema(close, self.slow))}

    def signal(self, states: States) -> Signal:
        a, b = 1 - 2 / (self.slow + 1), 1 - 2 / (self.fast + 1)
        variance = a * a / (1 - a * a) + b * b / (1 - b * b) - 2 * a * b / (1 - a * b)
        return scaled_signal(states["ema_gap"], states["vol_63"] * np.sqrt(variance))


MODELS = (EmaCross(8, 21), EmaCross(12, 26), EmaCross(20, 50))
