"""A week's move overshoots: fade the last five sessions.

Minus the 5-session return, in units of its volatility. References: Jegadeesh, Evidence
of Predictable Behavior of Security Returns, Journal of Finance 45, 1990; Lehmann, Fads,
Martingales, and Market Efficiency, Quarterly Journal of Economics 105, 1990.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import past_return
from hawk_assets.features.signals import scaled_signal


@dataclass(frozen=True)
class ShortTermReversal(TradingModel):
    """:param span: bars of the move that is faded"""

    span: int = 5

    slice_stable = True

    def __post_init__(self) -> None:
        if self.span < 1:
            raise ValueError(f"need span >= 1: {self}")

    @property
    def name(self) -> str:
        return f"reversal_{self.span}"

    @property
    def warmup(self) -> int:
        return self.span

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"past_return": past_return(bars["close"], self.span, 0)}

    def signal(self, states: States) -> Signal:
        return scaled_signal(-states["past_return"], states["vol_63"] * np.sqrt(self.span))


MODELS = (ShortTermReversal(),)
