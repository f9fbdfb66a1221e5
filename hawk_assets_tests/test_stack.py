"""New rows in the warehouse become a book in the bucket by themselves, whatever is killed.

One stack for all of it: PostgreSQL, UI, daemon and four code servers, each a process of its own,
and doubles of BigQuery and Google Cloud Storage that Google's clients talk to. Each test adds rows
and breaks something while they are on their way; the last one compares what has become of it all.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.core.sessions import key_of, shift
from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets.sources.sample import today
from hawk_assets_tests import quick_services
from hawk_assets_tests.doubles.webhook import Listener, listening
from hawk_assets_tests.pipelines import MODELS, assert_same, stored
from hawk_assets_tests.stack import BOOK, BUCKET, Run, Stack, open_stack, until_booked

long = pytest.mark.skipif(
    not os.environ.get("HAWK_TEST_LONG"), reason="takes minutes; set HAWK_TEST_LONG=1"
)
SECONDS = 300
BACKFILL_SECONDS = 900
START = shift(today().to_period("M").to_timestamp(), -6)
QUICK = {
    "run_monitoring": {"poll_interval_seconds": 1},
    "run_coordinator": {"config": {"max_concurrent_runs": 4, "dequeue_interval_seconds": 1}},
}
OWNERS = {
    "market_data": "model_state_generator",
    "commitments_of_traders": "model_state_generator",
    **{f"model_states/{m.name}": "model_state_generator" for m in MODELS},
    **{f"insights/{m.name}": "trading_models" for m in MODELS},
    **{f"performance_timeseries/{m.name}": "portfolio_simulator" for m in MODELS},
    **{f"performance_metrics/{m.name}": "portfolio_simulator" for m in MODELS},
    BOOK: "model_aggregator",
    "attribution": "model_aggregator",
    "combined_performance": "model_aggregator",
    "combined_metrics": "model_aggregator",
}
"""What a new session recomputes, by location; weights of a month read only the months before it."""


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as it:
        yield it


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Stack]:
    module = quick_services.__name__
    env = {"HAWK_TICK_SECONDS": "1", "HAWK_WEBHOOK": listener.url}
    folder = tmp_path_factory.mktemp("stack")
    with open_stack(folder, START, env, QUICK, module, [module]) as it:
        yield it


@pytest.fixture(autouse=True)
def _all_well_again(stack: Stack) -> Iterator[None]:
    """A test that fails leaves no fault behind for the next."""
    yield
    stack.bucket.faults.clear()
    stack.warehouse.faults.clear()


class NewSession:
    """A session added to the warehouse, and the runs that follow."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.known = stack, {run.run_id for run in stack.runs()}
        self.session = stack.market.add_session()

    @property
    def runs(self) -> list[Run]:
        return [run for run in self.stack.runs() if run.run_id not in self.known]

    def wait_for_book(self) -> list[Run]:
        """Wait until the book has it and nothing runs any more; return the runs that it took."""
        return until_booked(self.stack, self.known)


def assert_materialised_once(runs: Sequence[Run]) -> None:
    """One run materialised each downstream table, in the location that owns it."""
    good = [run for run in runs if run.status == "SUCCESS"]
    assert Counter(table for run in good for table in run.tables) == dict.fromkeys(OWNERS, 1)
    assert {(t, run.location) for run in good for t in run.tables} == set(OWNERS.items())


def find_downstream(months: Sequence[str]) -> set[tuple[str, str]]:
    """What is downstream of raw data of the last months; weights read earlier months only."""
    return {(table, month) for table in OWNERS for month in months} | {
        ("weights", month) for month in months[1:]
    }


def count_materialised(
    stack: Stack, known: Container[str], months: Sequence[str]
) -> Counter[tuple[str, str]]:
    """How often runs that are not known materialised each month of each table."""
    return Counter(
        (table, month)
        for run in stack.runs()
        if run.run_id not in known and run.status == "SUCCESS"
        for table in run.tables
        for month in months
        if run.months[0] <= month <= run.months[1]
    )


def assert_no_failure_alert(listener: Listener) -> None:
    assert [alert for alert in listener.alerts if alert["kind"] == "run_failed"] == []


def hold(stack: Stack) -> tuple[NewSession, Run]:
    """A new session, and the first run that follows, held while it writes to the bucket."""
    held = stack.bucket.faults.stall(SECONDS, match="^POST /upload")
    added = NewSession(stack)
    assert held.hit.wait(SECONDS)
    run = stack.wait(
        lambda: next((run for run in added.runs if run.status == "STARTED"), None),
        SECONDS,
        "no run has started",
    )
    return added, run


