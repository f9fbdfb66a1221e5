"""Which locks an instance has: those beside its event log."""

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from hawk_assets.orchestration.instance.locks import FileLocks, Locks

_LOCKS: "WeakKeyDictionary[EventLogStorage[Any], Locks]" = WeakKeyDictionary()


def instance_locks(instance: dg.DagsterInstance) -> Locks:
    """The locks of an instance: whoever can write its event log can reach them."""
    storage = instance.event_log_storage
    if storage not in _LOCKS:
        _LOCKS[storage] = _open_locks(storage, instance.root_directory)
    return _LOCKS[storage]


def _open_locks(storage: Any, home: str) -> Locks:
    if url := getattr(storage, "postgres_url", None):
        from hawk_assets.orchestration.instance.postgres_locks import PostgresLocks

        return PostgresLocks(url)
    if isinstance(storage, SqliteEventLogStorage):
        return FileLocks(Path(storage.path_for_shard("locks")).with_suffix(""))
    return FileLocks(Path(home) / "locks")
