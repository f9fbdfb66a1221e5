"""What a source of raw data is, and how a change of its months is detected."""

from typing import NamedTuple, Protocol

import pandas as pd
import pandera.pandas as pa

from hawk_assets.core.schemas import required_columns
from hawk_assets.core.sessions import shift
from hawk_assets.sources.digests import OPTIONAL, Digests, digest_frame, version_of


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

    @property
    def identity(self) -> str:
        """What the prices are, in words; equal for equal settings, whatever the current folder."""
        return self.description

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
        return as_poll(months, digest_frame(bars, "date"), digest_frame(reports, "release_date"))

    def versions(self, months: pd.DatetimeIndex) -> dict[pd.Timestamp, str]:
        """The same versions as from ``poll``, for a caller that fetches next and can wait."""
        return self.poll(months).versions


def as_poll(months: pd.DatetimeIndex, bars: Digests, reports: Digests) -> Poll:
    """What a source has for some months, from the digests of both tables."""
    found, latest = {}, ""
    for month in months.unique().sort_values():
        held = bars.get(f"{month:%Y-%m}"), reports.get(f"{month:%Y-%m}")
        if any(held):
            found[month] = version_of(*held)
        latest = max(latest, held[0].latest if held[0] else "")
    return Poll(found, pd.Timestamp(latest) if latest else None)


def given_columns(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars without those optional columns that have no value in them."""
    return bars.drop(columns=[n for n in OPTIONAL if n in bars and bars[n].isna().all()])


def empty_table(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A table without rows; its columns have their types."""
    types = {name: str(schema.columns[name].dtype) for name in required_columns(schema)}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
