"""Market data from Parquet and CSV files on this machine, read through pyarrow.

A file keeps its own column order and types; what it means by a day or a number is settled here.
What a bar may hold is settled by the table's schema.
"""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS, MARKET_DATA, validate
from hawk_assets.sources.base import MarketDataSource, empty_table

_COLUMNS = list(MARKET_DATA.columns)
_NUMBERS = _COLUMNS[2:]
_DAY = r"^\d{4}-\d\d-\d\d([T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?)?$"

# CSV stays text until its rows are chosen: no value is guessed from the rows above it, a ticker
# called NA is a ticker, and a bad number can be reported with its ticker and date.
_CSV = ds.CsvFileFormat(
    convert_options=pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(_COLUMNS, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
    )
)


@dataclass(frozen=True)
class LocalFiles(MarketDataSource):
    """Bars in Parquet or CSV files, told apart by content, mixed as they come.

    Each file has the columns of ``MARKET_DATA`` by name, in any order; others are ignored. ``date``
    is a date, or a timestamp or ISO text at midnight of its own time zone. Numbers may be integers;
    a NaN, a null or an empty CSV field is a hole. Files hold no commitments of traders.

    :param pattern: a file, a folder (read with its subfolders; names that begin with ``.`` or ``_``
        are skipped) or a glob, where ``**`` spans folders
    """

    pattern: str

    @property
    def description(self) -> str:
        return self.pattern

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        tables = {path: _read(path, start, end) for path in _files(self.pattern)}
        parts = {path: _bars(table, path) for path, table in tables.items() if table.num_rows}
        bars = pd.concat([empty_table(MARKET_DATA), *parts.values()])
        bars = bars.sort_values(["date", "ticker"], ignore_index=True)
        try:
            return validate(MARKET_DATA, bars, self.pattern)
        except DataError:
            for path, part in parts.items():
                validate(MARKET_DATA, part, str(path))
            # Every file is sound by itself, so a bar is in two of them.
            day, ticker = bars.loc[bars.duplicated(["date", "ticker"]), ["date", "ticker"]].iloc[0]
            holders = [
                str(path)
                for path, part in parts.items()
                if ((part["date"] == day) & (part["ticker"] == ticker)).any()
            ]
            raise DataError(
                f"{ticker} on {day:%Y-%m-%d} is in {' and '.join(holders)}; keep one"
            ) from None

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        return empty_table(COMMITMENTS_OF_TRADERS)

    def latest_session(self) -> pd.Timestamp | None:
        latest = []
        for path in _files(self.pattern):
            with _reading(path):
                dates = _open(path).to_table(columns=["date"])["date"]
            latest.append(_days(pa.chunked_array([[pc.max(dates)]], dates.type), path))
        day = pd.concat(latest).max()
        return None if pd.isna(day) else day


def _files(pattern: str) -> list[Path]:
    """The files of a path, folder or glob, sorted.

    :raises DataError: there are none
    """
    asked = os.path.expanduser(pattern)
    found: set[Path] = set()
    for match in map(Path, [asked] if os.path.exists(asked) else glob.glob(asked, recursive=True)):
        if not match.is_dir():
            found.add(match)
            continue
        with _reading(match):
            found.update(_walk(match))
    if not found:
        raise DataError(
            f"HAWK_MARKET_DATA={pattern!r} matches no file (the current directory is {Path.cwd()});"
            " give a path, folder or glob of Parquet or CSV files, or 'sample'"
        )
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for where, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (Path(where, name) for name in names if not name.startswith((".", "_")))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the file system or pyarrow says into an error that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"{path}: cannot be read: {reason.rsplit('Invalid: ', 1)[-1].strip()}; "
            "correct the file, its permissions or HAWK_MARKET_DATA"
        ) from None


def _open(path: Path) -> ds.Dataset:
    """A file as a dataset with the columns and types of market data.

    :raises DataError: empty, neither Parquet nor CSV, a column missing or of a useless type
    """
    with _reading(path), path.open("rb") as file:
        head = file.read(65536)
    header = head.split(b"\n")[0]
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes); write it again or remove it")
    if head.startswith(b"PAR1"):
        form = ds.ParquetFileFormat()
    elif b"," in header and b"\0" not in head:
        form = _CSV
    else:
        raise DataError(
            f"{path}: neither Parquet nor comma-separated CSV; remove it, or narrow "
            "HAWK_MARKET_DATA to the files with prices"
        )
    with _reading(path):
        dataset = ds.dataset(str(path), format=form, filesystem=LocalFileSystem())
        rows = dataset.count_rows()
    types = {field.name: field.type for field in dataset.schema}
    if missing := [c for c in _COLUMNS if c not in types]:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; needs {', '.join(_COLUMNS)}, "
            f"found {', '.join(types)}. Rename or add it."
        )
    if not rows:
        raise DataError(f"{path}: the file has no rows; write it again or remove it")
    for name in _COLUMNS:
        needed = "a day" if name == "date" else "text" if name == "ticker" else "a number"
        if not (form is _CSV or _fits(types[name], needed)):
            raise DataError(
                f"{path}: column {name} has type {types[name]}, needs {needed}. Write it as such."
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
    """The filter that reads ``[start, end)`` only, and what cannot be placed: that is an error."""
    date = pc.field("date")
    if _is_text(kind):
        first, stop = f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"
        lost = ~pc.match_substring_regex(date, _DAY)
    else:
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        first, stop = (
            pa.scalar(day.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")).cast(kind)
            for day in (start, end)
        )
        lost = pc.scalar(False)
    return ((date >= first) & (date < stop)) | date.is_null() | lost


def _days(column: pa.ChunkedArray, path: Path) -> "pd.Series[pd.Timestamp]":
    """Days as tz-naive midnights: the day that the file's own clock shows; null is NaT.

    :raises DataError: a time of day, or text that is no ISO date
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
            f"{path}: date {str(shown[bad].iloc[0])!r} is not a day; write YYYY-MM-DD, or a "
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


def _read(path: Path, start: pd.Timestamp, end: pd.Timestamp) -> pa.Table:
    """One file's rows of ``[start, end)``, in its own order and types."""
    dataset = _open(path)
    kind = dataset.schema.field("date").type
    with _reading(path):
        return dataset.to_table(columns=_COLUMNS, filter=_within(kind, start, end))


def _bars(table: pa.Table, path: Path) -> pd.DataFrame:
    """Rows in the types of market data, not yet held against the schema."""
    frame = pd.DataFrame(
        {
            "date": _days(table["date"], path),
            "ticker": table["ticker"].cast(pa.string()).to_pandas(),
        }
    )
    for name in _NUMBERS:
        try:
            frame[name] = table[name].cast(pa.float64(), safe=False).to_numpy()
        except pa.ArrowInvalid:
            texts = table[name].to_pylist()
            row = next(i for i, text in enumerate(texts) if not _is_number(text))
            day, ticker = str(frame["date"].iloc[row])[:10], frame["ticker"].iloc[row]
            raise DataError(
                f"{path}: {ticker} on {day}: {name} {texts[row]!r} is not a number; "
                "correct it, or leave the field empty for a hole"
            ) from None
    return frame
