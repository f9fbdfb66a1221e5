"""Prices that fell too far recover: buy an RSI below 30, sell one above 70, exit at 50.

Reference: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978; the exit at 50 and the
limit on the holding period are our own.
"""

from dataclasses import dataclass

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import recursive_warmup, rsi
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class Rsi(TradingModel):
    """:param span: bars of the index
    :param low: buy below it, sell above ``100 - low``, in points
    :param middle: exit a long at or above it, a short at or below ``100 - middle``, in points
    :param max_hold: sessions a signal is held after its latest entry
    """

    span: int = 14
    low: float = 30.0
    middle: float = 50.0
    max_hold: int = 63

    def __post_init__(self) -> None:
        if not (self.span >= 2 and 0 < self.low < self.middle < 100 and self.max_hold >= 2):
            raise ValueError(f"need span >= 2, 0 < low < middle < 100, max_hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"rsi_{self.span}"

    @property
    def warmup(self) -> int:
        return recursive_warmup(self.span, 1 / self.span)

    @property
    def lookback(self) -> int:
        return self.max_hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"rsi": rsi(bars["close"], self.span)}

    def signal(self, states: States) -> Signal:
        value = states["rsi"]
        long = latch(value < self.low, value >= self.middle, self.max_hold)
        short = latch(value > 100 - self.low, value <= 100 - self.middle, self.max_hold)
        return long - short


MODELS = (Rsi(),)
