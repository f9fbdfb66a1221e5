"""One Parquet or CSV file as a table: its days decoded, its rows selected.

What the columns mean is in :mod:`hawk_assets.sources.local`. Everything is read without pyarrow's
datasets: their filtered read never returns where a column of a Parquet file is damaged.
"""

import csv
import datetime
import glob
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pytz import UnknownTimeZoneError

from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import required_columns
from hawk_assets.core.types import Array, Dates, Flags, Indices

Span = tuple[pd.Timestamp, pd.Timestamp]
_T = TypeVar("_T")

_DAY = re.compile(r"\d{4}-\d\d-\d\d([T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_FAR = np.datetime64("9999-12-31")
"""Stands for a day that pandas cannot represent; it is in no span."""
_NEAR = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_HEAD = 1 << 16
_ATTEMPTS, _PAUSE = 3, 0.3


@dataclass(frozen=True)
class Layout:
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

    @property
    def needed(self) -> list[str]:
        """The columns that every file has."""
        return [name for name in required_columns(self.schema) if name not in self.optional]

    def kind(self, column: str) -> str:
        """The type of a column, in words."""
        return "a day" if column in self.days else "a number" if column in self.numbers else "text"


def find_files(pattern: str, layout: Layout) -> list[Path]:
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
            + (", or 'sample'" if layout.setting == "HAWK_MARKET_DATA" else "")
        )
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for path, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (Path(path, name) for name in names if not name.startswith((".", "_")))


def read_file(path: Path, layout: Layout, span: Span | None = None) -> pa.Table:
    """The rows of one file, in those columns of its table that it has.

    Days are ``date32``, the name is a dictionary of text where an empty one is null, numbers are as
    the file has them.

    :param span: only the rows dated within ``[start, end)``; rows without a date are read as well
    :raises DataError: empty, neither Parquet nor CSV, damaged, a column is missing or of the wrong
        type, a date is no day, or the file does not stop changing while it is read
    """

    def read() -> pa.Table:
        # Text that is no text shows only when a value is looked at.
        with _reading(path, layout):
            return _read(path, layout, span)

    return _unchanged(path, layout, read)


def _unchanged(path: Path, layout: Layout, read: Callable[[], _T]) -> _T:
    """What ``read`` returns, once the file is the same before and after it."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        before = identity(path, layout)
        try:
            found = read()
        except DataError:
            if identity(path, layout) == before:
                raise
            continue
        if identity(path, layout) == before:
            return found
    raise DataError(
        f"{path}: the file changes while it is read; once it has been written, run the same "
        "command again"
    )


def identity(path: Path, layout: Layout) -> tuple[int, int, int, int]:
    """Size, times of the last changes in ns, and number of a file: equal while it is unchanged.

    :raises DataError: it cannot be found, or it is no regular file
    """
    with _reading(path, layout):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: is not a file; narrow {layout.setting} to the files")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


@contextmanager
def _reading(path: Path, layout: Layout) -> Iterator[None]:
    """Turn an error of the file system or of pyarrow into one that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError, OverflowError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"{path}: cannot be read: {reason.rsplit('Invalid: ', 1)[-1].strip()}; "
            f"correct the file, its permissions or {layout.setting}"
        ) from None


def _read(path: Path, layout: Layout, span: Span | None) -> pa.Table:
    table = _load(path, layout, span)
    day, label = layout.key
    names = [name for name in layout.days if name in table.column_names]
    days = {name: _days(table[name], path, name) for name in names}
    if span is not None:
        first, stop = (np.datetime64(edge, "D") for edge in span)
        within = np.isnat(days[day]) | ((days[day] >= first) & (days[day] < stop))
        if not within.all():
            days = {name: values[within] for name, values in days.items()}
            table = table.filter(pa.array(within))
    for name, values in days.items():
        dates = pa.array(values, pa.date32())
        table = table.set_column(table.column_names.index(name), name, dates)
    return table.set_column(table.column_names.index(label), label, _labels(table[label]))


def _load(path: Path, layout: Layout, span: Span | None) -> pa.Table:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise DataError(f"{path}: the file is empty (0 bytes); write it again or remove it")
    if head.startswith(b"PAR1"):
        return _load_parquet(path, layout, span)
    packed = next((form for magic, form in _COMPRESSED.items() if head.startswith(magic)), None)
    if packed:
        with pa.input_stream(str(path), compression=packed) as stream:
            head = stream.read(_HEAD)
    return _load_csv(path, layout, head, packed)


def _check_columns(path: Path, layout: Layout, found: list[str]) -> list[str]:
    """The columns of the table that a file has.

    :raises DataError: one is missing, or is there twice
    """
    if missing := [name for name in layout.needed if name not in found]:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; needs {', '.join(layout.needed)}, "
            f"found {', '.join(found)}. Rename or add it."
        )
    counts = Counter(found)
    held = [name for name in layout.schema.columns if name in counts]
    for name in held:
        if counts[name] > 1:
            raise DataError(f"{path}: has multiple columns named {name}; keep one")
    return held


