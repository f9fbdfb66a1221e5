"""What a trading model is: two pure functions, and the memory that each of them may use."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from hawk_assets.core.types import Array, Bars, Signal, States

__all__ = ["Array", "Bars", "Signal", "States", "TradingModel"]


@dataclass(frozen=True)
class TradingModel(ABC):
    """A model: features from the bars of one ticker, then a signal from the states of all tickers.

    Subclasses are frozen dataclasses whose fields are the parameters. A declaration below that is
    constant is a class attribute of the subclass; one that depends on the parameters is a property.
    Both methods are pure: they read nothing but their argument. A row dated t uses data up to and
    including the close of t, and nothing later. The contract tests check every registered model.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    """Columns of market_data that ``features`` reads. A bar is valid where all are finite."""

    slice_stable: ClassVar[bool] = False
    """True when the features of a slice of bars equal the same slice of the features of all bars,
    bit for bit, after ``warmup`` bars. Sliding windows and finite filters do; recursive indicators
    and running sums do not. True saves time: one pass instead of one per year."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Unique and stable, from the parameters that tell variants apart: ``ema_cross_12_26``."""

    @property
    def family(self) -> str:
        """The idea that this is a variant of; models of one class are one family."""
        return type(self).__name__

    @property
    @abstractmethod
    def warmup(self) -> int:
        """Valid bars per ticker that ``features`` needs before the first bar it is asked for."""

    @property
    def lookback(self) -> int:
        """Sessions of states that ``signal`` needs before the first session it is asked for."""
        return 0

    @property
    def reports(self) -> int:
        """Weekly commitments of traders that ``features`` of a bar needs, including the latest."""
        return 0

    @abstractmethod
    def features(self, bars: Bars) -> dict[str, Array]:
        """Features of one ticker.

        :param bars: the declared inputs and ``close``, oldest first, each of shape ``(n_bars,)``,
            contiguous float64, read-only, without NaN: bars with a hole are dropped first. With
            ``reports``, also each number of commitments_of_traders, of shape ``(n_bars, reports)``:
            per bar the latest ones released before its date, oldest first, NaN where there are
            fewer; and ``report_age``, days since the latest release, of shape ``(n_bars,)``
        :return: named arrays of shape ``(n_bars,)``; NaN where not ready, never infinite
        """

    @abstractmethod
    def signal(self, states: States) -> Signal:
        """The model's opinion.

        :param states: one frame of shape ``(n_sessions, n_tickers)`` per feature and for ``close``
            and ``vol_63`` (63-session standard deviation of daily log returns); NaN where not
            ready or no bar
        :return: the same shape, in [-1, 1], NaN where the model has no opinion
        """
