"""Event log storages that write the thousands of events of a run in batches.

Stock Dagster stores a backfill of 20 years and 33 assets event by event. That takes 200 seconds on
SQLite and 510 on PostgreSQL, for 5 seconds of arithmetic. ``dagster.yaml`` names these classes
instead. They write the same rows as stock Dagster, and reading is unchanged. A process writes
batches only with ``DAGSTER_EVENT_BATCH_SIZE`` set.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import cached_property
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any, cast

from dagster import DagsterEventType, EventLogEntry, Field, StringSource
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, bindparam, create_engine, select
from sqlalchemy.event import listen
from sqlalchemy.pool import NullPool, StaticPool

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.run_owners import hold_run

STORED_FILE, SOURCE_VERSION = "stored_file", "source_version"
INDEXED = (STORED_FILE, SOURCE_VERSION)
"""The metadata of asset events that one query finds for all months.

Dagster keeps metadata inside each event, and reads one event in a millisecond. A history of 20
years has 24,000 of them.
"""

_OPEN_DATABASES = 8
_CHECK = DagsterEventType.ASSET_CHECK_EVALUATION
_PLANNED_CHECK = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
_CHECKS = AssetCheckExecutionsTable.c
Row = dict[str, Any]
Rows = list[Row]


class BatchedAssetEvents:
    """``store_event_batch`` in one transaction, for storages that keep an index of asset events.

    The index also holds what ``INDEXED`` names.

    A process also takes the lock of a run here, before it stores that the run has started: every
    run passes here, whoever has launched it.
    """

    _lost: SettingsError | None = None
    """Why the database cannot be used any more, once that is so."""

    def store_event(self: Any, event: EventLogEntry) -> None:
        found = event.dagster_event
        if found and found.event_type == DagsterEventType.RUN_START and self.has_instance:
            hold_run(self._instance, event.run_id)
        try:
            if self._lost:
                raise self._lost
            super().store_event(event)  # type: ignore[misc]
            if found and found.event_type == _CHECK and _is_batchable(event):
                about = found.asset_check_evaluation_data
                check = {
                    "run_id": event.run_id,
                    "asset_key": about.asset_key.to_string(),
                    "check_name": about.check_name,
                }
                with self.index_connection() as conn:
                    _forget_planned_months(conn, [check])
        except SettingsError as error:
            self._lost = error
            if found:  # without a mere message a run goes on to the next event
                raise

    def dispose(self: Any) -> None:
        if self.has_instance:
            instance_locks(self._instance).release_all()
        super().dispose()  # type: ignore[misc]

    def store_event_batch(self: Any, events: Sequence[EventLogEntry]) -> None:
        try:
            self._store_stretches(events)
        except SettingsError as error:
            # Dagster would print it, and try again event by event. The next event raises it: one
            # always follows, since no run ends with a batch.
            self._lost = error

    def _store_stretches(self: Any, events: Sequence[EventLogEntry]) -> None:
        for (together, _), stretch in groupby(events, lambda e: (_is_batchable(e), e.run_id)):
            if together:
                self._store_together(list(stretch))
            else:
                for event in stretch:
                    self.store_event(event)

    def _store_together(self: Any, events: Sequence[EventLogEntry]) -> None:
        """All or none: after an error Dagster stores the same events again, one by one."""
        rows = [self._event_to_row(event) for event in events]
        insert = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        with self.index_transaction() as conn, self._mirrored(rows):
            ids = list(conn.execute(insert, rows).scalars())
            stored = list(zip(rows, events, ids, strict=True))
            if of_assets := [(event, i) for row, event, i in stored if row["asset_key"]]:
                self._store_asset_event_tags(conn, *zip(*of_assets, strict=True))
                for event, event_id in _latest(stored):
                    self._store_asset_event(conn, event, event_id)
            if checks := [check for entry in stored for check in _planned_checks(*entry)]:
                conn.execute(AssetCheckExecutionsTable.insert(), checks)
            if checks := [check for entry in stored for check in _evaluated_checks(*entry)]:
                _store_evaluated_checks(conn, checks)
                _forget_planned_months(conn, checks)

    def _tags_for_asset_event(self: Any, event: EventLogEntry) -> Mapping[str, str]:
        happened = event.get_dagster_event()
        if happened.is_step_materialization:
            about: Any = happened.step_materialization_data.materialization
        elif happened.is_asset_observation:
            about = happened.asset_observation_data.asset_observation
        else:
            return {}
        indexed: Mapping[str, str] = super()._tags_for_asset_event(event)  # type: ignore[misc]
        ours = {key: about.metadata[key] for key in INDEXED if key in about.metadata}
        return {**indexed, **{key: str(value.value) for key, value in ours.items()}}

    def _mirrored(self, rows: Rows) -> AbstractContextManager[None]:
        """Write the rows to the run's own database too, if there is one and the block succeeds."""
        return nullcontext()


