"""Winners of the past year beat its losers: rank each ticker against the rest, skip the last month.

The rank of the 12-1 month return among the tickers that have one, from -1 to 1. The universe is
part of this model: it must contain what was tradable then, including delisted tickers. Reference:
Jegadeesh and Titman, Returns to Buying Winners and Selling Losers, Journal of Finance 48, 1993.
"""

from dataclasses import dataclass

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import past_return


@dataclass(frozen=True)
class CrossSectionalMomentum(TradingModel):
    """:param start: bars back at which the return begins
    :param stop: bars back at which it ends, below ``start``
    :param fewest: tickers with a return below which there is no signal
    """

    start: int = 252
    stop: int = 21
    fewest: int = 4

    slice_stable = True

    def __post_init__(self) -> None:
        if not (0 <= self.stop < self.start and self.fewest >= 2):
            raise ValueError(f"need 0 <= stop < start and fewest >= 2: {self}")

    @property
    def name(self) -> str:
        return f"cross_momentum_{self.start}_{self.stop}"

    @property
    def warmup(self) -> int:
        return self.start

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"past_return": past_return(bars["close"], self.start, self.stop)}

    def signal(self, states: States) -> Signal:
        returns = states["past_return"]
        count = returns.notna().sum(axis=1)
        usable = count.where(count >= self.fewest)
        return returns.rank(axis=1).sub(1).mul(2).div(usable - 1, axis=0) - 1


MODELS = (CrossSectionalMomentum(),)
