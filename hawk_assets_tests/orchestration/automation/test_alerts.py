"""What is reported and how often: a real listener, real runs, Dagster's own sensor loop."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.utils import make_new_run_id
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from hawk_assets.core.errors import AlertError, DataError
from hawk_assets.orchestration.automation.lateness_alerts import (
    GRACE,
    QUIET_WEEKDAYS,
    Watch,
    find_lateness,
    is_resolved,
    observe,
)
from hawk_assets.orchestration.automation.webhook import Alert, Webhook
from hawk_assets_tests.doubles.webhook import Listener, listening
from hawk_assets_tests.orchestration.automation.test_source_sensor import (
    DAGSTER_YAML,
    FIRST,
    Daemon,
    Desk,
)

DUE = time(6, 0)
FRIDAY, MONDAY, TUESDAY = date(2026, 11, 20), date(2026, 11, 23), date(2026, 11, 24)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as it:
        yield it


# The webhook


def test_an_alert_is_posted_as_text_and_facts(listener: Listener) -> None:
    Webhook(listener.url).post(Alert("the book is late", {"kind": "book_late", "of": "2026-11-20"}))
    assert listener.alerts == [
        {"text": "the book is late", "kind": "book_late", "of": "2026-11-20"}
    ]


@pytest.mark.parametrize("status", [301, 403, 404, 429, 500])
def test_an_alert_that_is_not_taken_is_an_error_without_the_secret_address(
    listener: Listener, status: int
) -> None:
    listener.faults.add(status)
    with pytest.raises(AlertError, match=f"HAWK_WEBHOOK answered {status}") as raised:
        Webhook(listener.url).post(Alert("x", {}))
    assert "secret" not in str(raised.value)


def test_nobody_behind_the_address_is_an_error_without_the_secret_address() -> None:
    with listening() as gone:
        pass
    with pytest.raises(AlertError, match="HAWK_WEBHOOK cannot be reached") as raised:
        Webhook(gone.url).post(Alert("x", {}))
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_what_follows_an_alert_that_is_not_taken_is_left_for_the_next_time(
    listener: Listener,
) -> None:
    alerts = {n: Alert(f"number {n}", {}) for n in range(3)}
    listener.faults.add(200, times=1)
    listener.faults.add(503, times=1)
    delivered, summary = Webhook(listener.url).post_all(alerts)
    assert delivered == [0]
    assert summary == "1 of 3 alerts sent: HAWK_WEBHOOK answered 503 Service Unavailable"
    listener.faults.add(503, times=1)
    with pytest.raises(AlertError):
        Webhook(listener.url).post_all(alerts)


# What is late


def kinds(watch: Watch, now: datetime, book: date | None) -> set[str]:
    return set(find_lateness(watch, now, None, book, DUE))


def test_the_book_of_a_session_is_late_from_the_time_it_is_due_on_the_day_after() -> None:
    watch = observe(Watch(), at(FRIDAY, 22), FRIDAY)
    saturday = FRIDAY + timedelta(days=1)
    assert kinds(watch, at(saturday, 5, 59), book=date(2026, 11, 19)) == set()
    assert kinds(watch, at(saturday, 6, 0), book=date(2026, 11, 19)) == {"book_late"}
    assert kinds(watch, at(saturday, 6, 0), book=None) == {"book_late"}
    assert kinds(watch, at(saturday, 6, 0), book=FRIDAY) == set()


def test_a_day_without_a_session_raises_no_alert() -> None:
    """Friday's book is there; the source has nothing for Monday, a holiday."""
    watch = observe(Watch(), at(FRIDAY, 22), FRIDAY)
    for hours in range(0, 24 * 4, 6):
        assert kinds(watch, at(FRIDAY, 22) + timedelta(hours=hours), book=FRIDAY) == set()


def test_a_session_that_comes_late_leaves_the_pipeline_an_hour() -> None:
    seen = at(TUESDAY, 15)
    watch = observe(observe(Watch(), at(FRIDAY, 22), FRIDAY), seen, MONDAY)
    assert kinds(watch, seen + GRACE - timedelta(minutes=1), book=FRIDAY) == set()
    assert kinds(watch, seen + GRACE, book=FRIDAY) == {"book_late"}


def test_a_source_is_quiet_after_three_whole_weekdays_without_a_session() -> None:
    watch = observe(Watch(), at(FRIDAY, 22), FRIDAY)
    assert QUIET_WEEKDAYS == 3
    wednesday, thursday = date(2026, 11, 25), date(2026, 11, 26)
    assert kinds(watch, at(wednesday, 23, 59), book=FRIDAY) == set()
    assert kinds(watch, at(thursday, 0), book=FRIDAY) == {"source_quiet"}


