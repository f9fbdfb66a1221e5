"""Raw data from Parquet and CSV files on this machine, read through pyarrow.

Files may have any column order and several types; this module converts days and numbers. The
table's schema then decides which rows are valid.
"""

import glob
import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.sources.base import MarketDataSource, empty_table
from hawk_assets.sources.release import release_dates

_DAY = r"^\d{4}-\d\d-\d\d([T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?)?$"


@dataclass(frozen=True)
class _Layout:
    """What the files of one table have in common."""

    schema: pandera.DataFrameSchema
    setting: str
    content: str
    key: tuple[str, str]
    """The columns of the day and the name; no two rows have both in common."""
    optional: tuple[str, ...] = ()

    @property
    def days(self) -> list[str]:
        return [n for n, c in self.schema.columns.items() if str(c.dtype).startswith("datetime64")]

    @property
    def numbers(self) -> list[str]:
        return [name for name, c in self.schema.columns.items() if str(c.dtype) == "float64"]

    def needs(self, column: str) -> str:
        """The type of a column, in words."""
        return "a day" if column in self.days else "a number" if column in self.numbers else "text"

    def held(self, names: Container[str]) -> list[str]:
        """Those of its columns that are among ``names``."""
        return [name for name in self.schema.columns if name in names]


_BARS = _Layout(MARKET_DATA_SCHEMA, "HAWK_MARKET_DATA", "prices", ("date", "ticker"))
_REPORTS = _Layout(
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
    without ``release_date`` get the one of the calendar (:mod:`hawk_assets.sources.release`).

    :param pattern: the files of the bars: a file, a folder (with its subfolders; names that begin
        with ``.`` or ``_`` are skipped) or a glob, where ``**`` matches any folders
    :param commitments: the files of the reports, likewise; None is no reports
    """

    pattern: str
    commitments: str | None = None

    @property
    def description(self) -> str:
        if self.commitments is None:
            return self.pattern
        return f"{self.pattern}, commitments of traders from {self.commitments}"

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        parts = {path: _read(path, _BARS, (start, end)) for path in _files(self.pattern, _BARS)}
        return _joined(parts, self.pattern, _BARS, ["date", "ticker"])

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        if self.commitments is None:
            return empty_table(COMMITMENTS_OF_TRADERS_SCHEMA)
        # Read in full, because a file need not have the release; decades are a few megabytes.
        parts = {path: _read_reports(path) for path in _files(self.commitments, _REPORTS)}
        order = ["release_date", "contract", "report_date"]
        reports = _joined(parts, self.commitments, _REPORTS, order)
        within = (reports["release_date"] >= start) & (reports["release_date"] < end)
        return reports[within].reset_index(drop=True)


def _joined(
    parts: dict[Path, pd.DataFrame], pattern: str, layout: _Layout, order: list[str]
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
    reports = _read(path, _REPORTS)
    if "release_date" not in reports:
        dated = reports["report_date"].dropna()
        released = release_dates(pd.DatetimeIndex(dated))
        reports["release_date"] = pd.Series(released, dated.index).reindex(reports.index)
    return reports


def _files(pattern: str, layout: _Layout) -> list[Path]:
    """The files of a path, folder or glob, sorted.

    :raises DataError: no file
    """
    asked = os.path.expanduser(pattern)
    found: set[Path] = set()
    for match in map(Path, [asked] if os.path.exists(asked) else glob.glob(asked, recursive=True)):
        if not match.is_dir():
            found.add(match)
            continue
        with _reading(match, layout):
            found.update(_walk(match))
    if not found:
        raise DataError(
            f"{layout.setting}={pattern!r} matches no file (the current directory is {Path.cwd()});"
            " give a path, folder or glob of Parquet or CSV files"
            + (", or 'sample'" if layout is _BARS else "")
        )
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for path, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (Path(path, name) for name in names if not name.startswith((".", "_")))


@contextmanager
def _reading(path: Path, layout: _Layout) -> Iterator[None]:
    """Turn an error of the file system or of pyarrow into one that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"{path}: cannot be read: {reason.rsplit('Invalid: ', 1)[-1].strip()}; "
            f"correct the file, its permissions or {layout.setting}"
        ) from None


def _csv(layout: _Layout) -> ds.CsvFileFormat:
    # Everything is text until the rows are selected. So no type is guessed from other rows, a
    # ticker NA is a ticker, 088691 keeps its zero, and a bad number is reported with name and date.
    return ds.CsvFileFormat(
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(layout.schema.columns, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        )
    )


