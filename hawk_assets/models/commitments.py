"""Hedgers are right at extremes: follow the commercial traders when their position is extreme.

The commercials' net position within its range of the last three years, in points. The signal is 0
between 20 and 80, and from the thirteenth day after the last release. Reference: Larry Williams,
Trade Stocks and Commodities with the Insiders: Secrets of the COT Report, 2005.
"""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import percent_of_range


@dataclass(frozen=True)
class CommitmentsOfTraders(TradingModel):
    """:param weeks: weekly reports of the range
    :param extreme: distance from 50 from which on the index counts, in points
    :param stale: days after its release for which a report counts
    """

    weeks: int = 156
    extreme: float = 30.0
    stale: int = 12

    warmup = 0

    def __post_init__(self) -> None:
        if not (self.weeks >= 2 and 0 <= self.extreme < 50 and self.stale > 0):
            raise ValueError(f"need weeks >= 2, 0 <= extreme < 50 and stale > 0: {self}")

    @property
    def name(self) -> str:
        return f"commitments_{self.weeks}"

    @property
    def reports(self) -> int:
        return self.weeks

    def features(self, bars: Bars) -> dict[str, Array]:
        net = bars["commercial_long"] - bars["commercial_short"]
        low, high = net.min(axis=1, initial=np.inf), net.max(axis=1, initial=-np.inf)
        index = percent_of_range(net[:, -1], low, high)
        return {"cot_index": np.where(bars["report_age"] > self.stale, np.nan, index)}

    def signal(self, states: States) -> Signal:
        distance = states["cot_index"] - 50
        opinion = (distance / 50).where(distance.abs() >= self.extreme, 0.0)
        # Without a report the signal is 0 at once. NaN, which holds the last signal for 5 sessions,
        # is only for sessions without a bar.
        return opinion.where(states["close"].notna())


MODELS = (CommitmentsOfTraders(),)
