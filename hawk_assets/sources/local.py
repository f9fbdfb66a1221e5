"""Raw data from Parquet and CSV files on this machine.

Files may have any column order and several types; :mod:`hawk_assets.sources.files` reads one. The
table's schema then decides which rows are valid.
"""

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.sources.base import MarketDataSource, Poll, as_poll, empty_table, given_columns
from hawk_assets.sources.digest_cache import DigestCache
from hawk_assets.sources.digests import (
    Digests,
    add,
    day_bits,
    digest,
    digest_frame,
    number_bits,
    text_bits,
)
from hawk_assets.sources.files import Layout, find_files, floats, frame_of, identity, read_file
from hawk_assets.sources.release import release_dates

_BARS = Layout(MARKET_DATA_SCHEMA, "HAWK_MARKET_DATA", "prices", ("date", "ticker"))
_REPORTS = Layout(
    COMMITMENTS_OF_TRADERS_SCHEMA,
    "HAWK_COMMITMENTS",
    "reports",
    ("report_date", "contract"),
    optional=("release_date",),
)


@dataclass(frozen=True)
class MarketDataFiles(MarketDataSource):
    """Bars, and reports if any, from Parquet or CSV files; both kinds may be mixed.

    Each file has the columns of market_data or commitments_of_traders by name, in any order; other
    columns are ignored. A date is a date, or a timestamp or ISO text at midnight of its own time
    zone. Numbers may be integers; a NaN, a null or an empty CSV field is a hole. Reports in a file
    without ``release_date`` get the one of the calendar (:mod:`hawk_assets.sources.release`). CSV
    may be compressed with gzip, bzip2 or zstd.

    :param pattern: the files of the bars: a file, a folder (with its subfolders; names that begin
        with ``.`` or ``_`` are skipped) or a glob, where ``**`` matches any folders
    :param commitments: the files of the reports, likewise; None is no reports
    :param kept: where the digests of unchanged files are kept; None keeps them in this process
    """

    pattern: str
    commitments: str | None = None
    kept: Path | None = field(default=None, compare=False)

    @property
    def description(self) -> str:
        if self.commitments is None:
            return self.pattern
        return f"{self.pattern}, commitments of traders from {self.commitments}"

    @property
    def identity(self) -> str:
        return str(Path(self.pattern).expanduser().absolute())

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        parts = {
            path: frame_of(read_file(path, _BARS, (start, end)), path, _BARS)
            for path in find_files(self.pattern, _BARS)
        }
        return given_columns(_joined(parts, self.pattern, _BARS, ["date", "ticker"]))

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        if self.commitments is None:
            return empty_table(COMMITMENTS_OF_TRADERS_SCHEMA)
        # Read in full, because a file need not have the release; decades are a few megabytes.
        parts = {path: _read_reports(path) for path in find_files(self.commitments, _REPORTS)}
        order = ["release_date", "contract", "report_date"]
        reports = _joined(parts, self.commitments, _REPORTS, order)
        within = (reports["release_date"] >= start) & (reports["release_date"] < end)
        return reports[within].reset_index(drop=True)

    def poll(self, months: pd.DatetimeIndex) -> Poll:
        """The versions of months. A file that has not changed since is not read again."""
        if months.empty:
            return Poll({}, None)
        bars = self._digests(self.pattern, _BARS)
        reports = {} if self.commitments is None else self._digests(self.commitments, _REPORTS)
        return as_poll(months, bars, reports)

    def _digests(self, pattern: str, layout: Layout) -> Digests:
        read = _digest_bars if layout is _BARS else _digest_reports
        parts = [
            self._cache.get(layout.content, path, identity(path, layout), partial(read, path))
            for path in find_files(pattern, layout)
        ]
        self._cache.save()
        return add(parts)

    @cached_property
    def _cache(self) -> DigestCache:
        return DigestCache(self.kept)


def _digest_bars(path: Path) -> Digests:
    """The digests of a file, of any content: what is wrong with it is reported when it is fetched.

    A text that is no number counts as text, so that it is a change like any other.
    """
    table = read_file(path, _BARS)
    days = table["date"].to_numpy().astype("datetime64[D]")
    label = table["ticker"].combine_chunks()
    codes = label.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    columns = {"date": day_bits(days), "ticker": text_bits(codes, label.dictionary.to_pylist())}
    for name in (name for name in _BARS.numbers if name in table.column_names):
        values, bad = floats(table[name])
        columns[name] = number_bits(values)
        if len(bad):
            texts = [str(table[name][int(row)].as_py()) for row in bad]
            columns[name][bad] = text_bits(np.arange(len(texts)), texts)
    return digest(columns, days)


def _digest_reports(path: Path) -> Digests:
    reports = _read_reports(path)
    names = list(COMMITMENTS_OF_TRADERS_SCHEMA.columns)
    return digest_frame(reports[names], "release_date")


def _joined(
    parts: dict[Path, pd.DataFrame], pattern: str, layout: Layout, order: list[str]
) -> pd.DataFrame:
    """The rows of all files, checked against the schema.

    :raises DataError: names the file, or both files that contain the same row
    """
    nonempty = [part for part in parts.values() if len(part)]
    rows = pd.concat([empty_table(layout.schema), *nonempty]).sort_values(order, ignore_index=True)
    try:
        return validate(layout.schema, rows, pattern)
    except DataError:
        for path, part in parts.items():
            validate(layout.schema, part, str(path))
        # Every file is valid by itself, so a row is in two of them.
        key = list(layout.key)
        day, name = rows.loc[rows.duplicated(key), key].iloc[0]
        holders = [
            str(path)
            for path, part in parts.items()
            if (part[key] == [day, name]).all(axis=1).any()
        ]
        raise DataError(
            f"{name} on {day:%Y-%m-%d} is in {' and '.join(holders)}; keep one"
        ) from None


def _read_reports(path: Path) -> pd.DataFrame:
    """The reports of one file, each with its release date."""
    reports = frame_of(read_file(path, _REPORTS), path, _REPORTS)
    if "release_date" not in reports:
        dated = reports["report_date"].dropna()
        released = release_dates(pd.DatetimeIndex(dated))
        reports["release_date"] = pd.Series(released, dated.index).reindex(reports.index)
    return reports