def wait_for_tick(stack: Stack, service: str, name: str) -> None:
    """Wait until a sensor has had one whole tick."""
    since = time.time()

    def has_ticked() -> bool:
        ticks = stack.sensor(service, name)["ticks"]
        return any(t["timestamp"] > since and t["status"] != "STARTED" for t in ticks)

    stack.wait(has_ticked, SECONDS, f"{name} does not tick")


def assert_stored(stack: Stack, session: pd.Timestamp) -> None:
    for table in ("market_data", BOOK):
        assert stack.stored(table, _month(session))["date"].max() == session


@long
def test_new_rows_become_a_book_by_themselves(stack: Stack, listener: Listener) -> None:
    added = NewSession(stack)
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert [run.status for run in runs if run.status != "SUCCESS"] == []
    assert_stored(stack, added.session)
    assert_no_failure_alert(listener)


def test_new_rows_become_a_book_though_a_run_is_killed_half_way(
    stack: Stack, listener: Listener
) -> None:
    added, run = hold(stack)
    os.kill(stack.process_of(run), signal.SIGKILL)
    stack.bucket.faults.clear()
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert_stored(stack, added.session)
    failed = [r for r in runs if r.status != "SUCCESS"]
    assert [r.run_id for r in failed] == [run.run_id]
    assert [r.parent for r in runs if r.parent] == [run.run_id]
    assert_no_failure_alert(listener)


def test_the_same_rows_announced_again_start_nothing(stack: Stack) -> None:
    known = [run.run_id for run in stack.runs()]
    stack.market.publish()
    for name in ("new_market_data", "model_state_generator_automation"):
        wait_for_tick(stack, "model_state_generator", name)
    assert [run.run_id for run in stack.runs()] == known


@long
def test_a_code_server_killed_with_its_run_comes_back_to_both(
    stack: Stack, listener: Listener
) -> None:
    """As when their container dies: nobody is left who could say that the run has failed."""
    added, run = hold(stack)
    assert run.location
    stack.kill(run.location)
    with suppress(ProcessLookupError):
        os.kill(stack.process_of(run), signal.SIGKILL)
    stack.bucket.faults.clear()
    stack.start(run.location)
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert [r.run_id for r in runs if r.status != "SUCCESS"] == [run.run_id]
    assert_no_failure_alert(listener)


@long
def test_a_daemon_killed_goes_on_where_it_was(stack: Stack, listener: Listener) -> None:
    added, _ = hold(stack)
    stack.kill("daemon")
    stack.bucket.faults.clear()
    stack.wait(lambda: not stack.unfinished(), SECONDS, "the run does not end without the daemon")
    stack.start("daemon")
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert {run.status for run in runs} == {"SUCCESS"}
    assert_no_failure_alert(listener)


@long
def test_a_warehouse_that_answers_503_and_then_403_is_asked_again(stack: Stack) -> None:
    stack.warehouse.faults.add(503, times=4, match="queries|jobs")
    refused = stack.warehouse.faults.add(
        403, times=None, match="queries|jobs", reason="accessDenied"
    )
    added = NewSession(stack)
    assert refused.hit.wait(SECONDS)

    def failed_tick() -> str:
        ticks = stack.sensor("model_state_generator", "new_market_data")["ticks"]
        errors = [tick["error"] for tick in ticks if tick["status"] == "FAILURE"]
        return " ".join(e["message"] for error in errors for e in (error, *error["causes"]))

    said = stack.wait(failed_tick, SECONDS, "no tick has failed")
    assert "HAWK_MARKET_DATA" in said
    assert "no permission" in said
    assert added.runs == []
    stack.warehouse.faults.clear()
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert {run.status for run in runs} == {"SUCCESS"}


@long
def test_a_bucket_that_answers_503_for_a_while_is_waited_for(
    stack: Stack, listener: Listener
) -> None:
    added = NewSession(stack)
    for match in ("^POST /upload", "^GET /", "^POST /upload"):
        fault = stack.bucket.faults.add(503, times=6, match=match)
        stack.bucket.faults.tear(times=2, match=match)
        assert fault.hit.wait(SECONDS)
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert {run.status for run in runs} == {"SUCCESS"}
    assert_no_failure_alert(listener)


@long
def test_a_bucket_that_does_not_answer_at_all_is_waited_for(stack: Stack) -> None:
    held = stack.bucket.faults.stall(45, times=3, match="^(POST /upload|GET /)")
    added = NewSession(stack)
    assert held.hit.wait(SECONDS)
    runs = added.wait_for_book()
    assert_materialised_once(runs)
    assert {run.status for run in runs} == {"SUCCESS"}


