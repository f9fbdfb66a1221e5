"""One command at a time, and none beside another run: what is said, waited for and given up."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRun

from hawk_assets.commands import turns
from hawk_assets.commands.backfill import backfill
from hawk_assets.commands.events import Notice, StageResult
from hawk_assets.commands.refresh import refresh
from hawk_assets.commands.status import find_status
from hawk_assets.commands.turns import find_activity, take_turn
from hawk_assets.core.errors import BusyError
from hawk_assets.orchestration.catalog import MARKET_DATA
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.internals import PLANNED, range_tags
from hawk_assets.orchestration.instance.locks import COMMAND_LOCK
from hawk_assets.orchestration.instance.run_owners import new_command_run
from hawk_assets_tests.orchestration.automation.ledger import record
from hawk_assets_tests.pipelines import Desk, open_desk, ragged_prices

MONTH = "2015-02-01"
Event = StageResult | Notice | str
HOLD = """
import sys, time
from pathlib import Path
import dagster as dg
from hawk_assets.orchestration.instance.dagster_home import open_instance
from hawk_assets.commands.turns import take_turn
with open_instance(Path(sys.argv[1])) as instance, take_turn(instance, "hawk backfill", [], print):
    print("working", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Two months, up to date."""
    with open_desk(tmp_path, ragged_prices(), "2015-02") as it:
        assert it.backfill() == {}
        yield it


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.05)


def begin(
    desk: Desk, run_id: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
) -> None:
    """A run of somebody else that is to materialise a month of market data."""
    run = DagsterRun(
        job_name="__ASSET_JOB",
        run_id=run_id,
        status=status,
        tags={**range_tags(MONTH, MONTH), **(tags or {})},
        asset_selection=frozenset({dg.AssetKey(MARKET_DATA)}),
    )
    desk.instance.add_run(run)
    record(desk.instance, run_id, PLANNED, [(MARKET_DATA, MONTH)])


def end(desk: Desk, run_id: str) -> None:
    run = desk.instance.get_run_by_id(run_id)
    assert run
    desk.instance.report_run_failed(run)


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


RUN = "0a1b2c3d-0000-4000-8000-000000000000"


def test_a_refresh_waits_for_a_run_in_progress_and_computes_what_that_run_leaves(
    desk: Desk,
) -> None:
    begin(desk, RUN, dg.DagsterRunStatus.STARTED)
    (status, *others) = find_status(desk.pipeline, desk.instance)
    assert (status.table.key, status.running) == (MARKET_DATA, [MONTH])
    assert not any(t.stale or t.missing or t.failed for t in (status, *others))
    assert "run 0a1b2c3d (market_data, 2015-02) by Dagster, started" in str(
        find_activity(desk.instance)
    )
    events: list[Event] = []
    results: list[object] = []
    at_work = in_background(
        lambda: results.append(refresh(desk.pipeline, desk.instance, events.append))
    )
    wait_for(lambda: notices(events))
    time.sleep(0.3)
    assert not [event for event in events if not isinstance(event, Notice)]
    end(desk, RUN)
    at_work.join()
    assert len(notices(events)) == 1
    assert "waiting for run 0a1b2c3d (market_data, 2015-02) by Dagster" in notices(events)[0]
    assert results == [{}]
    assert any(isinstance(e, StageResult) and e.stage == "market_data" for e in events)
    assert desk.pending() == set()


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (dg.DagsterRunStatus.STARTING, "terminate it on the page Runs"),
        (dg.DagsterRunStatus.NOT_STARTED, "start the Dagster daemon, which executes it"),
        (dg.DagsterRunStatus.STARTED, "terminate it on the page Runs of the Dagster UI"),
    ],
)
def test_a_run_that_does_not_end_is_named_with_the_remedy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: dg.DagsterRunStatus, remedy: str
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.2)
    begin(desk, RUN, status)
    for command in (desk.refresh, desk.backfill):
        with pytest.raises(BusyError, match=r"run 0a1b2c3d .* has not ended") as error:
            command()
        assert remedy in str(error.value)
    assert instance_locks(desk.instance).find_holder(COMMAND_LOCK) is None


def test_the_run_of_a_living_command_names_its_process(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.2)
    with new_command_run(desk.instance, "hawk refresh") as (run_id, tags):
        begin(desk, run_id, dg.DagsterRunStatus.STARTED, tags)
        with pytest.raises(BusyError, match=r"by hawk refresh, process \d+ on .*Ctrl-C there"):
            desk.refresh()
    runs, failed = desk.refresh()  # its process has given back the lock: it is dead
    assert failed == {}
    assert runs[0].stage == "market_data"


def test_a_second_command_says_who_works_and_waits(desk: Desk) -> None:
    home = desk.settings.dagster_home
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout
        assert first.stdout.readline() == "working\n"
        assert f"hawk backfill, process {first.pid}" in find_activity(desk.instance)[0]
        events: list[Event] = []
        second = in_background(lambda: refresh(desk.pipeline, desk.instance, events.append))
        wait_for(lambda: notices(events))
        assert f"waiting for hawk backfill, process {first.pid}" in notices(events)[0]
        assert second.is_alive()
    finally:
        first.kill()
        first.communicate()
    second.join(timeout=30)
    assert not second.is_alive()
    assert len(notices(events)) == 1


def test_a_run_that_somebody_starts_meanwhile_is_waited_for_before_the_next_stage(
    desk: Desk,
) -> None:
    events: list[Event] = []

    def interfere(event: Event) -> None:
        events.append(event)
        if isinstance(event, StageResult) and event.stage == "market_data":
            begin(desk, RUN, dg.DagsterRunStatus.STARTED)
            threading.Timer(0.5, lambda: end(desk, RUN)).start()

    tables = list(desk.pipeline.catalog.values())
    months = desk.pipeline.months
    assert not backfill(desk.pipeline, desk.instance, tables, months[0], months[-1], interfere)
    kinds = [type(event).__name__ for event in events]
    assert kinds[:4] == ["str", "StageResult", "Notice", "str"]
    assert {month for table, month in desk.pending() if table == "market_data"} == {MONTH}


def test_automation_requests_nothing_while_a_command_is_at_work(desk: Desk) -> None:
    desk.feed(ragged_prices().assign(volume=lambda prices: prices["volume"] + 1))
    assert desk.backfill(None, None, "market_data") == {}

    def requested() -> int:
        return dg.evaluate_automation_conditions(desk.pipeline.defs, desk.instance).total_requested

    assert requested() > 0
    with take_turn(desk.instance, "hawk backfill", desk.pipeline.catalog, lambda event: None):
        assert requested() == 0
    assert requested() > 0
