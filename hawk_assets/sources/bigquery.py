"""Raw data from BigQuery tables or views: from query results to tables.

The queries are in :mod:`hawk_assets.sources.queries`; the client, its retries and its errors in
:mod:`hawk_assets.sources.warehouse`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.core.sessions import month_starts, shift
from hawk_assets.sources.base import MarketDataSource, Poll, empty_table
from hawk_assets.sources.queries import Columns, TableName
from hawk_assets.sources.release import release_dates

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from hawk_assets.sources.warehouse import Warehouse

Connect = Callable[[], "Client"]

POLL_SECONDS, FETCH_SECONDS = 25.0, 300.0
"""The longest wait for an answer, including retries. Dagster stops a sensor after 60 s, and one
that has found something asks twice."""

_RELEASED_WITHIN = 100
"""The most days between a report and its release; the longest so far, in 2025, was 50."""


@dataclass(frozen=True)
class BigQueryTables(MarketDataSource):
    """Bars from one table or view, and reports, if any, from another.

    They have the columns of market_data or commitments_of_traders by name; other columns are not
    read. Days have type DATE: the day of a TIMESTAMP depends on a time zone, which a view must
    choose. Numbers are FLOAT64, INT64, NUMERIC or BIGNUMERIC; NULL or NaN is a hole. Reports
    without ``release_date`` get the one of the calendar (:mod:`hawk_assets.sources.release`). A row
    without a date belongs to no month and is never read.

    The cost of a poll: one query over these columns in the partitions of the months, at least 10 MB
    per table. It costs nothing while no table has changed, because BigQuery answers from its cache.
    Both tables must be in one location.

    :param prices: the table of the bars
    :param reports: the table of the reports; None is no reports
    :param connect: creates the client; called at the first query
    """

    prices: TableName
    reports: TableName | None
    connect: Connect

    @property
    def description(self) -> str:
        if self.reports is None:
            return str(self.prices)
        return f"{self.prices}, commitments of traders from {self.reports}"

    @property
    def identity(self) -> str:
        return str(self.prices)

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        return self._fetch(self._bars, start, end, ["date", "ticker"])

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        if self._released is None:
            return empty_table(COMMITMENTS_OF_TRADERS_SCHEMA)
        order = ["release_date", "contract", "report_date"]
        reports = self._fetch(self._released, start, end, order)
        within = (reports["release_date"] >= start) & (reports["release_date"] < end)
        return reports[within].reset_index(drop=True)

    def poll(self, months: pd.DatetimeIndex) -> Poll:
        return self._content(months, POLL_SECONDS)

    def versions(self, months: pd.DatetimeIndex) -> dict[pd.Timestamp, str]:
        return self._content(months, FETCH_SECONDS).versions

    @cached_property
    def _warehouse(self) -> "Warehouse":
        # Importing Google's client takes seconds, so only a process that queries does it.
        from hawk_assets.sources.warehouse import Warehouse

        return Warehouse(self.connect)

    @cached_property
    def _bars(self) -> Columns:
        return Columns(self.prices, MARKET_DATA_SCHEMA, tuple(MARKET_DATA_SCHEMA.columns), "date")

    @cached_property
    def _released(self) -> Columns | None:
        """The reports by release date, or by report date where the table has no release date."""
        if self.reports is None:
            return None
        names = tuple(COMMITMENTS_OF_TRADERS_SCHEMA.columns)
        if "release_date" in self._warehouse.columns_of(self.reports, POLL_SECONDS):
            return Columns(self.reports, COMMITMENTS_OF_TRADERS_SCHEMA, names, "release_date")
        names = tuple(name for name in names if name != "release_date")
        return Columns(
            self.reports, COMMITMENTS_OF_TRADERS_SCHEMA, names, "report_date", _RELEASED_WITHIN
        )

    def _fetch(
        self, columns: Columns, start: pd.Timestamp, end: pd.Timestamp, order: list[str]
    ) -> pd.DataFrame:
        table = self._warehouse.ask(columns.rows, [columns], start, end, FETCH_SECONDS)
        table = table.rename_columns(list(columns.names))  # SQL ignores upper and lower case
        frame = pd.DataFrame({name: _column(table[name], columns, name) for name in columns.names})
        if "release_date" not in frame and "release_date" in columns.schema.columns:
            frame["release_date"] = release_dates(pd.DatetimeIndex(frame["report_date"]))
        return validate(columns.schema, frame.sort_values(order), str(columns.table))

    def _content(self, months: pd.DatetimeIndex, seconds: float) -> Poll:
        if months.empty:
            return Poll({}, None)
        asked = [columns for columns in (self._bars, self._released) if columns is not None]
        query = " UNION ALL ".join(columns.content for columns in asked)
        span = months.min(), shift(months.max(), 1)
        days = self._warehouse.ask(query, asked, *span, seconds).to_pandas()
        days["day"] = days["day"].astype("datetime64[ns]")
        bars = days["of"] == MARKET_DATA_SCHEMA.name
        latest = days.loc[bars & (days["closes"] > 0), "day"].max()
        if self._released and self._released.day == "report_date":
            days.loc[~bars, "day"] = release_dates(pd.DatetimeIndex(days.loc[~bars, "day"]))
        month = month_starts(days["day"])
        found = {}
        for asked_for in months.unique().sort_values():
            content = []
            for kind in (bars, ~bars):
                held = days[kind & (month == asked_for)]
                content += [held["count"].sum(), np.bitwise_xor.reduce(held["fingerprint"])]
            if content[0] or content[2]:
                text = " ".join(str(int(number)) for number in content)
                found[asked_for] = blake2b(text.encode(), digest_size=8).hexdigest()
        return Poll(found, None if pd.isna(latest) else latest)


def _column(column: pa.ChunkedArray, columns: Columns, name: str) -> "pd.Series[Any]":
    """Values with the types of their table; NULL becomes NaT, NaN or None."""
    if columns.kind(name) == "float64":
        values = column.cast(pa.float64(), safe=False).to_pandas()
    elif columns.kind(name) == "object":
        values = column.to_pandas().astype(object)
    else:
        values = _days(column, columns, name)
    return cast("pd.Series[Any]", values)


def _days(column: pa.ChunkedArray, columns: Columns, name: str) -> Any:
    """:raises DataError: a day out of the range of pandas"""
    try:
        return column.cast(pa.timestamp("ns")).to_pandas()
    except pa.ArrowInvalid:
        far = max((day for day in column.to_pylist() if day), key=lambda day: abs(day.year - 2000))
        raise DataError(
            f"{columns.table}: {name} {far} is not a day of any market; correct the table"
        ) from None
