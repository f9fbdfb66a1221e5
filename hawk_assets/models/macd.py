"""Trends accelerate before they show: follow the histogram of moving-average convergence.

The distance of the MACD line from its signal line, divided by its standard deviation under a random
walk. Reference: Gerald Appel's MACD(12, 26, 9); the scale is our own.
"""

from dataclasses import dataclass

import numpy as np
import talib

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import recursive_warmup
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class Macd(TradingModel):
    """:param fast: span of the fast average in bars
    :param slow: span of the slow average in bars, above ``fast``
    :param smooth: span of the signal line in bars
    """

    fast: int = 12
    slow: int = 26
    smooth: int = 9

    def __post_init__(self) -> None:
        if not (2 <= self.fast < self.slow and self.smooth >= 2):
            raise ValueError(f"need 2 <= fast < slow and smooth >= 2: {self}")

    @property
    def name(self) -> str:
        return f"macd_{self.fast}_{self.slow}_{self.smooth}"

    @property
    def warmup(self) -> int:
        line = recursive_warmup(self.slow - 1, 2 / (self.slow + 1))
        return line + recursive_warmup(self.smooth - 1, 2 / (self.smooth + 1))

    def features(self, bars: Bars) -> dict[str, Array]:
        _, _, histogram = talib.MACD(bars["close"], self.fast, self.slow, self.smooth)
        return {"macd_histogram": np.round(histogram / bars["close"], 12)}

    def scale(self) -> float:
        """Standard deviation of histogram / price under a random walk of volatility 1."""
        lag = np.arange(1, 40 * self.slow)
        line = (1 - 2 / (self.slow + 1)) ** lag - (1 - 2 / (self.fast + 1)) ** lag
        alpha = 2 / (self.smooth + 1)
        smoothed = np.convolve(line, alpha * (1 - alpha) ** (lag - 1))[: len(lag)]
        return float(np.linalg.norm(line - smoothed))

    def signal(self, states: States) -> Signal:
        return scaled_signal(states["macd_histogram"], states["vol_63"] * self.scale())


MODELS = (Macd(),)
