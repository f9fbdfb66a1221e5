"""Tables as Parquet, one file per month: ``<root>/<table key>/<YYYY-MM-01>.parquet``.

A file appears whole or not at all. A file with an old column name is read under the new name.
Nothing here knows Dagster or what a column means.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hawk_assets.core.errors import (
    DamagedFileError,
    DataError,
    MissingMonthError,
    StorageError,
)
from hawk_assets.core.schemas import RENAMED_COLUMNS
from hawk_assets.core.sessions import key_of, month_of, month_starts
from hawk_assets.core.types import TableKey
from hawk_assets.storage.files import FileStore, open_files
from hawk_assets.storage.parquet_file import (
    encode,
    open_file,
    read_about,
    read_digest,
)

_FILE = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2])-01)\.parquet")
_S = TypeVar("_S")
_T = TypeVar("_T")


def _backfill_command(key: TableKey, first: pd.Timestamp, last: pd.Timestamp) -> str:
    return f"hawk backfill --select {'/'.join(key)} --from {key_of(first)} --to {key_of(last)}"


def _file(key: TableKey, month: pd.Timestamp) -> str:
    return f"{'/'.join(key)}/{key_of(month)}.parquet"


def _missing(key: TableKey, months: Sequence[pd.Timestamp]) -> MissingMonthError:
    others = len(months) - 1
    more = f" and {others} more month{'s' * (others > 1)}" * (others > 0)
    return MissingMonthError(
        f"{'/'.join(key)} has no {key_of(months[0])}{more}; "
        f"run: {_backfill_command(key, months[0], months[-1])}"
    )


def _columns(
    file: pq.ParquetFile, columns: Sequence[str] | None, renamed: Mapping[str, str]
) -> pa.Table:
    """The columns of a file under their names of today.

    :param columns: only these, in this order; names of today
    :param renamed: old name to new name
    """
    if not renamed:
        return file.read(columns, use_threads=False)
    stored = {renamed.get(name, name): name for name in file.schema_arrow.names}
    wanted = None if columns is None else [stored.get(name, name) for name in columns]
    table = file.read(wanted, use_threads=False)
    return table.rename_columns([renamed.get(name, name) for name in table.schema.names])


class Seal(NamedTuple):
    """What identifies a stored file, as text ``digest stamp``.

    :param digest: of its content
    :param stamp: what one listing of its folder shows, and any write, copy or restoration changes
    """

    digest: str
    stamp: str

    @classmethod
    def parse(cls, text: str) -> "Seal":
        digest, _, stamp = text.partition(" ")
        return cls(digest, stamp)

    def __str__(self) -> str:
        return f"{self.digest} {self.stamp}"


class Tables:
    """The stored tables below one root.

    :param root: a folder or ``gs://bucket/prefix``; nothing is opened until it is used
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def _files(self) -> FileStore:
        return open_files(self.root)

    def path(self, key: TableKey, month: pd.Timestamp) -> str:
        """The file of a month of a table, in full."""
        return self._files.uri(_file(key, month))

    def months(self, key: TableKey) -> pd.DatetimeIndex:
        """The stored months of a table, ascending.

        :raises StorageError: the root cannot be read
        """
        return pd.DatetimeIndex(list(self.stamps(key)))

    def stamps(self, key: TableKey) -> dict[pd.Timestamp, str]:
        """The stored months of a table, ascending, and the stamps of their files.

        A stamp changes when the file is written, copied or restored. One request lists them all.

        :raises StorageError: the root cannot be read
        """
        try:
            listed = self._files.list("/".join(key))
        except StorageError as error:
            raise self._unusable("read", key, error) from None
        stored = [(_FILE.fullmatch(name), stamp) for name, stamp in listed.items()]
        return dict(sorted((month_of(name[1]), stamp) for name, stamp in stored if name))

    def digests(self, key: TableKey, months: Sequence[pd.Timestamp]) -> list[str]:
        """The digest of each month's file; empty where there is no file, or one that is damaged or
        by an older release.

        :raises StorageError: the root cannot be read
        """

        def digest(month: pd.Timestamp) -> str:
            try:
                return self._get(key, month, read_digest) or ""
            except DamagedFileError:
                return ""

        return self._each(digest, months)

    def abouts(self, key: TableKey, months: Sequence[pd.Timestamp]) -> list[dict[str, str] | None]:
        """What each month's file says of itself, with its digest as ``digest``.

        :return: only the empty ``digest`` for a file by an older release; None where there is no
            file or a damaged one
        :raises StorageError: the root cannot be read
        """

        def about(month: pd.Timestamp) -> dict[str, str] | None:
            try:
                return self._get(key, month, lambda c: {**read_about(c), "digest": read_digest(c)})
            except DamagedFileError:
                return None

        return self._each(about, months)

    def read_note(self, name: str) -> bytes | None:
        """A small file beside the tables; None where there is none.

        :raises StorageError: the root cannot be read
        """
        try:
            return self._files.read(name)
        except StorageError as error:
            raise self._unusable("read", (name,), error) from None

    def write_note(self, name: str, content: bytes) -> None:
        """:raises StorageError: the root cannot be written"""
        try:
            self._files.write(name, content)
        except StorageError as error:
            raise self._unusable("write", (name,), error) from None

    def write(
        self,
        key: TableKey,
        frame: pd.DataFrame,
        months: pd.DatetimeIndex,
        schema: pa.Schema,
        by: str = "date",
        about: Mapping[pd.Timestamp, Mapping[str, str]] | None = None,
    ) -> dict[pd.Timestamp, Seal]:
        """Store a frame, one file per month of ``months``, an empty one where it has no rows.

        :param by: the date column that says which month a row belongs to
        :param about: per month what its file says of itself; ``began``, when the work on it began,
            ISO text in UTC, lets a bucket refuse the late write of a run that has been replaced
        :return: per month the seal of its file
        :raises DataError: a row belongs to none of the months
        :raises StorageError: the root cannot be written
        """
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        table = table.replace_schema_metadata(None)
        month = month_starts(frame[by])
        if len(stray := frame.loc[~month.isin(months), by]):
            raise DataError(
                f"{'/'.join(key)}: a row of {stray.iloc[0]} is in none of the {len(months)} months "
                "to be stored; the stage must not return it"
            )
        if not month.is_monotonic_increasing:
            order = np.argsort(month, kind="stable")
            table, month = table.take(order), month[order]
        edges = zip(month.searchsorted(months), month.searchsorted(months, "right"), strict=True)
        said = about or {}
        parts = [
            (_file(key, m), table[a:b], said.get(m, {}))
            for m, (a, b) in zip(months, edges, strict=True)
        ]
        try:
            seals = self._each(self._put, parts)
            self._files.sync("/".join(key))
        except StorageError as error:
            raise self._unusable("write", key, error) from None
        return dict(zip(months, seals, strict=True))

    def read(
        self,
        key: TableKey,
        months: pd.DatetimeIndex,
        columns: Sequence[str] | None = None,
        missing_ok: bool = False,
    ) -> pd.DataFrame:
        """The rows of ``months``, in the order of the months.

        :param columns: only these, in this order
        :param missing_ok: skip months that are not stored, instead of raising
        :return: no rows, and no types, where no month is stored
        :raises MissingMonthError: names the first missing month and the command that backfills it
        :raises StorageError: a file is damaged or has other columns; the root cannot be read
        """

        renamed = RENAMED_COLUMNS.get(key[0], {})

        def load(month: pd.Timestamp) -> pa.Table | None:
            return self._get(
                key, month, lambda content: _columns(open_file(content), columns, renamed)
            )

        loaded = list(zip(months, self._each(load, list(months)), strict=True))
        absent = [month for month, part in loaded if part is None]
        if absent and not missing_ok:
            raise _missing(key, absent)
        stored = [(month, part) for month, part in loaded if part is not None]
        if not stored:
            return pd.DataFrame(columns=None if columns is None else list(columns))
        schema = stored[0][1].schema
        wanted = set(columns or schema.names)
        for month, part in stored:
            if (lost := wanted - set(part.schema.names)) or part.schema != schema:
                fault = f"no {', '.join(sorted(lost))}" if lost else "other columns or types"
                raise StorageError(
                    f"{self.path(key, month)} has {fault}: older code wrote it; "
                    f"run: {_backfill_command(key, months[0], months[-1])}"
                )
        whole = pa.concat_tables([part for _, part in stored]).replace_schema_metadata(None)
        frame: pd.DataFrame = whole.to_pandas(
            date_as_object=False,
            coerce_temporal_nanoseconds=True,
            types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_map(kind) else None,
        )
        return frame

    def rows(self, key: TableKey, month: pd.Timestamp) -> int:
        """How many rows a month holds.

        :raises MissingMonthError: the month is not stored
        :raises StorageError: the file is damaged; the root cannot be read
        """
        rows: int | None = self._get(key, month, lambda c: open_file(c).metadata.num_rows)
        if rows is None:
            raise _missing(key, [month])
        return rows

    def _get(self, key: TableKey, month: pd.Timestamp, take: Callable[[bytes], _T]) -> _T | None:
        """``take`` applied to the content of a month's file; None where there is none."""
        # Read whole before parsing: a parse error then means a damaged file, never the network.
        try:
            content = self._files.read(_file(key, month))
        except StorageError as error:
            raise self._unusable("read", key, error) from None
        if content is None:
            return None
        try:
            return take(content)
        except (DamagedFileError, pa.ArrowException, OSError, ValueError) as error:
            raise DamagedFileError(
                f"{self.path(key, month)} is damaged: {error}. Delete it, then run: "
                f"{_backfill_command(key, month, month)}"
            ) from None

    def _put(self, part: tuple[str, pa.Table, Mapping[str, str]]) -> Seal:
        path, table, about = part
        content, digest = encode(table, about)
        return Seal(digest, self._files.write(path, content, about.get("began", "")))

    def _each(self, act: Callable[[_S], _T], items: Sequence[_S]) -> list[_T]:
        if len(items) < 2:
            return [act(item) for item in items]
        with ThreadPoolExecutor(self._files.threads) as pool:
            return list(pool.map(act, items))

    def _unusable(self, act: str, key: TableKey, error: StorageError) -> StorageError:
        return StorageError(f"cannot {act} {'/'.join(key)} below HAWK_STORAGE={self.root}: {error}")
