"""What a source of raw data is, and how a change of its months is detected."""

from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from hawk_assets.core.sessions import market_sessions, month_starts, shift


class Poll(NamedTuple):
    """What a source has for some months."""

    versions: dict[pd.Timestamp, str]
    """By month, a digest of the values that the two fetches return: 16 hexadecimal digits; months
    ascending, those without rows absent."""
    latest_session: pd.Timestamp | None
    """The last date with a close; None where there is none."""


class MarketDataSource(Protocol):
    """Raw data by date. Ranges are half-open, ``[start, end)``; dates are tz-naive midnights."""

    @property
    def description(self) -> str:
        """One line that says where the data comes from."""

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """The bars dated within ``[start, end)``.

        :return: the columns of market_data, by date and ticker; NaN is a hole
        :raises DataError: names the file, ticker, date and remedy
        """

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """The reports released within ``[start, end)``.

        :return: the columns of commitments_of_traders, by release date and contract; no rows
            where the source has none
        """

    def poll(self, months: pd.DatetimeIndex) -> Poll:
        """The versions of months, for a caller that polls every minute and does not wait long.

        Equal values give equal versions, in every process and from every file layout. A value that
        is changed, added or removed gives a different version. Everything from the first month to
        the last is read at once.

        :param months: month starts, any order
        """
        if months.empty:
            return Poll({}, None)
        start, end = months.min(), shift(months.max(), 1)
        bars = self.fetch_market_data(start, end)
        reports = self.fetch_commitments_of_traders(start, end)
        rows = [
            (month_starts(bars["date"]), _row_hashes(bars)),
            (month_starts(reports["release_date"]), _row_hashes(reports)),
        ]
        found = {}
        for month in months.unique().sort_values():
            content = [hashes[dated == month].tobytes() for dated, hashes in rows]
            if any(content):
                found[month] = blake2b(b"|".join(content), digest_size=8).hexdigest()
        sessions = market_sessions(bars)
        return Poll(found, None if sessions.empty else sessions[-1])

    def versions(self, months: pd.DatetimeIndex) -> dict[pd.Timestamp, str]:
        """The same versions as from ``poll``, for a caller that fetches next and can wait."""
        return self.poll(months).versions


def _row_hashes(frame: pd.DataFrame) -> "NDArray[np.integer[Any]]":
    """One hash per row. Different bits of NaN and of zero, as files have them, count as equal."""
    plain = frame.copy()
    for name in frame.select_dtypes("float64"):
        values = frame[name].to_numpy(np.float64)
        plain[name] = np.where(np.isnan(values), np.nan, values + 0.0)
    return pd.util.hash_pandas_object(plain, index=False).to_numpy(np.uint64)


def empty_table(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A table without rows; its columns have their types."""
    types = {name: str(column.dtype) for name, column in schema.columns.items()}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
