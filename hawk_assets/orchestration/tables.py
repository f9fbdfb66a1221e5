"""Parquet, one file per asset and month: ``<root>/<asset key path>/<YYYY-MM-01>.parquet``.

A file appears whole or not at all. Nothing here knows Dagster or what a column means.
"""

import os
import re
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from hawk_assets.core.errors import DataError, MissingMonthError, StorageError
from hawk_assets.core.sessions import key_of, month_of, month_starts

# A folder keeps a processor busy, a bucket keeps it waiting.
_LOCAL_THREADS, _REMOTE_THREADS = 2, 16
_S = TypeVar("_S")
_T = TypeVar("_T")
Key = Sequence[str]


def _backfill(key: Key, first: pd.Timestamp, last: pd.Timestamp) -> str:
    return f"hawk backfill --select {'/'.join(key)} --from {key_of(first)} --to {key_of(last)}"


def _missing(key: Key, months: Sequence[pd.Timestamp]) -> MissingMonthError:
    more = f" and {len(months) - 1} more months" if len(months) > 1 else ""
    return MissingMonthError(
        f"{'/'.join(key)} has no {key_of(months[0])}{more}; "
        f"run: {_backfill(key, months[0], months[-1])}"
    )


class Tables:
    """The stored tables below one root.

    :param root: a folder or ``gs://bucket/prefix``; nothing is opened until it is used
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def _place(self) -> tuple[pyarrow.fs.FileSystem, str]:
        if self.root.startswith("gs://") and (bucket := self.root.removeprefix("gs://").strip("/")):
            if not (host := os.environ.get("STORAGE_EMULATOR_HOST")):
                return pyarrow.fs.GcsFileSystem(), bucket
            scheme, _, address = host.rstrip("/").rpartition("://")
            emulator = pyarrow.fs.GcsFileSystem(
                anonymous=True, scheme=scheme or "http", endpoint_override=address
            )
            return emulator, bucket
        if ":" in self.root.split("/")[0]:
            raise StorageError(
                f"HAWK_STORAGE={self.root!r} is neither a folder nor gs://bucket/prefix; correct it"
            )
        return pyarrow.fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(self.root))

    @property
    def _is_local(self) -> bool:
        return isinstance(self._place[0], pyarrow.fs.LocalFileSystem)

    def _folder(self, key: Key) -> str:
        return "/".join([self._place[1], *key])

    def path(self, key: Key, month: pd.Timestamp) -> str:
        """Where a month of a table is stored, within the file system."""
        return f"{self._folder(key)}/{key_of(month)}.parquet"

    def months(self, key: Key) -> pd.DatetimeIndex:
        """The stored months of a table, ascending.

        :raises StorageError: the root cannot be read
        """
        folder = pyarrow.fs.FileSelector(self._folder(key), allow_not_found=True)
        try:
            names = [file.base_name for file in self._place[0].get_file_info(folder)]
        except OSError as error:
            raise self._unusable("read", key, error) from None
        stored = [re.fullmatch(r"(\d{4}-(?:0[1-9]|1[0-2])-01)\.parquet", name) for name in names]
        return pd.DatetimeIndex(sorted(month_of(name[1]) for name in stored if name))

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
        :raises DataError: a row belongs to none of the months
        :raises StorageError: the root cannot be written
        """
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        table = table.replace_schema_metadata(None)
        month = month_starts(frame[by])
        if len(stray := frame.loc[~month.isin(months), by]):
            raise DataError(
                f"{'/'.join(key)}: a row of {stray.iloc[0]} is in none of the {len(months)} months "
                "to be stored; the stage that made it must leave it out"
            )
        if not month.is_monotonic_increasing:
            order = np.argsort(month, kind="stable")
            table, month = table.take(order), month[order]
        edges = zip(month.searchsorted(months), month.searchsorted(months, "right"), strict=True)
        parts = [(self.path(key, m), table[a:b]) for m, (a, b) in zip(months, edges, strict=True)]
        try:
            if self._is_local:
                os.makedirs(self._folder(key), exist_ok=True)
            self._each(self._put, parts)
        except OSError as error:
            raise self._unusable("write", key, error) from None

    def read(
        self,
        key: Key,
        months: pd.DatetimeIndex,
        columns: Sequence[str] | None = None,
        missing_ok: bool = False,
    ) -> pd.DataFrame:
        """The rows of ``months``, in the order of the months.

        :param columns: only these, in this order
        :param missing_ok: leave out months that are not stored, instead of raising
        :return: no rows, and no types, where no month is stored
        :raises MissingMonthError: names the first missing month and the command that makes it
        :raises StorageError: a file is damaged, or of other columns; the root cannot be read
        """

        def load(month: pd.Timestamp) -> pa.Table | None:
            return self._get(key, month, lambda file: file.read(columns=columns))

        loaded = list(zip(months, self._each(load, months), strict=True))
        absent = [month for month, part in loaded if part is None]
        if absent and not missing_ok:
            raise _missing(key, absent)
        stored = [(month, part) for month, part in loaded if part is not None]
        if not stored:
            return pd.DataFrame(columns=columns)
        schema = stored[0][1].schema
        wanted = set(columns or schema.names)
        for month, part in stored:
            if (lost := wanted - set(part.schema.names)) or part.schema != schema:
                fault = f"no {', '.join(sorted(lost))}" if lost else "other columns or types"
                raise StorageError(
                    f"{self.path(key, month)} has {fault}: older code has made it; "
                    f"run: {_backfill(key, months[0], months[-1])}"
                )
        return (
            pa.concat_tables([part for _, part in stored])
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
        :raises StorageError: the file is damaged; the root cannot be read
        """
        rows = self._get(key, month, lambda file: file.metadata.num_rows)
        if rows is None:
            raise _missing(key, [month])
        return rows

    def _get(
        self, key: Key, month: pd.Timestamp, take: Callable[[pq.ParquetFile], _T]
    ) -> _T | None:
        """What ``take`` finds in a month's file; None where there is none."""
        path = self.path(key, month)
        # Read as a whole first: a file is small, and only a file can be damaged, not a connection.
        try:
            with self._place[0].open_input_stream(path) as stream:
                content = stream.read_buffer()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable("read", key, error) from None
        try:
            return take(pq.ParquetFile(content, page_checksum_verification=True))
        except (pa.ArrowException, OSError) as error:
            raise StorageError(
                f"{path} is damaged: {error}. Delete it, then run: {_backfill(key, month, month)}"
            ) from None

    def _put(self, part: tuple[str, pa.Table]) -> None:
        path, table = part
        sink = pa.BufferOutputStream()
        pq.write_table(
            table,
            sink,
            compression="zstd",
            use_dictionary=[f.name for f in table.schema if pa.types.is_string(f.type)],
            write_statistics=False,
            write_page_checksum=True,
        )
        if not self._is_local:
            with self._place[0].open_output_stream(path) as out:
                out.write(sink.getvalue())
            return
        folder, name = os.path.split(path)
        temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as out:
                out.write(sink.getvalue())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _each(self, act: Callable[[_S], _T], items: Sequence[_S]) -> list[_T]:
        if len(items) < 2:
            return [act(item) for item in items]
        with ThreadPoolExecutor(_LOCAL_THREADS if self._is_local else _REMOTE_THREADS) as pool:
            return list(pool.map(act, items))

    def _unusable(self, act: str, key: Key, error: OSError) -> StorageError:
        return StorageError(
            f"cannot {act} {'/'.join(key)} below HAWK_STORAGE={self.root}: {error}. "
            "Correct its permissions, or point HAWK_STORAGE elsewhere"
        )
