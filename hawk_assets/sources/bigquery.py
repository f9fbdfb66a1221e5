"""Raw data from tables or views of BigQuery: what is asked of them, and what the answers mean.

How it is asked, and what can go wrong then, is in :mod:`hawk_assets.sources.warehouse`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from hawk_assets.core.errors import DataError, SettingsError
from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS, MARKET_DATA, validate
from hawk_assets.core.sessions import month_starts, shift
from hawk_assets.sources.base import MarketDataSource, Poll, empty_table
from hawk_assets.sources.release import release_dates

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from hawk_assets.sources.warehouse import Warehouse

Connect = Callable[[], "Client"]

POLL_SECONDS, FETCH_SECONDS = 40.0, 300.0
"""How long an answer is waited for, retries included. Dagster cuts a sensor off after 60 s."""

_RELEASED_WITHIN = 100
"""Days from a report to its release; the longest on record, of 2025, were 50."""

# The characters Google allows, without those that are legal in a table's name but need care in SQL.
_URL = re.compile(
    r"bigquery://(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])"
    r"/(?P<dataset>\w{1,1024})/(?P<table>[\w-]{1,1024})",
    re.ASCII,
)


@dataclass(frozen=True)
class TableName:
    """A table or view, as a setting names it.

    :param setting: the setting, for messages
    """

    setting: str
    project: str
    dataset: str
    table: str

    @classmethod
    def parse(cls, setting: str, url: str) -> "TableName":
        """:raises SettingsError: not of the form bigquery://project/dataset/table"""
        found = _URL.fullmatch(url)
        if not found:
            raise SettingsError(
                f"{setting}={url!r} does not name a table; write "
                "bigquery://project/dataset/table: the project's id (6 to 30 lower-case letters, "
                "digits and hyphens), then letters, digits and underscores"
            )
        return cls(setting, **{k: found[k] for k in ("project", "dataset", "table")})

    def __str__(self) -> str:
        return f"bigquery://{self.project}/{self.dataset}/{self.table}"

    @property
    def path(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclass(frozen=True)
class Columns:
    """The rows of a span of days in one table.

    :param schema: of the frame they are to become
    :param names: the columns to read
    :param day: the column that places a row in time
    :param earlier: days before the span that are read as well
    """

    table: TableName
    schema: pandera.DataFrameSchema
    names: tuple[str, ...]
    day: str
    earlier: int = 0

    def kind(self, name: str) -> str:
        """``datetime64[ns]``, ``float64`` or ``object``."""
        return str(self.schema.columns[name].dtype)

    @property
    def rows(self) -> str:
        """The query for the rows. Without an order, so that they come by several streams."""
        return f"SELECT {_quoted(self.names)} FROM {self._span}"

    @property
    def content(self) -> str:
        """The query for one line a day: how many rows, and a fingerprint of all they hold.

        A row's text is JSON with every column by name: complete where one is null, and its numbers
        read back as they are. Exclusive or does not mind the order of the rows; the count tells
        what it cannot, a row that is there twice or not at all.
        """
        return (
            f"SELECT '{self.schema.name}' AS `of`, `{self.day}` AS `day`, COUNT(*) AS `count`, "
            f"BIT_XOR(FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({_quoted(self.names)})))) "
            f"AS `fingerprint` FROM {self._span} GROUP BY `{self.day}`"
        )

    @property
    def _span(self) -> str:
        # The bare column against constants: anything else would read all partitions.
        start = f"DATE_SUB(@start, INTERVAL {self.earlier} DAY)" if self.earlier else "@start"
        return f"`{self.table.path}` WHERE `{self.day}` >= {start} AND `{self.day}` < @end"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@dataclass(frozen=True)
class BigQueryTables(MarketDataSource):
    """Bars, and reports where there are any, in a table or view each.

    They have the columns of ``MARKET_DATA`` or ``COMMITMENTS_OF_TRADERS`` by name; others are not
    read. Days have type DATE: which day a TIMESTAMP falls on depends on a time zone, and that is
    for a view to say. Numbers are FLOAT64, INT64, NUMERIC or BIGNUMERIC; a NULL or NaN is a hole.
    Reports without ``release_date`` get the calendar's (:mod:`hawk_assets.sources.release`). A row
    without a date is in no month and is never seen.

    What a poll costs: one query over the columns above in the partitions of the months asked for,
    at least 10 MB a table; nothing while no table has changed, since BigQuery then answers from its
    cache. Both tables are in one location.

    :param prices: the table of the bars
    :param reports: the table of the reports; None is no reports
    :param connect: makes the client; called when the source is first asked
    """

    prices: TableName
    reports: TableName | None
    connect: Connect

    @property
    def description(self) -> str:
        if self.reports is None:
            return str(self.prices)
        return f"{self.prices}, commitments of traders from {self.reports}"

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        return self._fetch(self._bars, start, end, ["date", "ticker"])

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        if self._released is None:
            return empty_table(COMMITMENTS_OF_TRADERS)
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
        # Google's client takes seconds to import: for those who ask, not for every service.
        from hawk_assets.sources.warehouse import Warehouse

        return Warehouse(self.connect)

    @cached_property
    def _bars(self) -> Columns:
        return Columns(self.prices, MARKET_DATA, tuple(MARKET_DATA.columns), "date")

    @cached_property
    def _released(self) -> Columns | None:
        """The reports by release; by report where the table does not state the release."""
        if self.reports is None:
            return None
        names = tuple(COMMITMENTS_OF_TRADERS.columns)
        if "release_date" in self._warehouse.columns_of(self.reports, POLL_SECONDS):
            return Columns(self.reports, COMMITMENTS_OF_TRADERS, names, "release_date")
        names = tuple(name for name in names if name != "release_date")
        return Columns(self.reports, COMMITMENTS_OF_TRADERS, names, "report_date", _RELEASED_WITHIN)

    def _fetch(
        self, columns: Columns, start: pd.Timestamp, end: pd.Timestamp, order: list[str]
    ) -> pd.DataFrame:
        table = self._warehouse.ask(columns.rows, [columns], start, end, FETCH_SECONDS)
        table = table.rename_columns(list(columns.names))  # SQL does not mind the case
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
        bars = days["of"] == MARKET_DATA.name
        latest = days.loc[bars, "day"].max()
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


def _column(column: pa.ChunkedArray, columns: Columns, name: str) -> "pd.Series":
    """Values in the types of their table; NULL is NaT, NaN or None.

    :raises DataError: a day that pandas cannot hold
    """
    if columns.kind(name) == "float64":
        return column.cast(pa.float64(), safe=False).to_pandas()
    if columns.kind(name) == "object":
        return column.to_pandas().astype(object)
    try:
        return column.cast(pa.timestamp("ns")).to_pandas()
    except pa.ArrowInvalid:
        far = max((day for day in column.to_pylist() if day), key=lambda day: abs(day.year - 2000))
        raise DataError(
            f"{columns.table}: {name} {far} is not a day of any market; correct the table"
        ) from None
