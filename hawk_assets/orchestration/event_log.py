"""Dagster's event log storages, writing the asset events of a batch in one transaction.

Stock Dagster stores a backfill of 20 years and 33 assets event by event: 200 seconds on SQLite, 510
on PostgreSQL, around 5 seconds of arithmetic. ``dagster.yaml`` names these classes instead; they
write the rows that stock Dagster writes, and everything it reads stays as it is. Batches only form
in processes that have ``DAGSTER_EVENT_BATCH_SIZE`` set.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from itertools import groupby
from threading import RLock
from typing import Any

from dagster import DagsterEventType, Field, StringSource
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    SQLITE_BUSY_TIMEOUT_SECONDS,
    SqliteEventLogStorage,
)
from dagster._serdes import serialize_value
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from hawk_assets.core.errors import SettingsError

_ENGINES = 32
Rows = list[dict[str, Any]]


class BatchedAssetEvents:
    """``store_event_batch`` for storages that keep an index of asset events."""

    def store_event_batch(self: Any, events: Sequence[EventLogEntry]) -> None:
        for together, stretch in groupby(events, key=_written_together):
            if together:
                self._store_together(list(stretch))
            else:
                for event in stretch:
                    self.store_event(event)

    def _store_together(self: Any, events: Sequence[EventLogEntry]) -> None:
        """All or nothing: on an error Dagster stores the same events again, one by one."""
        rows = [self._event_to_row(event) for event in events]
        insert = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        with self.index_transaction() as conn, self._mirrored(rows):
            ids = list(conn.execute(insert, rows).scalars())
            stored = list(zip(events, ids, strict=True))
            about_assets = [(e, i) for e, i in stored if e.dagster_event.asset_key]
            if about_assets:
                self._store_asset_event_tags(conn, *zip(*about_assets, strict=True))
            for event, event_id in _latest(about_assets):
                self._store_asset_event(conn, event, event_id)
            if checks := [row for event, i in stored for row in self._planned_checks(event, i)]:
                conn.execute(AssetCheckExecutionsTable.insert(), checks)

    def _planned_checks(self: Any, event: EventLogEntry, event_id: int) -> Rows:
        """What ``_store_asset_check_evaluation_planned`` stores, a row per partition.

        The event is serialised once, not once per partition: it names all of them.
        """
        if event.dagster_event_type != DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            return []
        planned = event.get_dagster_event().asset_check_planned_data
        subset = planned.partitions_subset
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),
            "evaluation_event_storage_id": event_id,
        }
        return [
            {**row, "partition": p} for p in (subset.get_partition_keys() if subset else [None])
        ]

    def _mirrored(self, rows: Rows) -> AbstractContextManager[None]:
        """Keep the rows wherever else the storage keeps them, once the context ends well."""
        return nullcontext()


def _written_together(event: EventLogEntry) -> bool:
    found = event.dagster_event
    if not found:
        return False
    planned_check = found.event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
    return planned_check or bool(found.event_type in ASSET_EVENTS and found.asset_key)


def _latest(stored: Sequence[tuple[EventLogEntry, int]]) -> list[tuple[EventLogEntry, int]]:
    """The last event of each asset and type: what is left of them in the table of assets.

    By asset key, so that two writers lock rows in the same order; then as they happened.
    """
    last = {(str(e.dagster_event.asset_key), e.dagster_event_type): (e, i) for e, i in stored}
    return [pair for _, pair in sorted(last.items(), key=lambda item: (item[0][0], item[1][1]))]


class BatchedSqliteEventLogStorage(BatchedAssetEvents, SqliteEventLogStorage):
    """SQLite: a database per run, and an index of asset events across runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engine = lru_cache(_ENGINES)(self._new_engine)
        self._known_indexes: set[str] = set()
        super().__init__(*args, **kwargs)
        # A batch writes to its run's database within the transaction of the index.
        self._db_lock = RLock()

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "BatchedSqliteEventLogStorage":
        base_dir = config_value.get("base_dir")
        if not base_dir:
            if not (home := os.environ.get("DAGSTER_HOME")):
                raise SettingsError(
                    "the event log has no place: set DAGSTER_HOME, or base_dir of "
                    "event_log_storage in dagster.yaml"
                )
            # Where stock Dagster keeps it, so that either class reads what the other has written.
            base_dir = os.path.join(home, "history", "runs")
        return cls(base_dir, inst_data=inst_data)

    @contextmanager
    def _mirrored(self, rows: Rows) -> Iterator[None]:
        with ExitStack() as runs:
            by_run = sorted(rows, key=lambda row: row["run_id"])
            for run_id, group in groupby(by_run, key=lambda row: row["run_id"]):
                conn = runs.enter_context(self.run_connection(run_id))
                conn.execute(SqlEventLogStorageTable.insert(), list(group))
            yield

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as conn, conn.begin():
                yield conn

    def _new_engine(self, shard: str) -> Engine:
        # An engine is kept, so that its compiled statements are; NullPool keeps no connection.
        return create_engine(
            self.conn_string_for_shard(shard),
            poolclass=NullPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
        )

    def has_secondary_index(self, name: str) -> bool:
        if name not in self._known_indexes and super().has_secondary_index(name):
            self._known_indexes.add(name)
        return name in self._known_indexes