@long
def test_postgres_restarted_in_the_middle_of_a_run_loses_nothing(stack: Stack) -> None:
    added, _ = hold(stack)
    stack.cluster.stop()
    stack.cluster.start()
    stack.bucket.faults.clear()
    assert_materialised_once(added.wait_for_book())


@long
def test_a_paused_service_holds_what_is_downstream_and_catches_up(stack: Stack) -> None:
    service, sensor = "trading_models", "trading_models_automation"
    stack.pause(service, sensor)
    first = NewSession(stack)

    def made() -> set[str]:
        return {t for run in first.runs if run.status == "SUCCESS" for t in run.tables}

    upstream = {t for t, owner in OWNERS.items() if owner == "model_state_generator"}
    stack.wait(lambda: made() >= upstream, SECONDS, "the service upstream waits as well")
    second = NewSession(stack)
    stack.wait(
        lambda: (
            stack.stored(f"model_states/{MODELS[0].name}", _month(second.session))["date"].max()
            == second.session
        ),
        SECONDS,
        "the service upstream waits as well",
    )
    stack.wait(lambda: not stack.unfinished(), SECONDS, "the runs do not end")
    assert made() == upstream
    stack.resume(service, sensor)
    runs = second.wait_for_book()
    held = {t: 1 for t in OWNERS if t not in upstream}
    count = Counter(t for r in runs if r.status == "SUCCESS" for t in r.tables)
    assert {t: n for t, n in count.items() if t not in upstream} == held


@long
def test_a_month_restated_three_months_back_is_recomputed_with_all_downstream(stack: Stack) -> None:
    known = {run.run_id for run in stack.runs()}
    first, last = _month(stack.market.restate(3)), _month(today())
    months = [key_of(month) for month in pd.date_range(first, last, freq="MS")]
    # The weights of a month read only the months before it.
    expected = {(table, month) for table in OWNERS for month in months}
    expected |= {("weights", month) for month in months[1:]}

    stack.wait(
        lambda: count_materialised(stack, known, months).keys() >= expected,
        SECONDS,
        "not everything is recomputed",
    )
    stack.wait(lambda: not stack.unfinished(), SECONDS, "the runs do not end")
    assert count_materialised(stack, known, months) == dict.fromkeys(expected, 1)
    for run in (run for run in stack.runs() if run.run_id not in known):
        account, figures = (
            {t.partition("/")[2] for t in run.tables if t.startswith(f"performance_{kind}/")}
            for kind in ("timeseries", "metrics")
        )
        assert account == figures, "one run makes the account and the figures of a model"


@long
def test_a_backfill_started_in_the_ui_makes_everything_once_each_service_its_own(
    stack: Stack,
) -> None:
    known = {run.run_id for run in stack.runs()}
    months = [key_of(shift(_month(today()), offset)) for offset in (-2, -1, 0)]
    tables = OWNERS | {"weights": "model_aggregator"}
    backfill = stack.backfill([*tables], months)
    stack.wait(
        lambda: stack.backfill_status(backfill) == "COMPLETED_SUCCESS",
        BACKFILL_SECONDS,
        "the backfill does not end",
    )
    stack.wait(lambda: not stack.unfinished(), SECONDS, "the runs do not end")
    for service in SERVICES:
        wait_for_tick(stack, service, f"{service}_automation")
    assert count_materialised(stack, known, months) == dict.fromkeys(find_downstream(months), 1)
    runs = [run for run in stack.runs() if run.run_id not in known]
    assert {(t, run.location) for run in runs for t in run.tables} == set(tables.items())


@long
def test_two_refreshes_of_one_month_at_once_leave_one_whole_month(stack: Stack) -> None:
    both = [stack.begin(quick_services.__name__, key_of(_month(today()))) for _ in range(2)]
    for one in both:
        output, _ = one.communicate()
        assert one.returncode == 0, output
    stack.wait(lambda: not stack.unfinished(), SECONDS, "the runs do not end")


def test_after_all_of_it_the_bucket_holds_what_a_fresh_history_holds(
    stack: Stack, tmp_path: Path
) -> None:
    for name, found in stack.bucket.objects(BUCKET).items():
        file = tmp_path / "bucket" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(found.content)
    fresh = {"HAWK_STORAGE": str(tmp_path / "fresh"), "DAGSTER_HOME": str(tmp_path / "dagster")}
    making = stack.begin(quick_services.__name__, **fresh)
    output, _ = making.communicate()
    assert making.returncode == 0, output
    assert_same(stored(tmp_path / "bucket" / "desk"), stored(tmp_path / "fresh"))


def _month(day: pd.Timestamp) -> pd.Timestamp:
    return day.to_period("M").to_timestamp()
