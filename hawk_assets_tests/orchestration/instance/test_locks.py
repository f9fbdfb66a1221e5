"""A lock lives as long as the process that holds it: in files, and in a real PostgreSQL."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.instance import postgres_locks
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.locks import FileLocks, Locks
from hawk_assets.orchestration.instance.postgres_locks import PostgresLocks
from hawk_assets.orchestration.instance.run_owners import (
    fail_dead_runs,
    fetch_in_progress,
    fetch_unfinished,
    find_dead,
    new_command_run,
)
from hawk_assets_tests.postgres import Cluster

TAKE = """
import sys, time
from pathlib import Path
from hawk_assets.orchestration.instance.locks import FileLocks
from hawk_assets.orchestration.instance.postgres_locks import PostgresLocks
kind, where, name, holder = sys.argv[1:]
locks = FileLocks(Path(where)) if kind == "files" else PostgresLocks(where)
print(locks.take(name, holder), flush=True)
time.sleep(600)
"""
Begin = Callable[[str, str], "subprocess.Popen[str]"]


@pytest.fixture(params=["files", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """The kind of locks, and where they are."""
    monkeypatch.setattr(postgres_locks, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(postgres_locks, "START_SECONDS", 0.0)
    if request.param == "files":
        return "files", str(tmp_path)
    return "postgres", request.getfixturevalue("cluster").url


@pytest.fixture
def locks(place: tuple[str, str]) -> Iterator[Locks]:
    kind, where = place
    it: Locks = FileLocks(Path(where)) if kind == "files" else PostgresLocks(where)
    yield it
    it.release_all()


@pytest.fixture
def begin(place: tuple[str, str]) -> Iterator[Begin]:
    """Start a process that takes a lock."""
    started: list[subprocess.Popen[str]] = []

    def begin(name: str, holder: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE, *place, name, holder], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_lock_is_held_until_its_process_is_killed(locks: Locks, begin: Begin) -> None:
    process = begin("a", "hawk refresh, process 7 on desk")
    assert locks.find_held(["a", "b"]) == {"a"}
    assert not locks.take("a", "me")
    holder = locks.find_holder("a")
    assert holder
    assert holder.text == "hawk refresh, process 7 on desk"
    assert abs(holder.since.timestamp() - time.time()) < 60
    process.kill()
    process.wait()
    assert locks.find_held(["a", "b"]) == set()
    assert locks.find_holder("a") is None
    assert locks.take("a", "me")


def test_what_is_given_back_can_be_taken_by_another_process(locks: Locks, begin: Begin) -> None:
    assert locks.take("a", "me")
    assert locks.take("b", "me")
    assert not locks.take("a", "me")
    assert locks.find_held(["a", "b"]) == {"a", "b"}
    locks.release("a")
    assert locks.find_held(["a", "b"]) == {"b"}
    begin("a", "another")
    locks.release_all()
    assert locks.find_held(["a", "b"]) == {"a"}


def test_files_of_ended_runs_are_removed(tmp_path: Path) -> None:
    ours, theirs = FileLocks(tmp_path), FileLocks(tmp_path)
    (tmp_path / "dead").write_text("hawk refresh")
    assert ours.take("ours", "me")
    assert theirs.take("theirs", "them")
    ours.clear()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ours", "theirs"]
    ours.release_all()
    theirs.release_all()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot be locked: .*point DAGSTER_HOME"):
        FileLocks(tmp_path / "file").take("a", "me")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_locks, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(postgres_locks, "START_SECONDS", 2.0)


def test_a_lock_whose_connection_breaks_is_taken_again_and_never_looks_free(
    cluster: Cluster, quick: None
) -> None:
    mine, others = PostgresLocks(cluster.url), PostgresLocks(cluster.url)
    assert mine.take("broken", "me")
    engine = create_engine(cluster.url, poolclass=NullPool)
    with engine.connect() as conn:
        conn.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        )
    assert others.find_held(["broken"]) == {"broken"}
    wait_until(lambda: others.find_holder("broken") is not None)
    mine.release_all()
    time.sleep(postgres_locks.START_SECONDS)
    assert others.find_held(["broken"]) == set()


def test_locks_outlive_a_restart_of_the_server(cluster: Cluster, quick: None) -> None:
    mine, others = PostgresLocks(cluster.url), PostgresLocks(cluster.url)
    assert mine.take("restarted", "me")
    cluster.stop()
    time.sleep(0.5)
    cluster.start()
    assert others.find_held(["restarted"]) == {"restarted"}
    wait_until(lambda: others.find_holder("restarted") is not None)
    mine.release_all()


def test_a_run_on_postgres_holds_its_lock_while_it_is_executed(
    cluster: Cluster, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(cluster.port),
        "USER": "postgres",
        "PASSWORD": cluster.password,
        "DB": "postgres",
    }.items():
        monkeypatch.setenv(f"HAWK_POSTGRES_{name}", value)
    storage = "{module: hawk_assets.orchestration.instance.postgres_storage, class: PostgresStorage"
    (tmp_path / "dagster.yaml").write_text(
        f"storage: {{custom: {storage}, config: {{}}}}}}\ntelemetry: {{enabled: false}}\n"
    )
    held = []

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        held.append(PostgresLocks(cluster.url).find_holder(context.run_id) is not None)
        held.append(find_dead(instance, fetch_unfinished(instance)) == [])

    @dg.job
    def job() -> None:
        step()

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance_locks(instance).on_one_machine
        run_id = job.execute_in_process(instance=instance).run_id
        assert held == [True, True]
        with new_command_run(instance, "hawk refresh") as (killed, tags):
            create_run_for_test(
                instance, run_id=killed, status=dg.DagsterRunStatus.STARTED, tags=tags
            )
            assert [found.run.run_id for found in fetch_in_progress(instance)] == [killed]
        time.sleep(postgres_locks.START_SECONDS)
        assert fetch_in_progress(instance) == []
        fail_dead_runs(instance)
        failed = instance.get_run_by_id(killed)
        assert failed
        assert failed.status == dg.DagsterRunStatus.FAILURE
    assert PostgresLocks(cluster.url).find_holder(run_id) is None