def _open(path: Path, layout: _Layout) -> ds.Dataset:
    """A file as a dataset with the columns and types of its table.

    :raises DataError: empty, neither Parquet nor CSV, or a column is missing or of the wrong type
    """
    with _reading(path, layout), path.open("rb") as file:
        head = file.read(65536)
    header = head.split(b"\n")[0]
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes); write it again or remove it")
    typed = head.startswith(b"PAR1")
    if typed:
        form = ds.ParquetFileFormat()
    elif b"," in header and b"\0" not in head:
        form = _csv(layout)
    else:
        raise DataError(
            f"{path}: neither Parquet nor comma-separated CSV; remove it, or narrow "
            f"{layout.setting} to the files with {layout.content}"
        )
    with _reading(path, layout):
        dataset = ds.dataset(str(path), format=form, filesystem=LocalFileSystem())
        rows = dataset.count_rows()
    types = {field.name: field.type for field in dataset.schema}
    needed = [name for name in layout.schema.columns if name not in layout.optional]
    if missing := [name for name in needed if name not in types]:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; needs {', '.join(needed)}, "
            f"found {', '.join(types)}. Rename or add it."
        )
    if not rows:
        raise DataError(f"{path}: the file has no rows; write it again or remove it")
    for name in layout.held(types) if typed else ():
        wanted = layout.needs(name)
        if not _fits(types[name], wanted):
            raise DataError(
                f"{path}: column {name} has type {types[name]}, needs {wanted}. Convert it."
            )
    return dataset


def _is_text(kind: pa.DataType) -> bool:
    known = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in known)


def _fits(kind: pa.DataType, needed: str) -> bool:
    if needed == "a day":
        return pa.types.is_date(kind) or pa.types.is_timestamp(kind) or _is_text(kind)
    if needed == "text":
        return _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)
    known = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in known)


def _within(kind: pa.DataType, start: pd.Timestamp, end: pd.Timestamp) -> ds.Expression:
    """The filter for ``[start, end)``. Rows without a valid date pass as well: they are errors."""
    date = pc.field("date")
    if _is_text(kind):
        first, stop = f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"
        undated = ~pc.match_substring_regex(date, _DAY)
    else:
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        first, stop = (
            pa.scalar(day.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")).cast(kind)
            for day in (start, end)
        )
        undated = pc.scalar(False)
    return ((date >= first) & (date < stop)) | date.is_null() | undated


def _days(column: pa.ChunkedArray, path: Path, name: str) -> "pd.Series[pd.Timestamp]":
    """Days as tz-naive midnights: the day in the file's own time zone; null is NaT.

    :raises DataError: a time of day, or text that is not an ISO date
    """
    if _is_text(column.type):
        text = column.cast(pa.string()).to_pandas()
        days = pd.to_datetime(text.str[:10], format="%Y-%m-%d", errors="coerce")
        bad = text.notna() & (days.isna() | ~text.str.fullmatch(_DAY).astype(bool))
        shown = text
    else:
        shown = column.to_pandas(date_as_object=False)
        near = shown.dt.year.between(1678, 2261)
        days = shown.where(near).dt.tz_localize(None).dt.as_unit("ns")
        bad = shown.notna() & (days != days.dt.normalize())
    if bad.any():
        raise DataError(
            f"{path}: {name} {str(shown[bad].iloc[0])!r} is not a day; write YYYY-MM-DD, or a "
            "timestamp at midnight"
        )
    midnights: pd.Series[pd.Timestamp] = days.astype("datetime64[ns]")
    return midnights


def _is_number(text: str | None) -> bool:
    try:
        pa.scalar(text, pa.string()).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _read(
    path: Path, layout: _Layout, span: tuple[pd.Timestamp, pd.Timestamp] | None = None
) -> pd.DataFrame:
    """The rows of one file with the types of their table, not yet checked against the schema.

    :param span: read only the rows dated within ``[start, end)``; None reads all
    """
    dataset = _open(path, layout)
    day, label = layout.key
    within = None if span is None else _within(dataset.schema.field(day).type, *span)
    with _reading(path, layout):
        table = dataset.to_table(columns=layout.held(dataset.schema.names), filter=within)
    days = [name for name in layout.days if name in table.column_names]
    frame = pd.DataFrame({name: _days(table[name], path, name) for name in days})
    frame[label] = table[label].cast(pa.string()).to_pandas()
    for name in layout.numbers:
        try:
            frame[name] = table[name].cast(pa.float64(), safe=False).to_numpy()
        except pa.ArrowInvalid:
            texts = table[name].to_pylist()
            row = next(i for i, text in enumerate(texts) if not _is_number(text))
            when, who = str(frame[day].iloc[row])[:10], frame[label].iloc[row]
            raise DataError(
                f"{path}: {who} on {when}: {name} {texts[row]!r} is not a number; "
                "correct it, or leave the field empty for a hole"
            ) from None
    return frame