def test_a_source_that_cannot_be_read_for_a_moment_is_not_reported() -> None:
    error = DataError("BigQuery: no permission")
    watch = observe(observe(Watch(), at(FRIDAY, 22), FRIDAY), at(MONDAY, 7), error)
    assert watch.session == FRIDAY
    assert not find_lateness(watch, at(MONDAY, 7, 59), error, FRIDAY, DUE)
    late = find_lateness(observe(watch, at(MONDAY, 8), error), at(MONDAY, 8), error, FRIDAY, DUE)
    assert late["source_unreadable"][0] == "2026-11-23 07:00"
    assert "no permission" in late["source_unreadable"][1]
    well = observe(watch, at(MONDAY, 9), FRIDAY)
    assert well.unreadable is None
    assert well.seen == at(FRIDAY, 22)


def test_an_alert_is_resolved_when_its_cause_is_gone_and_not_before() -> None:
    of, watch = FRIDAY.isoformat(), observe(Watch(), at(FRIDAY, 22), FRIDAY)
    assert not is_resolved("book_late", of, watch, None, None)
    assert not is_resolved("book_late", of, watch, None, date(2026, 11, 19))
    assert is_resolved("book_late", of, watch, None, FRIDAY)
    assert not is_resolved("source_quiet", of, watch, None, FRIDAY)
    assert is_resolved("source_quiet", of, observe(watch, at(MONDAY, 22), MONDAY), None, FRIDAY)
    assert not is_resolved("source_unreadable", "", watch, DataError("x"), FRIDAY)
    assert is_resolved("source_unreadable", "", watch, None, FRIDAY)


def test_what_is_remembered_survives_the_cursor() -> None:
    watch = Watch(FRIDAY, at(FRIDAY, 22), at(MONDAY, 7), {"book_late": "2026-11-20"})
    assert Watch.load(watch.dump()) == watch
    assert Watch.load(None) == Watch()


# With the daemon's own loop

FAILURES = "model_state_generator_failures"
TWENTY_MINUTES = 1201
FAILED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])


class Watched:
    """A desk on files, its daemon, and who is alerted. It is Friday, 2020-04-17, 07:00 UTC."""

    def __init__(self, desk: Desk, daemon: Daemon, tables: Path) -> None:
        self.desk, self.daemon, self.tables = desk, daemon, tables

    def break_storage(self) -> None:
        """What has been stored stays; nothing more can be."""
        self.tables.rename(self.tables.with_name("away"))
        self.tables.write_text("not a folder")

    def mend_storage(self) -> None:
        self.tables.unlink()
        self.tables.with_name("away").rename(self.tables)

    def book(self, session: str) -> None:
        self.desk.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                "combined_insights",
                partition=f"{session[:7]}-01",
                metadata={"last_session": session},
            )
        )


