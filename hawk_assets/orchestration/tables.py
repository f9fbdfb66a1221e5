"""Parquet, one file per asset and month: ``<root>/<asset key path>/<YYYY-MM-01>.parquet``.

A file appears whole or not at all. Nothing here knows Dagster or what a column means.
"""

import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from hawk_assets.core.errors import MissingMonthError, StorageError
from hawk_assets.core.sessions import key_of, month_of, month_starts

_THREADS = 8
_T = TypeVar("_T")
Key = Sequence[str]


def _missing(key: Key, months: Sequence[pd.Timestamp]) -> MissingMonthError:
    more = f" and {len(months) - 1} more months" if len(months) > 1 else ""
    return MissingMonthError(
        f"{'/'.join(key)} has no {key_of(months[0])}{more}; run: hawk backfill "
        f"--select {'/'.join(key)} --from {key_of(months[0])} --to {key_of(months[-1])}"
    )


def _nothing(column: str) -> pd.Series:
    dated = column in ("date", "as_of", "month") or column.endswith("_date")
    return pd.Series([], dtype="datetime64[ns]" if dated else object)


class Tables:
    """The stored tables below one root.

    :param root: a folder or ``gs://bucket/prefix``; nothing is opened until it is used
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def _place(self) -> tuple[pyarrow.fs.FileSystem, str]:
        if self.root.startswith("gs://") and (host := os.environ.get("STORAGE_EMULATOR_HOST")):
            scheme, _, address = host.rpartition("://")
            gcs = pyarrow.fs.GcsFileSystem(
                anonymous=True, scheme=scheme or "http", endpoint_override=address
            )
            return gcs, self.root.removeprefix("gs://").rstrip("/")
        try:
            return pyarrow.fs.FileSystem.from_uri(self.root)
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(
                f"HAWK_STORAGE={self.root!r} is neither a folder nor gs://bucket/prefix: {error}"
            ) from None

    def path(self, key: Key, month: pd.Timestamp) -> str:
        """Where a month of a table is stored, within the file system."""
        return "/".join([self._place[1], *key, f"{key_of(month)}.parquet"])

    def months(self, key: Key) -> pd.DatetimeIndex:
        """The stored months of a table, ascending."""
        fs, root = self._place
        folder = pyarrow.fs.FileSelector("/".join([root, *key]), allow_not_found=True)
        files = [f.base_name for f in fs.get_file_info(folder) if f.base_name.endswith(".parquet")]
        return pd.DatetimeIndex(sorted(month_of(f.removesuffix(".parquet")) for f in files))

    def write(
        self,
        key: Key,
        frame: pd.DataFrame,
        months: pd.DatetimeIndex,
        schema: pa.Schema,
        by: str = "date",
    ) -> None:
        """Store a frame, one file per month of ``months``, an empty one where it has no rows.

        :param by: the date column that says which month a row belongs to
        :raises StorageError: the root cannot be written
        """
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        rows = frame.groupby(month_starts(frame[by]), sort=False).indices

        def store(month: pd.Timestamp) -> None:
            part = table.take(pa.array(rows[month])) if month in rows else table.slice(0, 0)
            self._put(self.path(key, month), part)

        try:
            self._place[0].create_dir("/".join([self._place[1], *key]), recursive=True)
            self._each(store, months)
        except OSError as error:
            raise StorageError(
                f"cannot write {'/'.join(key)} below {self.root}: {error}. "
                "Make the folder writable, or point HAWK_STORAGE elsewhere"
            ) from None

    def read(
        self,
        key: Key,
        months: pd.DatetimeIndex,
        columns: Sequence[str] | None = None,
        missing_ok: bool = False,
    ) -> pd.DataFrame:
        """The rows of ``months``, in the order of the months.

        :param columns: only these
        :param missing_ok: leave out months that are not stored, instead of raising
        :raises MissingMonthError: names the first missing month and the command that makes it
        """

        def load(month: pd.Timestamp) -> pa.Table | None:
            try:
                with self._place[0].open_input_file(self.path(key, month)) as file:
                    return pq.ParquetFile(file).read(columns=columns)
            except FileNotFoundError:
                return None

        parts = self._each(load, months)
        absent = [m for m, part in zip(months, parts, strict=True) if part is None]
        if absent and not missing_ok:
            raise _missing(key, absent)
        found = [part for part in parts if part is not None]
        if not found:
            return pd.DataFrame({c: _nothing(c) for c in columns or []})
        return (
            pa.concat_tables(found)
            .replace_schema_metadata(None)
            .to_pandas(
                date_as_object=False,
                coerce_temporal_nanoseconds=True,
                types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_map(kind) else None,
            )
        )

    def rows(self, key: Key, month: pd.Timestamp) -> int:
        """How many rows a month holds.

        :raises MissingMonthError: the month is not stored
        """
        fs, _ = self._place
        try:
            with fs.open_input_file(self.path(key, month)) as file:
                return pq.ParquetFile(file).metadata.num_rows
        except FileNotFoundError:
            raise _missing(key, [month]) from None

    def _put(self, path: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        fs, root = self._place
        if not isinstance(fs, pyarrow.fs.LocalFileSystem):
            with fs.open_output_stream(path) as out:
                out.write(sink.getvalue())
            return
        temporary = os.path.join(root, ".partial", uuid.uuid4().hex)
        os.makedirs(os.path.dirname(temporary), exist_ok=True)
        with open(temporary, "wb") as out:
            out.write(sink.getvalue())
        os.replace(temporary, path)

    @staticmethod
    def _each(act: Callable[[pd.Timestamp], _T], months: pd.DatetimeIndex) -> list[_T]:
        if len(months) < 2:
            return [act(m) for m in months]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(act, months))
