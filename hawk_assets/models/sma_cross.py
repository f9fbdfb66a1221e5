"""The golden cross: long while the 50-session average is above the 200-session one.

Simple averages, whose memory is exactly the slow span. The gap is divided by its standard deviation
under a random walk. Reference: Brock, Lakonishok and LeBaron, Simple Technical Trading Rules and
the Stochastic Properties of Stock Returns, Journal of Finance 47, 1992.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import sma
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class SmaCross(TradingModel):
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
        return f"sma_cross_{self.fast}_{self.slow}"

    @property
    def warmup(self) -> int:
        return self.slow - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        gap: Array = np.log(sma(close, self.fast) / sma(close, self.slow))
        return {"sma_gap": np.round(gap, 12)}

    def signal(self, states: States) -> Signal:
        lag = np.arange(1, self.slow + 1)
        response = np.maximum(1 - lag / self.slow, 0) - np.maximum(1 - lag / self.fast, 0)
        return scaled_signal(states["sma_gap"], states["vol_63"] * np.linalg.norm(response))


MODELS = (SmaCross(50, 200),)