@pytest.fixture
def hourly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensors that are not looked at have their turn once an hour."""
    monkeypatch.setenv("HAWK_TICK_SECONDS", "3600")


@pytest.fixture
def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> Iterator[Watched]:
    home = tmp_path
    retries = "run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}"
    (home / "dagster.yaml").write_text(f"{DAGSTER_YAML}{retries}\n")
    for name, value in {
        "DAGSTER_HOME": home,
        "HAWK_MARKET_DATA": home / "prices.csv",
        "HAWK_STORAGE": home / "tables",
        "HAWK_START": f"{FIRST:%Y-%m-%d}",
        "HAWK_WEBHOOK": listener.url,
        "HAWK_UI_URL": "http://hawk.example/",
    }.items():
        monkeypatch.setenv(name, str(value))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        desk = Desk(instance, home)
        desk.fetch("2019-01-01", "2020-04-01")
        daemon = Daemon(instance, "model_state_generator")
        daemon.now = at(date(2020, 4, 17), 7)
        with daemon.workspace:
            yield Watched(desk, daemon, home / "tables")


def test_a_failed_run_is_reported_once_even_if_nobody_listens_at_first(
    watched: Watched, listener: Listener
) -> None:
    daemon = watched.daemon
    assert (
        daemon.turn(FAILURES).skip_reason == "first tick: runs that fail from now on are reported"
    )
    watched.desk.set_close("2020-03-01", 11.0)
    watched.break_storage()
    listener.faults.add(503)
    ticks = [daemon.turn(FAILURES) for _ in range(4)]
    (failed,) = [tick for tick in ticks if tick.status == TickStatus.FAILURE]
    assert failed.error is not None
    assert "HAWK_WEBHOOK answered 503" in failed.error.to_string()
    (run_id,) = {run.run_id for run in watched.desk.instance.get_runs(FAILED)}
    (alert,) = listener.alerts
    assert alert["kind"] == "run_failed"
    assert alert["run_id"] == run_id
    assert alert["tables"] == ["commitments_of_traders", "market_data"]
    assert (alert["first_month"], alert["last_month"]) == ("2020-03-01", "2020-04-01")
    assert alert["url"] == f"http://hawk.example/runs/{run_id}"
    assert str(watched.tables) in alert["reason"]
    assert alert["text"].startswith(
        "FAILED: commitments_of_traders, market_data, 2020-03 to 2020-04"
    )
    assert alert["text"].endswith(f"{alert['reason']} http://hawk.example/runs/{run_id}")


def test_each_service_reports_its_own_failures_only(watched: Watched, listener: Listener) -> None:
    watched.daemon.turn()
    watched.desk.set_close("2020-03-01", 11.0)
    watched.break_storage()
    assert watched.daemon.turn().run_ids
    before = list(listener.alerts)  # by its own service, if that had its turn after the run
    other = Daemon(watched.desk.instance, "trading_models")
    other.now = watched.daemon.now
    with other.workspace:
        assert other.turn("trading_models_failures").status == TickStatus.SKIPPED
        for _ in range(2):
            other.turn("trading_models_failures")
    assert listener.alerts == before


def test_a_crash_is_reported_when_its_retries_are_used_up(
    watched: Watched, listener: Listener
) -> None:
    instance, daemon, retries = watched.desk.instance, watched.daemon, EventLogConsumerDaemon()
    list(retries.run_iteration(daemon.workspace))
    daemon.turn()
    watched.desk.set_close("2020-03-01", 11.0)
    (run_id,) = daemon.turn().run_ids
    crashed = crash_like(instance, run_id)
    for _ in range(2):
        daemon.turn()
        assert listener.alerts == []
    watched.break_storage()
    list(retries.run_iteration(daemon.workspace))
    for _ in range(2):
        daemon.turn()
    (alert,) = listener.alerts
    assert alert["attempts"] == 2
    assert alert["run_id"] not in (run_id, crashed.run_id)
    assert ", attempt 2: " in alert["text"]


def test_a_crash_whose_retry_never_starts_is_reported(watched: Watched, listener: Listener) -> None:
    instance, daemon = watched.desk.instance, watched.daemon
    daemon.turn()
    watched.desk.set_close("2020-03-01", 11.0)
    (run_id,) = daemon.turn().run_ids
    crashed = crash_like(instance, run_id)
    daemon.now = datetime.now(UTC)
    daemon.turn()
    assert listener.alerts == []
    daemon.now += timedelta(minutes=10)
    daemon.turn()
    (alert,) = listener.alerts
    assert (alert["run_id"], alert["reason"]) == (crashed.run_id, "its process is gone")


def crash_like(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    """The same run under a number of its own, begun, and its process gone."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    crashed = run._replace(
        run_id=make_new_run_id(),
        status=dg.DagsterRunStatus.STARTED,
        tags={k: v for k, v in run.tags.items() if "run_key" not in k},
    )
    instance.add_run(crashed)
    instance.report_run_failed(crashed, "its process is gone")
    return crashed


def test_a_late_book_is_reported_once_and_resolved_when_it_is_there(
    hourly: None, watched: Watched, listener: Listener
) -> None:
    daemon = watched.daemon
    assert daemon.turn("lateness").skip_reason == "there is no book yet"
    watched.book("2020-04-06")
    for _ in range(3):  # the grace of an hour begins with the first
        daemon.turn("lateness", TWENTY_MINUTES)
        assert listener.alerts == []
    for _ in range(2):
        daemon.turn("lateness", TWENTY_MINUTES)
    assert [alert["text"] for alert in listener.alerts] == [
        "LATE: the book of 2020-04-16 was due by 2020-04-17 06:00 UTC; "
        "the latest book is of 2020-04-06"
    ]
    watched.book("2020-04-16")
    for _ in range(2):
        daemon.turn("lateness", TWENTY_MINUTES)
    assert [alert["text"] for alert in listener.alerts[1:]] == [
        "RESOLVED: the book of 2020-04-16 is there"
    ]


def test_a_source_that_stays_unreadable_is_reported_and_the_sensor_goes_on(
    hourly: None, watched: Watched, listener: Listener
) -> None:
    watched.book("2020-04-16")
    file = watched.desk.file
    watched.daemon.turn("lateness")
    file.rename(file.with_name("away"))
    for alerts in (0, 0, 0, 1, 1):
        assert watched.daemon.turn("lateness", TWENTY_MINUTES).status == TickStatus.SKIPPED
        assert len(listener.alerts) == alerts
    assert [alert["kind"] for alert in listener.alerts] == ["source_unreadable"]
    assert "matches no file" in listener.alerts[0]["text"]
    file.with_name("away").rename(file)
    watched.daemon.turn("lateness", TWENTY_MINUTES)
    assert [alert["over"] for alert in listener.alerts] == [False, True]