def _is_batchable(event: EventLogEntry) -> bool:
    found = event.dagster_event
    kind = found and found.event_type
    if found and kind == _CHECK:
        return bool(event.run_id) and found.asset_check_evaluation_data.partition is None
    return kind == _PLANNED_CHECK or bool(kind in ASSET_EVENTS and found and found.asset_key)


def _latest(stored: Sequence[tuple[Row, EventLogEntry, int]]) -> list[tuple[EventLogEntry, int]]:
    """The last event of each asset and type: the table of assets keeps no others.

    Ordered by asset, so that two writers lock rows in the same order; then by storage id.
    """
    last = {
        (row["asset_key"], row["dagster_event_type"]): (event, event_id)
        for row, event, event_id in stored
        if row["asset_key"]
    }
    return [last[key] for key in sorted(last, key=lambda key: (key[0], last[key][1]))]


def _planned_checks(row: Row, event: EventLogEntry, event_id: int) -> Rows:
    """One row per partition, as Dagster's ``_store_asset_check_evaluation_planned`` stores them.

    Dagster serialises the event, which lists all partitions, once per partition.
    """
    if row["dagster_event_type"] != _PLANNED_CHECK.value:
        return []
    planned = event.get_dagster_event().asset_check_planned_data
    check = {
        "asset_key": planned.asset_key.to_string(),
        "check_name": planned.check_name,
        "run_id": row["run_id"],
        "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": event_id,
    }
    subset = planned.partitions_subset
    return [check | {"partition": p} for p in (subset.get_partition_keys() if subset else [None])]


def _evaluated_checks(row: Row, event: EventLogEntry, event_id: int) -> Rows:
    """The row of an evaluation, as Dagster's ``_update_asset_check_evaluation`` stores it."""
    if row["dagster_event_type"] != _CHECK.value:
        return []
    found = event.get_dagster_event().asset_check_evaluation_data
    status, target = AssetCheckExecutionRecordStatus, found.target_materialization_data
    return [
        {
            "asset_key": found.asset_key.to_string(),
            "check_name": found.check_name,
            "partition": None,
            "run_id": row["run_id"],
            "execution_status": (status.SUCCEEDED if found.passed else status.FAILED).value,
            "evaluation_event": row["event"],
            "evaluation_event_timestamp": row["timestamp"],
            "evaluation_event_storage_id": event_id,
            "materialization_event_storage_id": target.storage_id if target else None,
        }
    ]


def _store_evaluated_checks(conn: Connection, checks: Rows) -> None:
    """An evaluation replaces the row of its plan; without a plan it is a new row.

    :param checks: of one run, in order
    """
    of_run = (_CHECKS.run_id == checks[0]["run_id"], _CHECKS.partition.is_(None))
    query = select(_CHECKS.asset_key, _CHECKS.check_name).where(*of_run)
    known = {tuple(row) for row in conn.execute(query)}
    new: Rows = []
    updates: Rows = []
    for check in checks:
        key = check["asset_key"], check["check_name"]
        (updates if key in known else new).append(check)
        known.add(key)
    if new:
        conn.execute(AssetCheckExecutionsTable.insert(), new)
    if updates:
        update = AssetCheckExecutionsTable.update().where(
            *of_run,
            _CHECKS.asset_key == bindparam("of_asset"),
            _CHECKS.check_name == bindparam("of_check"),
        )
        named = [c | {"of_asset": c["asset_key"], "of_check": c["check_name"]} for c in updates]
        conn.execute(update, named)


