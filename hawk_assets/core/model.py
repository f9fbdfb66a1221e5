"""What a trading model is: two pure functions and the memory they are allowed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from hawk_assets.core.types import Array, Bars, States

__all__ = ["Array", "Bars", "States", "TradingModel"]


@dataclass(frozen=True)
class TradingModel(ABC):
    """A model: features of one ticker's bars, then a signal from the stored states of all tickers.

    Subclasses are frozen dataclasses whose fields are the parameters. Both methods are pure; they
    must not look at anything but their argument. A row dated t may use data up to and including
    the close of t, and nothing later: the contract tests hold every registered model to that.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    """Columns of market_data that ``features`` reads. A bar is valid where all are finite."""

    slice_stable: ClassVar[bool] = False
    """True when ``features`` of a slice equal, bit for bit, the slice of the features: sliding
    windows and finite filters. Recursive indicators and running sums are not."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Unique, stable, derived from the parameters: ``ema_cross_12_26``."""

    @property
    def family(self) -> str:
        """The idea that this is a variant of; models of one class are one family."""
        return type(self).__name__

    @property
    @abstractmethod
    def warmup(self) -> int:
        """Valid bars per ticker that ``features`` needs before the first bar it is asked for."""

    @property
    @abstractmethod
    def lookback(self) -> int:
        """Sessions of states that ``signal`` needs before the first session it is asked for."""

    @property
    def reports(self) -> int:
        """Weekly commitments of traders that ``features`` of a bar need, the latest included."""
        return 0

    @abstractmethod
    def features(self, bars: Bars) -> dict[str, Array]:
        """Features of one ticker.

        :param bars: the declared inputs and ``close``, oldest first, each of shape ``(n_bars,)``,
            contiguous float64, read-only, no NaN inside (bars with a hole are left out). With
            ``reports``, also each number of commitments_of_traders of shape ``(n_bars, reports)``:
            per bar the latest ones released before its date, oldest first, NaN where there are
            fewer; and ``report_age``, days since the release of the latest, ``(n_bars,)``
        :return: named arrays of shape ``(n_bars,)``; NaN where not ready, never infinite
        """

    @abstractmethod
    def signal(self, states: States) -> pd.DataFrame:
        """The model's opinion.

        :param states: one frame of shape ``(n_sessions, n_tickers)`` per feature and for ``close``
            and ``vol_63`` (63-session standard deviation of daily log returns); NaN where not
            ready or no bar
        :return: the same shape, in [-1, 1], NaN where the model has no opinion
        """
