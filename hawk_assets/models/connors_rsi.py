"""Pullbacks within a trend revert: buy a 2-bar RSI below 10 above the 200-session average.

Exit when the price is back above its 5-session average; shorts mirror it. Reference: Larry Connors
and Cesar Alvarez, Short Term Trading Strategies That Work, 2008; the holding limit is our own.
"""

from dataclasses import dataclass

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import recursive_warmup, relative_gap, rsi, sma
from hawk_assets.features.signals import latch


@dataclass(frozen=True)
class ConnorsRsi(TradingModel):
    """:param span: bars of the index
    :param low: buy below it, sell above ``100 - low``, in points
    :param exit_span: bars of the average that ends a holding
    :param trend_span: bars of the average that decides its direction
    :param max_hold: sessions a signal is held after its latest entry
    """

    span: int = 2
    low: float = 10.0
    exit_span: int = 5
    trend_span: int = 200
    max_hold: int = 10

    def __post_init__(self) -> None:
        if not (self.span >= 2 and 0 < self.low < 50 and self.max_hold >= 2):
            raise ValueError(f"need span >= 2, 0 < low < 50, max_hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"connors_rsi_{self.span}"

    @property
    def warmup(self) -> int:
        return max(self.trend_span - 1, recursive_warmup(self.span, 1 / self.span))

    @property
    def lookback(self) -> int:
        return self.max_hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        return {
            "rsi": rsi(close, self.span),
            "exit_gap": relative_gap(close, sma(close, self.exit_span)),
            "trend_gap": relative_gap(close, sma(close, self.trend_span)),
        }

    def signal(self, states: States) -> Signal:
        value, back, trend = states["rsi"], states["exit_gap"], states["trend_gap"]
        long = latch((value < self.low) & (trend > 0), back > 0, self.max_hold)
        short = latch((value > 100 - self.low) & (trend < 0), back < 0, self.max_hold)
        return long - short


MODELS = (ConnorsRsi(),)
