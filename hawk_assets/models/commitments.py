"""Hedgers are right at extremes: stand with the commercial traders when they are.

The commercials' net position within its range of the last three years, in points; nothing between
20 and 80, and nothing more than twelve days after the last release. Reference: Larry Williams,
Trade Stocks and Commodities with the Insiders: Secrets of the COT Report, 2005.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.core.model import Array, Bars, States, TradingModel


@dataclass(frozen=True)
class CommitmentsOfTraders(TradingModel):
    """:param weeks: weekly reports of the range
    :param extreme: distance from 50 at which the index counts, in points
    :param stale: days after its release at which a report no longer counts
    """

    weeks: int = 156
    extreme: float = 30.0
    stale: int = 12

    def __post_init__(self) -> None:
        if not (self.weeks >= 2 and 0 <= self.extreme < 50 and self.stale > 0):
            raise ValueError(f"need weeks >= 2, 0 <= extreme < 50 and stale > 0: {self}")

    @property
    def name(self) -> str:
        return f"commitments_{self.weeks}"

    @property
    def reports(self) -> int:
        return self.weeks

    @property
    def warmup(self) -> int:
        return 0

    @property
    def lookback(self) -> int:
        return 0

    def features(self, bars: Bars) -> dict[str, Array]:
        net = bars["commercial_long"] - bars["commercial_short"]
        low, high = net.min(axis=1, initial=np.inf), net.max(axis=1, initial=-np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            index = 100 * (net[:, -1] - low) / (high - low)
        index = np.where(high == low, 50.0, index)
        return {"cot_index": np.where(bars["report_age"] > self.stale, np.nan, index)}

    def signal(self, states: States) -> pd.DataFrame:
        distance = states["cot_index"] - 50
        opinion = (distance / 50).where(distance.abs() >= self.extreme, 0.0)
        # Without a report it is flat at once; only a session without a bar leaves the signal open.
        return opinion.where(states["close"].notna())


MODELS = (CommitmentsOfTraders(),)