def _forget_planned_months(conn: Connection, checks: Rows) -> None:
    """Delete the plans for single months that one evaluation of all of them has answered.

    Dagster plans a check for each month of a run, and its UI shows the months as skipped when the
    evaluation names none.

    :param checks: of one run, with ``run_id``, ``asset_key`` and ``check_name``
    """
    conn.execute(
        AssetCheckExecutionsTable.delete().where(
            _CHECKS.run_id == checks[0]["run_id"],
            _CHECKS.partition.is_not(None),
            _CHECKS.execution_status == AssetCheckExecutionRecordStatus.PLANNED.value,
            _CHECKS.asset_key == bindparam("of_asset"),
            _CHECKS.check_name == bindparam("of_check"),
        ),
        [{"of_asset": c["asset_key"], "of_check": c["check_name"]} for c in checks],
    )


def _create(path: str, content: bytes) -> bool:
    """Create a file whole, unless another process creates it meanwhile.

    :return: whether it was created
    """
    with suppress(OSError), TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        new = Path(folder, "new")
        new.write_bytes(content)
        os.link(new, path)
        return True
    return False


class BatchedSqliteEventLogStorage(BatchedAssetEvents, SqliteEventLogStorage):
    """SQLite: a database per run, and an index of asset events across runs.

    The databases used last stay open. Stock Dagster opens and closes them for every event, and
    each closing copies the write-ahead log into the database and waits for the disk, twice. The
    price: a power failure can lose the latest events; a killed process cannot.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._found: set[tuple[str, str]] = set()
        super().__init__(*args, **kwargs)
        # A batch writes to the database of its run within the transaction of the index.
        self._db_lock = cast(Any, RLock())

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "BatchedSqliteEventLogStorage":
        base_dir = config_value.get("base_dir")
        if not base_dir:
            from hawk_assets.orchestration.settings import find_dagster_home

            # Stock Dagster's own folder, so that either class reads what the other wrote.
            base_dir = str(find_dagster_home() / "history" / "runs")
        return cls(base_dir, inst_data=inst_data)

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(event)
        self._announce(event.run_id)

    @contextmanager
    def _mirrored(self, rows: Rows) -> Iterator[None]:
        run_id = rows[0]["run_id"]
        with self.run_connection(run_id) as conn:
            conn.execute(SqlEventLogStorageTable.insert(), rows)
            yield
        self._announce(run_id)

    def _announce(self, run_id: str) -> None:
        # The UI watches this file for new events, not the write-ahead log.
        os.utime(self.path_for_shard(run_id))

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as conn, conn.begin():
                yield conn

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        path = str(engine.url.database)
        if for_index_shard or os.path.exists(path) or not _create(path, self._empty):
            super()._initdb(engine, for_index_shard)

    @cached_property
    def _empty(self) -> bytes:
        """An empty database. Alembic needs longer to create one than a small run to fill it."""
        with TemporaryDirectory() as folder:
            path = os.path.join(folder, "empty.db")
            super()._initdb(create_engine(f"sqlite:///{path}", poolclass=NullPool))
            with closing(sqlite3.connect(path)) as conn:
                return conn.serialize()

    def _engine(self, shard: str) -> Engine:
        """The engine of a database, with one open connection; the least recently used is closed."""
        engine = self._engines.pop(shard, None)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
            listen(engine, "connect", lambda conn, _: conn.execute("PRAGMA synchronous=NORMAL"))
        self._engines[shard] = engine
        if len(self._engines) > _OPEN_DATABASES:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def dispose(self) -> None:
        super().dispose()
        self._close()

    def wipe(self) -> None:
        self._close()
        super().wipe()

    def has_table(self, table_name: str) -> bool:
        return self._has(("table", table_name), super().has_table)

    def has_secondary_index(self, name: str) -> bool:
        return self._has(("index", name), super().has_secondary_index)

    def _has(self, what: tuple[str, str], ask: Callable[[str], bool]) -> bool:
        if what not in self._found and ask(what[1]):
            self._found.add(what)
        return what in self._found