def _no_rows(path: Path) -> DataError:
    return DataError(f"{path}: the file has no rows; write it again or remove it")


# Parquet


def _load_parquet(path: Path, layout: Layout, span: Span | None) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        held = _check_columns(path, layout, schema.names)
        if not file.metadata.num_rows:
            raise _no_rows(path)
        for name in held:
            kind, needed = schema.field(name).type, layout.kind(name)
            if not _fits(kind, needed):
                raise DataError(
                    f"{path}: column {name} has type {kind}, needs {needed}. Convert it."
                )
        groups = _row_groups(file, layout.key[0], span)
        # One thread: of several, one may wait for ever for another that met a damaged column.
        return file.read_row_groups(groups, columns=held, use_threads=False)


def _row_groups(file: pq.ParquetFile, day: str, span: Span | None) -> list[int]:
    """The row groups that may have rows within a span, by the statistics of their days."""
    every = list(range(file.metadata.num_row_groups))
    kind = file.schema_arrow.field(day).type
    if span is None or not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        return every
    # A day in a time zone begins up to a day earlier or later than in UTC.
    first, stop = span[0] - pd.Timedelta(days=2), span[1] + pd.Timedelta(days=2)
    columns = [file.schema.column(at) for at in range(len(file.schema))]
    at = next((at for at, column in enumerate(columns) if column.path == day), None)
    if at is None:
        return every
    stored = columns[at].physical_type
    chunks = [file.metadata.row_group(group).column(at) for group in every]
    # Where a damaged file has two types for a column, pyarrow's statistics end the process.
    return [
        group
        for group, chunk in zip(every, chunks, strict=True)
        if chunk.physical_type != stored or _may_hold(chunk, first, stop)
    ]


def _may_hold(chunk: Any, first: pd.Timestamp, stop: pd.Timestamp) -> bool:
    """Whether the days of one column of a row group may be within a span."""
    found = chunk.statistics
    if found is None or not found.has_min_max or not found.has_null_count or found.null_count:
        return True
    try:
        low, high = (pd.Timestamp(str(edge)[:10]) for edge in (found.min, found.max))
    except (ValueError, OverflowError):
        return True
    return bool(low < stop and high >= first)


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


# CSV


def _load_csv(path: Path, layout: Layout, head: bytes, packed: str | None) -> pa.Table:
    """Everything as text.

    So no type is guessed from other rows, a ticker NA is a ticker, 088691 keeps its zero, and a bad
    number is reported with name and date.
    """
    held = _check_columns(path, layout, _header(path, layout, head))
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(held, pa.string()),
        include_columns=held,
        strings_can_be_null=True,
        null_values=[""],
    )
    try:
        table = _read_csv(path, packed, options, threads=True)
    except pa.ArrowInvalid:
        table = _read_csv(path, packed, options, threads=False)  # its error names the row
    if not table.num_rows:
        raise _no_rows(path)
    return table


def _read_csv(
    path: Path, packed: str | None, options: pyarrow.csv.ConvertOptions, threads: bool
) -> pa.Table:
    with pa.input_stream(str(path), compression=packed) as stream:
        return pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(use_threads=threads),
            convert_options=options,
        )


def _header(path: Path, layout: Layout, head: bytes) -> list[str]:
    line = head.split(b"\n")[0]
    if b"," not in line or b"\0" in head:
        mark = next((mark for mark in (";", "\t", "|") if mark.encode() in line), None)
        why = f" (the header is separated by {mark!r}, not by commas)" if mark else ""
        why = " (it is an archive: unpack it)" if head.startswith(b"PK\x03\x04") else why
        raise DataError(
            f"{path}: neither Parquet nor comma-separated CSV{why}; remove it, or narrow "
            f"{layout.setting} to the files with {layout.content}"
        )
    try:
        (names,) = csv.reader([line.decode("utf-8-sig").rstrip("\r")])
    except (UnicodeError, csv.Error, ValueError):
        raise DataError(f"{path}: the header is not UTF-8 text; write the file as UTF-8") from None
    return names


# Values


