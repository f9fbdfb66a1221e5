"""The batched storages against Dagster's own, on SQLite and on a real PostgreSQL server."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEventType
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.test_utils import instance_for_test
from dagster_postgres.auth import GcpWifTokenProvider
from dagster_postgres.event_log import PostgresEventLogStorage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hawk_assets.orchestration.catalog import WEIGHTS
from hawk_assets.orchestration.instance import event_log
from hawk_assets.orchestration.instance.event_log import BatchedSqliteEventLogStorage
from hawk_assets.orchestration.instance.postgres_storage import BatchedPostgresEventLogStorage
from hawk_assets_tests.postgres import Cluster, create_database

PARTITIONS = dg.MonthlyPartitionsDefinition("2020-01-01", end_date="2022-01-01")
MONTHS = PARTITIONS.get_partition_keys()
ASSETS = [AssetKey(["insights", "ema_cross_12_26"]), AssetKey(WEIGHTS)]
BEGAN = 1_700_000_000.25

TABLES = {
    "event_logs": "id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, "
    "partition",
    "asset_keys": "asset_key, last_materialization, last_run_id, asset_details, wipe_timestamp, "
    "last_materialization_timestamp, tags, cached_status_data",
    "asset_event_tags": "id, event_id, asset_key, key, value, event_timestamp",
    "asset_check_executions": "id, asset_key, check_name, partition, run_id, execution_status, "
    "evaluation_event, evaluation_event_timestamp, evaluation_event_storage_id, "
    "materialization_event_storage_id",
}
"""All that is stored, but for when a row was inserted, and the row numbers of the assets: Dagster
writes those it finds in the order of their events, a batch in the order of their names."""

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class Kind:
    """A database: how to open the same one with either class, and another one."""

    stock: Callable[[], SqlEventLogStorage]
    batched: Callable[[], SqlEventLogStorage]


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> dict[str, str]:
    return {name: create_database(cluster.url, name) for name in ("stock", "batched")}


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Kind]:
    """Two empty databases, ``stock`` and ``batched``."""
    if request.param == "sqlite":
        return {
            name: Kind(
                partial(SqliteEventLogStorage, str(tmp_path / name)),
                partial(BatchedSqliteEventLogStorage, str(tmp_path / name)),
            )
            for name in ("stock", "batched")
        }
    found = {}
    for name, url in request.getfixturevalue("server").items():
        found[name] = Kind(
            partial(PostgresEventLogStorage, url), partial(BatchedPostgresEventLogStorage, url)
        )
        with found[name].stock().index_connection() as conn:
            for table in TABLES:
                conn.execute(text(f"DROP FUNCTION IF EXISTS refuse_{table} CASCADE"))
            conn.execute(text(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY"))
    return found


def entry(run_id: str, at: float, event: DagsterEvent | None) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=BEGAN + at,
        step_key=event.step_key if event else None,
        job_name="job",
        dagster_event=event,
    )


def of_type(kind: DagsterEventType, data: Any) -> DagsterEvent:
    return DagsterEvent(kind.value, "job", step_key="step", event_specific_data=data)


def planned(asset: AssetKey, partition: str | None) -> DagsterEvent:
    data = AssetMaterializationPlannedData(asset, partition=partition)
    return DagsterEvent.build_asset_materialization_planned_event("job", "step", data)


def materialization(asset: AssetKey, partition: str | None, version: str) -> DagsterEvent:
    return of_type(
        DagsterEventType.ASSET_MATERIALIZATION,
        StepMaterializationData(
            dg.AssetMaterialization(
                asset,
                partition=partition,
                metadata={"rows": 21, "gross_exposure": 0.5},
                tags={"dagster/data_version": version, "dagster/code_version": "7"},
            )
        ),
    )


def observation(asset: AssetKey, partition: str | None, version: str) -> DagsterEvent:
    return of_type(
        DagsterEventType.ASSET_OBSERVATION,
        AssetObservationData(
            dg.AssetObservation(asset, partition=partition, tags={"dagster/data_version": version})
        ),
    )


def planned_check(asset: AssetKey, partitions: Sequence[str]) -> DagsterEvent:
    subset = PARTITIONS.subset_with_partition_keys(partitions).to_serializable_subset()
    return of_type(
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
        AssetCheckEvaluationPlanned(
            asset_key=asset, check_name="contract", partitions_subset=subset if partitions else None
        ),
    )


def checked(
    asset: AssetKey,
    partition: str | None,
    passed: bool,
    target: AssetCheckEvaluationTargetMaterializationData | None = None,
) -> DagsterEvent:
    return of_type(
        DagsterEventType.ASSET_CHECK_EVALUATION,
        AssetCheckEvaluation(
            asset_key=asset,
            check_name="contract",
            passed=passed,
            partition=partition,
            metadata={},
            target_materialization_data=target,
        ),
    )


def random_batches(seed: int, runs: Sequence[str]) -> list[list[EventLogEntry]]:
    """Everything there is, of several assets, in any order and cut into batches anywhere."""
    random = Random(seed)
    events: list[tuple[str, DagsterEvent | None]] = []
    for run in runs:
        events.append((run, None))
        for asset in ASSETS:
            month = random.choice(MONTHS)
            events += [(run, planned(asset, p)) for p in (None, month)]
            events += [(run, materialization(asset, month, f"{run} {i}")) for i in range(2)]
            events.append((run, observation(asset, month, run)))
    random.shuffle(events)
    for run in runs:
        for asset, months in zip(ASSETS, (MONTHS[:9], []), strict=True):
            early, late = sorted(random.sample(range(len(events)), 2))
            verdict = checked(asset, months[0] if months else None, random.random() < 0.5)
            events.insert(late, (run, verdict))
            events.insert(early, (run, planned_check(asset, months)))
    entries = [entry(run, at, event) for at, (run, event) in enumerate(events)]
    cuts = [0, *sorted(random.sample(range(1, len(entries)), 4)), len(entries)]
    return [entries[i:j] for i, j in pairwise(cuts)]


def rows(storage: SqlEventLogStorage, *runs: str) -> Rows:
    """Everything stored: the index, and the databases of ``runs`` where there are any."""
    found: Rows = {}
    places = {"index": storage.index_connection}
    if storage.is_run_sharded:
        places |= {run: partial(storage.run_connection, run) for run in runs}
    for place, connect in places.items():
        with connect() as conn:
            for table, columns in TABLES.items():
                query = text(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3, 4, 5")
                found[f"{place} {table}"] = [tuple(row) for row in conn.execute(query)]
    return found


def forbid(
    storage: SqlEventLogStorage, table: str, condition: str, run_id: str | None = None
) -> None:
    """Let the database itself refuse rows."""
    connection = storage.run_connection(run_id) if run_id else storage.index_connection()
    if isinstance(storage, SqliteEventLogStorage):
        statements = [
            f"CREATE TRIGGER {table}_{act} BEFORE {act} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, 'refused by {table}'); END"
            for act in ("INSERT", "UPDATE")
        ]
    else:
        statements = [
            f"CREATE FUNCTION refuse_{table}() RETURNS trigger AS $$ BEGIN "
            f"IF {condition} THEN RAISE EXCEPTION 'refused by {table}'; END IF; RETURN NEW; END $$ "
            "LANGUAGE plpgsql",
            f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION refuse_{table}()",
        ]
    with connection as conn:
        for statement in statements:
            conn.execute(text(statement))


def test_the_same_events_leave_the_rows_that_dagster_leaves(
    databases: dict[str, Kind],
) -> None:
    stock, batched = databases["stock"].stock(), databases["batched"].batched()
    runs = ["run0", "run1"]
    for batch in random_batches(7, runs):
        for event in batch:
            stock.store_event(event)
        batched.store_event_batch(batch)
    expected = rows(stock, *runs)
    assert rows(batched, *runs) == expected
    assert all(expected[f"index {table}"] for table in TABLES)


def test_a_run_of_twenty_assets_leaves_the_rows_that_dagster_leaves(
    databases: dict[str, Kind],
) -> None:
    assets = [AssetKey(["model_states", f"model_{i:02d}"]) for i in range(20)]
    events = [entry("run", 0, planned_check(a, MONTHS)) for a in assets]
    events += [entry("run", i, planned(a, m)) for i, a in enumerate(assets) for m in MONTHS]
    found = [(a, m, str(i)) for i, a in enumerate(assets) for m in MONTHS]
    stock, batched = databases["stock"].stock(), databases["batched"].batched()
    for event in events[-len(MONTHS) :] + events[:2]:
        stock.store_event(event)
    batched.store_event_batch(events[-len(MONTHS) :] + events[:2])
    assert rows(batched, "run") == rows(stock, "run")
    # More rows than one statement holds: each id still belongs to its event.
    batched.store_event_batch([entry("more", 1, materialization(*m)) for m in found * 3])
    with batched.index_connection() as conn:
        joined = conn.execute(
            text(
                "SELECT e.asset_key, e.partition, t.asset_key, t.value FROM event_logs e "
                "JOIN asset_event_tags t ON t.event_id = e.id ORDER BY e.id"
            )
        )
        assert [tuple(row) for row in joined] == [
            (a.to_string(), m, a.to_string(), version) for a, m, version in found * 3
        ]


def test_evaluations_in_one_batch_leave_the_rows_that_dagster_leaves(
    databases: dict[str, Kind],
) -> None:
    """With a plan and without one; the same check twice; of one month, which goes apart."""
    assets = [AssetKey(["insights", f"model_{i:02d}"]) for i in range(20)]
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=7, run_id="run", timestamp=BEGAN
    )
    plans = [planned_check(asset, []) for asset in assets[3:]]
    plans.append(planned_check(assets[0], MONTHS[:1]))
    evaluations = [checked(asset, None, i % 3 > 0, target) for i, asset in enumerate(assets)]
    evaluations += [checked(asset, None, True) for asset in (assets[0], assets[-1])]
    evaluations.insert(0, checked(assets[0], MONTHS[0], False))
    stock, batched = databases["stock"].stock(), databases["batched"].batched()
    for events in (plans, evaluations):
        entries = [entry("run", i, event) for i, event in enumerate(events)]
        for one in entries:
            stock.store_event(one)
        batched.store_event_batch(entries)
    assert rows(batched, "run") == rows(stock, "run")


def answers(storage: SqlEventLogStorage) -> list[Any]:
    """What Dagster asks, and the UI shows."""
    check_keys = [dg.AssetCheckKey(asset, "contract") for asset in ASSETS]
    latest_checks = storage.get_latest_asset_check_execution_by_key(check_keys)
    found: list[Any] = [
        sorted(storage.all_asset_keys()),
        storage.get_latest_materialization_events(ASSETS),
        {key: (check.status, check.run_id, check.event) for key, check in latest_checks.items()},
        [r.event_log_entry for r in storage.get_records_for_run("run0").records],
    ]
    for asset, key in zip(ASSETS, check_keys, strict=True):
        record = storage.get_asset_records([asset])[0].asset_entry
        found += [
            record.last_materialization_record,
            record.last_run_id,
            storage.get_materialized_partitions(asset),
            storage.fetch_materializations(asset, limit=1000).records,
            storage.fetch_observations(asset, limit=1000).records,
            storage.get_latest_tags_by_partition(
                asset, DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
            ),
            storage.get_latest_storage_id_by_partition(
                asset, DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            ),
            [
                (c.partition, c.status, c.run_id, c.event)
                for c in storage.get_asset_check_execution_history(key, limit=1000)
            ],
        ]
    return found


def test_either_class_reads_and_continues_what_the_other_has_written(
    databases: dict[str, Kind],
) -> None:
    mixed, plain = databases["batched"], databases["stock"].stock()
    one, other = mixed.stock(), mixed.batched()
    for batch in random_batches(11, ["run0"]):
        for event in batch:
            one.store_event(event)
            plain.store_event(event)
    assert answers(other) == answers(one)
    for batch in random_batches(12, ["run1"]):
        for event in batch:
            plain.store_event(event)
        other.store_event_batch(batch)
    assert answers(other) == answers(one)
    assert rows(one, "run0", "run1") == rows(plain, "run0", "run1")


def test_a_batch_that_fails_anywhere_leaves_nothing_behind(
    databases: dict[str, Kind],
) -> None:
    storage = databases["batched"].batched()
    storage.store_event(entry("run", 0, planned(ASSETS[1], None)))
    before = rows(storage, "run")
    batch = [entry("run", 1, planned_check(ASSETS[0], MONTHS))]
    for asset in ASSETS:
        batch += [entry("run", 2, materialization(asset, month, month)) for month in MONTHS]
    for table, condition in {
        "asset_check_executions": "NEW.partition = '2020-05-01'",
        "asset_keys": "NEW.asset_key LIKE '%weights%'",
        "asset_event_tags": "NEW.value = '2020-05-01'",
        "event_logs": "NEW.partition = '2020-05-01'",
    }.items():
        forbid(storage, table, condition)
        with pytest.raises(DBAPIError, match=f"refused by {table}"):
            storage.store_event_batch(batch)
        assert rows(storage, "run") == before


def test_a_batch_that_its_run_cannot_store_is_not_in_the_index_either(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    before = rows(storage, "run")
    forbid(storage, "event_logs", "NEW.partition = '2020-05-01'", "run")
    with pytest.raises(DBAPIError, match="refused"):
        storage.store_event_batch([entry("run", 0, planned(ASSETS[0], m)) for m in MONTHS])
    assert rows(storage, "run") == before


@pytest.fixture
def in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


def storage_config(storage: SqlEventLogStorage) -> dict[str, Any]:
    if isinstance(storage, PostgresEventLogStorage):
        config = {"postgres_url": storage.postgres_url}
    else:
        assert isinstance(storage, SqliteEventLogStorage)
        config = {"base_dir": storage._base_dir}
    kind = type(storage)
    return {"module": kind.__module__, "class": kind.__name__, "config": config}


def test_after_a_failed_batch_dagster_stores_every_event_once(
    databases: dict[str, Kind], in_batches: None, capfd: pytest.CaptureFixture[str]
) -> None:
    events = [entry("run", i, materialization(ASSETS[0], m, m)) for i, m in enumerate(MONTHS[:8])]
    stock, kind = databases["stock"].stock(), databases["batched"]
    for event in events:
        stock.store_event(event)
    storage = kind.batched()
    # True of a batch only: event by event, the tags of earlier months are there by then.
    forbid(
        storage,
        "event_logs",
        "NEW.partition = '2020-05-01' AND NOT EXISTS (SELECT 1 FROM asset_event_tags)",
    )
    config = storage_config(storage)
    with instance_for_test(overrides={"event_log_storage": config}) as instance:
        for event in events:
            metadata = DagsterEventBatchMetadata("batch", is_end=event is events[-1])
            instance.handle_new_event(event, batch_metadata=metadata)
    assert "refused" in capfd.readouterr().err
    found, expected = rows(kind.stock(), "run"), rows(stock, "run")
    if not stock.is_run_sharded:
        found, expected = [_renumbered(r) for r in (found, expected)]
    assert found == expected


def _renumbered(found: Rows) -> Rows:
    """PostgreSQL does not give a number out again that a failed insert has taken."""
    numbers = {row[0]: i for i, row in enumerate(found["index event_logs"])}
    return {
        "index event_logs": [(numbers[i], *rest) for i, *rest in found["index event_logs"]],
        "index asset_event_tags": [
            (numbers[i], *rest) for _, i, *rest in found["index asset_event_tags"]
        ],
    }


def store_in_threads(
    storages: Sequence[SqlEventLogStorage], work: Sequence[Sequence[Sequence[EventLogEntry]]]
) -> None:
    """Each thread stores its batches; all of them start together."""
    start = threading.Barrier(len(work))

    def store(number: int) -> None:
        start.wait()
        for batch in work[number]:
            storages[number % len(storages)].store_event_batch(batch)

    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(store, range(len(work))))


def test_concurrent_writers_neither_lose_nor_double_nor_lock_each_other_out(
    databases: dict[str, Kind],
) -> None:
    kind = databases["batched"]
    storages = [kind.batched() for _ in range(2)]
    assets = [AssetKey(["insights", f"model_{i}"]) for i in range(6)]
    work: list[list[list[EventLogEntry]]] = []
    for number in range(4):
        own = assets if number % 2 else assets[::-1]
        events = [
            entry(f"run{number}", i, materialization(asset, month, f"{number} {i}"))
            for i, month in enumerate(MONTHS[:8])
            for asset in own
        ]
        batches = [events[:6], events[6:7], events[7:30], events[30:]]
        work.append([*batches, [entry(f"run{number}", 99, planned_check(own[0], MONTHS))]])
    store_in_threads(storages, work)
    storage = kind.stock()
    for number, batches in enumerate(work):
        stored = [r.event_log_entry for r in storage.get_records_for_run(f"run{number}").records]
        assert stored == [event for batch in batches for event in batch]
    assert len(rows(storage)["index asset_event_tags"]) == 4 * 8 * 6
    for asset in assets:
        found = storage.fetch_materializations(asset, limit=1000).records
        assert len(found) == 4 * 8
        assert (
            storage.get_asset_records([asset])[0].asset_entry.last_materialization_record in found
        )


def test_a_range_run_is_recorded_the_same_whether_or_not_batches_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.multi_asset(
        specs=[dg.AssetSpec("prices"), dg.AssetSpec("signals", deps=["prices"])],
        check_specs=[dg.AssetCheckSpec("contract", asset="signals")],
        partitions_def=PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def stage() -> Iterator[Any]:
        yield dg.MaterializeResult("prices")
        yield dg.MaterializeResult("signals")
        yield dg.AssetCheckResult(asset_key="signals", check_name="contract", passed=True)

    recorded = []
    for kind, batch_size in (
        (SqliteEventLogStorage, None),
        (BatchedSqliteEventLogStorage, None),
        (BatchedSqliteEventLogStorage, "3"),
    ):
        monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
        if batch_size:
            monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
        config = storage_config(kind(str(tmp_path / f"{kind.__name__} {batch_size}")))
        with instance_for_test(overrides={"event_log_storage": config}) as instance:
            job = dg.Definitions(assets=[stage]).resolve_implicit_global_asset_job_def()
            run = job.execute_in_process(
                instance=instance,
                tags={
                    "dagster/asset_partition_range_start": MONTHS[0],
                    "dagster/asset_partition_range_end": MONTHS[4],
                },
            )
            log = instance.event_log_storage
            kinds = [e.dagster_event_type for e in instance.all_logs(run.run_id)]
            statuses = log.get_asset_check_execution_history(
                dg.AssetCheckKey(AssetKey("signals"), "contract"), limit=100
            )
            recorded.append(
                (
                    kinds,
                    [log.get_materialized_partitions(AssetKey(k)) for k in ("prices", "signals")],
                    [(s.partition, s.status) for s in statuses if s.status.value != "PLANNED"],
                )
            )
            # The UI shows a plan without an evaluation as skipped.
            left = len(statuses) - len(recorded[-1][2])
            assert left == (5 if kind is SqliteEventLogStorage else 0)
    assert recorded[0] == recorded[1] == recorded[2]
    assert recorded[0][1] == [set(MONTHS[:5]), set(MONTHS[:5])]


def open_databases(folder: Path) -> set[str]:
    links = [Path("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    targets = {str(link.readlink()) for link in links if link.is_symlink()}
    return {t for t in targets if t.startswith(f"{folder}/") and t.endswith(".db")}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_only_the_databases_last_used_stay_open(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    index = storage._engine("index")
    runs = [f"run{i}" for i in range(event_log._OPEN_DATABASES + 1)]
    for run in runs:
        storage.store_event(entry(run, 0, planned(ASSETS[0], MONTHS[0])))
    last = {str(tmp_path / f"{run}.db") for run in runs[1 - event_log._OPEN_DATABASES :]}
    assert open_databases(tmp_path) == {str(tmp_path / "index.db"), *last}
    assert storage._engine("index") is index
    assert all(storage.get_logs_for_run(run) for run in runs)
    storage.dispose()
    assert not open_databases(tmp_path)
    assert storage.get_logs_for_run(runs[0])
    storage.dispose()


def test_what_is_stored_after_a_wipe_is_there(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    batch = [entry("run", 0, planned(ASSETS[0], m)) for m in MONTHS]
    storage.store_event_batch(batch)
    storage.wipe()
    storage.store_event_batch(batch[:3])
    reader = SqliteEventLogStorage(str(tmp_path))
    assert reader.get_logs_for_run("run") == batch[:3]
    assert len(rows(reader)["index event_logs"]) == 3


def test_whoever_watches_a_run_sees_its_events_while_it_goes_on(tmp_path: Path) -> None:
    writer, reader = (BatchedSqliteEventLogStorage(str(tmp_path)) for _ in range(2))
    first = entry("run", 0, None)
    writer.store_event(first)
    seen: list[EventLogEntry] = []
    more = threading.Condition()

    def callback(event: EventLogEntry, _: str) -> None:
        with more:
            seen.append(event)
            more.notify_all()

    reader.watch("run", None, callback)
    batch = [entry("run", i, planned(ASSETS[0], m)) for i, m in enumerate(MONTHS)]
    with more:
        writer.store_event(entry("run", 1, None))
        assert more.wait_for(lambda: len(seen) == 2, timeout=20)
        writer.store_event_batch(batch)
        assert more.wait_for(lambda: len(seen) == 2 + len(batch), timeout=20)
    assert seen[2:] == batch
    reader.end_watch("run", callback)
    reader.dispose()


def test_a_database_is_set_up_as_dagster_sets_it_up(tmp_path: Path) -> None:
    described = []
    for kind in (SqliteEventLogStorage, BatchedSqliteEventLogStorage):
        storage = kind(str(tmp_path / kind.__name__))
        storage.store_event(entry("run", 0, None))
        for connection in (storage.index_connection(), storage.run_connection("run")):
            with connection as conn:
                described.append(
                    [
                        conn.execute(text("PRAGMA journal_mode")).scalar(),
                        conn.execute(text("SELECT version_num FROM alembic_version")).scalar(),
                        conn.execute(text("SELECT name FROM sqlite_master ORDER BY 1")).all(),
                    ]
                )
    assert described[:2] == described[2:]
    assert described[0][0] == "wal"


def test_a_database_that_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    assert event_log._create(str(path), b"ours")
    assert not event_log._create(str(path), b"theirs")
    assert not event_log._create(str(tmp_path / "no folder" / "run.db"), b"theirs")
    assert path.read_bytes() == b"ours"
    assert list(tmp_path.iterdir()) == [path]


def test_the_event_log_lies_where_dagster_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    kind = BatchedSqliteEventLogStorage
    event = entry("run", 0, planned(ASSETS[0], MONTHS[0]))
    kind.from_config_value(None, {}).store_event(event)
    with dg.DagsterInstance.from_config(str(tmp_path)) as stock:
        assert stock.event_log_storage.get_logs_for_run("run") == [event]
    kind.from_config_value(None, {"base_dir": str(tmp_path / "other")}).store_event(event)
    assert (tmp_path / "other" / "run.db").exists()
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)
    kind.from_config_value(None, {}).store_event(event)
    assert (tmp_path / ".hawk" / "dagster" / "history" / "runs" / "run.db").exists()


def test_postgres_keeps_the_settings_of_a_cloud_login() -> None:
    storage = BatchedPostgresEventLogStorage.from_config_value(
        None,
        {
            "postgres_db": {"username": "hawk", "hostname": "db", "db_name": "dagster"},
            "auth_provider": {"gcp_wif": {}},
            "should_autocreate_tables": False,
        },
    )
    assert storage.postgres_url == "postgresql://hawk@db:5432/dagster"
    assert isinstance(storage._token_provider, GcpWifTokenProvider)
