"""Prices return into their band: buy below the lower Bollinger band, exit at the middle.

Reference: John Bollinger, Bollinger on Bollinger Bands, 2001, for %b; the limit on the holding
period is our own.
"""

from dataclasses import dataclass

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import percent_b
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class Bollinger(TradingModel):
    """:param span: bars of the band
    :param width: distance from the middle to either edge, in population standard deviations
    :param max_hold: sessions a signal is held after its latest entry
    """

    span: int = 20
    width: float = 2.0
    max_hold: int = 20

    slice_stable = True

    def __post_init__(self) -> None:
        if not (self.span >= 2 and self.width > 0 and self.max_hold >= 2):
            raise ValueError(f"need span >= 2, width > 0 and max_hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"bollinger_{self.span}_{self.width:g}".replace(".", "p")

    @property
    def warmup(self) -> int:
        return self.span - 1

    @property
    def lookback(self) -> int:
        return self.max_hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"percent_b": percent_b(bars["close"], self.span, self.width)}

    def signal(self, states: States) -> Signal:
        value = states["percent_b"]
        long = latch(value < 0, value >= 0.5, self.max_hold)
        short = latch(value > 1, value <= 0.5, self.max_hold)
        return long - short


MODELS = (Bollinger(),)