def _labels(column: pa.ChunkedArray) -> pa.Array:
    """Names as a dictionary; an empty one is none, as in CSV."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    found = pa.array(column.cast(pa.string()).combine_chunks()).dictionary_encode()
    names = [name or None for name in found.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(found.indices, pa.array(names, pa.string()))


def _days(column: pa.ChunkedArray, path: Path, name: str) -> Dates:
    """Days in the file's own time zone, ``datetime64[D]``; null is NaT.

    :raises DataError: a time of day, text that is not an ISO date, an unknown time zone
    """
    if _is_text(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_date64(column.type):
        column = column.cast(pa.timestamp("ms"))
    # Millions of rows have a few thousand different days.
    found = pa.array(column.combine_chunks()).dictionary_encode()
    days, bad = _decoded(found.dictionary, path, name)
    if bad.any():
        shown = found.dictionary[int(np.argmax(bad))]
        raise DataError(
            f"{path}: {name} {str(shown)!r} is not a day; write YYYY-MM-DD, or a timestamp at "
            "midnight"
        )
    days = np.where((days < _NEAR[0]) | (days >= _NEAR[1]), _FAR, days)
    at = found.indices.fill_null(len(days)).to_numpy(zero_copy_only=False)
    chosen: Dates = np.append(days, np.datetime64("NaT"))[at]
    return chosen


def _decoded(values: pa.Array, path: Path, name: str) -> tuple[Dates, Flags]:
    """Different values as days, and which of them are none."""
    if pa.types.is_string(values.type):
        parsed = [_parse_day(text) for text in values.to_pylist()]
        return np.array(parsed, "datetime64[D]"), np.array([day is None for day in parsed], bool)
    if pa.types.is_date32(values.type):
        numbers = values.cast(pa.int32()).to_numpy(zero_copy_only=False)
        return numbers.astype("datetime64[D]"), np.zeros(len(values), bool)
    numbers = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    stamps = numbers.astype(f"datetime64[{values.type.unit}]")
    if (zone := values.type.tz) is None:
        days = stamps.astype("datetime64[D]")
        return days, days != stamps
    try:
        local = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(zone)
    except (UnknownTimeZoneError, ZoneInfoNotFoundError, ValueError, TypeError):
        raise DataError(
            f"{path}: column {name} has the time zone {zone!r}, which is not known; write days "
            "without a time zone, or a zone such as Asia/Shanghai"
        ) from None
    naive = local.tz_localize(None)
    bad = np.asarray(naive != naive.normalize())
    if bad.any():
        # Where clocks go forward at midnight, a day begins at one o'clock.
        begins = (
            naive[bad]
            .normalize()
            .tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(int(bad.sum()), bool))
        )
        bad[bad] = np.asarray(begins != local[bad])
    return naive.to_numpy().astype("datetime64[D]"), bad


def _parse_day(text: str) -> datetime.date | None:
    if not _DAY.fullmatch(text):
        return None
    try:
        return datetime.date.fromisoformat(text[:10])
    except ValueError:
        return None


def frame_of(table: pa.Table, path: Path, layout: Layout) -> pd.DataFrame:
    """The rows of a file with the types of their table, not yet checked against the schema.

    :param table: of ``read_file``
    :raises DataError: a number that is none, a day that pandas cannot represent
    """
    day, label = layout.key
    days = [name for name in layout.days if name in table.column_names]
    frame = pd.DataFrame({name: _midnights(table[name], path, name) for name in days})
    frame[label] = table[label].cast(pa.string()).to_pandas()
    for name in (name for name in layout.numbers if name in table.column_names):
        frame[name], bad = floats(table[name])
        if len(bad):
            row = int(bad[0])
            when, who = str(frame[day].iloc[row])[:10], frame[label].iloc[row]
            raise DataError(
                f"{path}: {who} on {when}: {name} {table[name][row].as_py()!r} is not a number; "
                "correct it, or leave the field empty for a hole"
            )
    return frame


def _midnights(column: pa.ChunkedArray, path: Path, name: str) -> Dates:
    days = column.to_numpy().astype("datetime64[D]")
    if (days == _FAR).any():
        raise DataError(f"{path}: {name} '{_FAR}' is not a day of any market; correct it")
    midnights: Dates = days.astype("datetime64[ns]")
    return midnights


def floats(column: pa.ChunkedArray) -> tuple[Array, Indices]:
    """Numbers as floats, a hole as NaN; and the rows with text that is no number, NaN as well.

    A decimal is the float nearest to it, as from text.
    """
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    try:
        return column.cast(pa.float64(), safe=False).to_numpy(), np.empty(0, np.intp)
    except pa.ArrowInvalid:
        text = column.combine_chunks()
    values, bad = np.empty(len(text)), np.zeros(len(text), bool)
    for start in range(0, len(text), 4096):
        block = slice(start, start + 4096)
        values[block], bad[block] = _floats_of_text(pa.array(text[block]))
    return values, np.flatnonzero(bad)


def _floats_of_text(text: pa.Array) -> "tuple[NDArray[Any], NDArray[Any]]":
    try:
        return text.cast(pa.float64()).to_numpy(zero_copy_only=False), np.zeros(len(text), bool)
    except pa.ArrowInvalid:
        good = [_is_number(value) for value in text]
    kept = pa.array([v.as_py() if g else None for v, g in zip(text, good, strict=True)])
    numbers = kept.cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers, ~np.array(good)


def _is_number(text: pa.Scalar) -> bool:
    try:
        text.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
