"""Prices are a smooth path plus noise: follow the slope of a one-sided kernel regression.

The Nadaraya-Watson estimate at each close uses that close and earlier ones only. The two-sided
estimator of chart packages repaints, which means that it looks ahead. References: E. A. Nadaraya,
On Estimating Regression, 1964; G. S. Watson, Smooth Regression Analysis, 1964.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class KernelRegression(TradingModel):
    """:param kernel: ``gaussian`` or ``rational_quadratic``
    :param bandwidth: width of the kernel in bars
    :param length: bars of the estimate
    :param alpha: shape of the rational quadratic kernel; the larger, the closer to the gaussian
    """

    kernel: str
    bandwidth: float = 8.0
    length: int = 64
    alpha: float = 1.0

    slice_stable = True

    def __post_init__(self) -> None:
        if self.kernel not in ("gaussian", "rational_quadratic"):
            raise ValueError(f"kernel must be gaussian or rational_quadratic, got {self.kernel!r}")
        if not (self.bandwidth > 0 and self.length >= 2 and self.alpha > 0):
            raise ValueError(f"need bandwidth > 0, length >= 2 and alpha > 0: {self}")

    @property
    def name(self) -> str:
        return f"kernel_{self.kernel}_{self.bandwidth:g}_{self.length}".replace(".", "p")

    @property
    def warmup(self) -> int:
        return self.length

    def weights(self) -> Array:
        """Weights of the last ``length`` log prices in the estimate, latest first; sum 1."""
        age = np.arange(self.length)
        if self.kernel == "gaussian":
            kernel = np.exp(-(age**2) / (2 * self.bandwidth**2))
        else:
            kernel = (1 + age**2 / (2 * self.alpha * self.bandwidth**2)) ** -self.alpha
        return np.asarray(kernel / kernel.sum(), dtype=np.float64)

    def features(self, bars: Bars) -> dict[str, Array]:
        slope = np.full(len(bars["close"]), np.nan)
        if len(slope) > self.length:
            returns = np.diff(np.log(bars["close"]))
            slope[self.length :] = np.convolve(returns, self.weights(), mode="valid")
        return {"kernel_slope": slope}

    def signal(self, states: States) -> Signal:
        scale = np.linalg.norm(self.weights())
        return scaled_signal(states["kernel_slope"], states["vol_63"] * scale)


MODELS = (KernelRegression("gaussian"), KernelRegression("rational_quadratic"))
