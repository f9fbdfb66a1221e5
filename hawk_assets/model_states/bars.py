"""Market data, sorted once for all models: the bars of each ticker together, oldest first."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.core.types import Array, Bars, Dates, Flags, Indices
from hawk_assets.model_states.rounding import round_significant

VOL_BARS = 63


def volatility(close: Array) -> Array:
    """Standard deviation (ddof 1) of the last 63 daily log returns.

    :param close: shape ``(n_bars,)``, finite and positive
    :return: shape ``(n_bars,)``, a fraction per day; NaN for the first 63 bars. Each value depends
        on its own 64 closes only, bit for bit.
    """
    out = np.full(close.shape, np.nan)
    if len(close) > VOL_BARS:
        returns = np.diff(np.log(close))
        # Sums of shifted arrays: the same operations for every value, twice as fast as windows.
        shifted = [returns[k : len(returns) - VOL_BARS + 1 + k] for k in range(VOL_BARS)]
        mean = sum(shifted) / VOL_BARS
        out[VOL_BARS:] = np.sqrt(sum((x - mean) ** 2 for x in shifted) / (VOL_BARS - 1))
    return out


class MarketBars:
    """Market data, sorted by ticker and date, and the rows in the months of the states.

    :param market_data: any row order
    :param months: the months of the states
    """

    def __init__(self, market_data: pd.DataFrame, months: pd.DatetimeIndex) -> None:
        codes, tickers = pd.factorize(market_data["ticker"], sort=True)
        dates = market_data["date"].to_numpy("datetime64[ns]")
        order = np.lexsort((dates, codes))
        wanted = np.isin(dates.astype("datetime64[M]"), months.to_numpy().astype("datetime64[M]"))
        self._market_data, self._order = market_data, order
        self.dates: Dates = dates[order]
        self.codes: Indices = codes[order]
        self.names = [str(ticker) for ticker in tickers]
        self.wanted: Flags = wanted[order]
        asked = np.flatnonzero(self.wanted)
        self.asked = asked[np.lexsort((self.codes[asked], self.dates[asked]))]
        """The rows in the months, by date and ticker."""
        self._columns: dict[str, Array] = {}
        self._valid: list[ValidBars] = []

    @cached_property
    def rows(self) -> pd.DataFrame:
        """date, ticker and close of the rows in the months."""
        names = np.asarray(self.names, object)
        return pd.DataFrame(
            {
                "date": self.dates[self.asked],
                "ticker": names[self.codes[self.asked]],
                "close": self.column("close")[self.asked],
            }
        )

    def column(self, name: str) -> Array:
        """A column of market data in this order, read-only because all models share it."""
        if name not in self._columns:
            column = self._market_data[name].to_numpy(np.float64)[self._order]
            column.setflags(write=False)
            self._columns[name] = column
        return self._columns[name]

    def valid(self, columns: Iterable[str]) -> "ValidBars":
        """The bars on which all of ``columns`` are finite."""
        mask = np.logical_and.reduce([np.isfinite(self.column(name)) for name in columns])
        for known in self._valid:
            if np.array_equal(known.mask, mask):
                return known
        self._valid.append(ValidBars(self, mask))
        return self._valid[-1]


class ValidBars:
    """The bars without a hole, by ticker and date; arrays have shape ``(n_bars,)``."""

    def __init__(self, market: MarketBars, mask: Flags) -> None:
        self._market, self.mask = market, mask
        self._whole = bool(mask.all())
        self.dates = self._of(market.dates)
        codes, n = self._of(market.codes), len(market.names)
        edges = np.append(0, np.cumsum(np.bincount(codes, minlength=n)))
        asked = np.bincount(market.codes[market.wanted], minlength=n) > 0
        self.tickers = [
            (name, slice(*span))
            for name, span, any_asked in zip(
                market.names, np.stack([edges[:-1], edges[1:]], 1).tolist(), asked, strict=True
            )
            if any_asked
        ]
        """The tickers with rows in the months, and the slices of their bars."""
        # A bar with a hole refers to the NaN that ``on_rows`` appends.
        index = np.where(mask, np.cumsum(mask) - 1, len(self.dates))
        self._index = index[market.asked]
        self._columns: dict[str, Array] = {}

    def bars(self, columns: Iterable[str], span: slice) -> Bars:
        """The argument of ``features`` for a ticker, read-only."""
        for name in columns:
            if name not in self._columns:
                self._columns[name] = self._of(self._market.column(name))
                self._columns[name].setflags(write=False)
        return {name: self._columns[name][span] for name in columns}

    @cached_property
    def volatility(self) -> Array:
        """vol_63 of each bar, to 10 significant digits."""
        out = np.full(len(self.dates), np.nan)
        for _, span in self.tickers:
            out[span] = volatility(self.bars(["close"], span)["close"])
        return round_significant(out)

    def on_rows(self, values: Array) -> Array:
        """One value per bar to one value per row in the months, NaN where the row has a hole."""
        return np.append(values, np.nan)[self._index]

    def _of(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._whole else values[self.mask]
