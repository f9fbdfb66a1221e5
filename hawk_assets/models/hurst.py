"""Persistence decides: follow the month's move where prices trend, fade it where they revert.

The Hurst exponent measures how the standard deviation of l-session differences grows with l. It is
compared with its mean and spread for random walks of the same length, from simulation: an estimate
above 0.5 alone is no evidence of a trend. Reference: R. Weron, Estimating Long-Range Dependence:
Finite Sample Properties and Confidence Intervals, Physica A 312, 2002.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import past_return
from hawk_assets.features.signals import scaled_signal

LAGS = np.arange(2, 21)
# Mean and standard deviation of the estimate on random walks, by length.
RANDOM_WALK = {252: (0.4704, 0.0748), 504: (0.4875, 0.0520), 1008: (0.4929, 0.0355)}


@dataclass(frozen=True)
class Hurst(TradingModel):
    """:param length: bars of the estimate: 252, 504 or 1008
    :param move: bars of the move that is followed or faded
    """

    length: int = 504
    move: int = 21

    slice_stable = True

    def __post_init__(self) -> None:
        if self.length not in RANDOM_WALK:
            raise ValueError(f"length must be one of {sorted(RANDOM_WALK)}, got {self.length}")
        if not 1 <= self.move < self.length:
            raise ValueError(f"need 1 <= move < length: {self}")

    @property
    def name(self) -> str:
        return f"hurst_{self.length}"

    @property
    def warmup(self) -> int:
        return self.length - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        return {
            "hurst": hurst_exponent(np.log(close), self.length),
            "move": past_return(close, self.move, 0),
        }

    def signal(self, states: States) -> Signal:
        mean, spread = RANDOM_WALK[self.length]
        persistence = ((states["hurst"] - mean) / spread / 2).clip(-1.0, 1.0)
        return persistence * scaled_signal(states["move"], states["vol_63"] * np.sqrt(self.move))


def hurst_exponent(price: Array, length: int) -> Array:
    """Slope of ln sd(x[t] - x[t - l]) against ln l for l = 2..20, over the last ``length`` values.

    :param price: log prices, shape ``(n_bars,)``
    :return: shape ``(n_bars,)``; NaN for the first ``length - 1`` bars and where nothing moved
    """
    out = np.full(len(price), np.nan)
    if len(price) < length:
        return out
    deviations = np.empty((len(LAGS), len(price) - length + 1))
    for row, lag in enumerate(LAGS):
        difference, ones = price[lag:] - price[:-lag], np.ones(length - lag)
        mean = np.convolve(difference, ones, mode="valid") / len(ones)
        square = np.convolve(difference**2, ones, mode="valid") / len(ones)
        deviations[row] = np.maximum(square - mean**2, 0.0)
    flat = (deviations <= 1e-18).any(axis=0)
    centred = np.log(LAGS) - np.log(LAGS).mean()
    logs = 0.5 * np.log(np.where(flat, 1.0, deviations))
    # Row by row: NumPy sums a single column in another order than several columns.
    slope = sum(c * row for c, row in zip(centred, logs, strict=True)) / (centred**2).sum()
    out[length - 1 :] = np.where(flat, np.nan, slope)
    return out


MODELS = (Hurst(),)
