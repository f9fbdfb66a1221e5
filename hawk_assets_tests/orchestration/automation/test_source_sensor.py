import logging
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from hawk_assets.commands.runs import run_stage
from hawk_assets.core.errors import DataError
from hawk_assets.orchestration.assets.market_data import ACCEPTS_SHORTER
from hawk_assets.orchestration.automation.source_sensor import (
    WATCHED_MONTHS,
    build_source_sensor,
    changed_months,
)
from hawk_assets.orchestration.build import Pipeline, build_pipeline
from hawk_assets.orchestration.catalog import MARKET_DATA, RAW_DATA
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.settings import Settings
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.sample import SampleMarket

FIRST, OPEN = pd.Timestamp("2019-01-01"), pd.Timestamp("2020-04-01")
SESSIONS = [
    m + pd.Timedelta(days=d) for m in pd.date_range(FIRST, OPEN, freq="MS") for d in (5, 15)
]


def changed_months_of(
    pipeline: Pipeline, instance: dg.DagsterInstance, source: MarketDataSource | None = None
) -> Mapping[pd.Timestamp, str]:
    """What has changed in the pipeline's source, or in another one."""
    months = months_of(pipeline.months)
    return changed_months((source or pipeline.source).versions(months), months, instance)


class Desk:
    """A price file, and market_data as last fetched from it.

    :param home: a folder to write to
    """

    def __init__(self, instance: dg.DagsterInstance, home: Path) -> None:
        self.instance, self.file = instance, home / "prices.csv"
        self.prices = pd.DataFrame(
            [{"date": day, "ticker": t} for day in SESSIONS for t in ("ONE", "TWO")]
        ).assign(open=10.0, high=10.0, low=10.0, close=10.0, volume=1.0)
        self.save()
        settings = Settings(
            market_data=str(self.file),
            storage=str(home / "tables"),
            start=FIRST,
            end=OPEN,
            dagster_home=home,
        )
        self.pipeline = build_pipeline(settings=settings, models={})

    def save(self) -> None:
        self.prices.to_csv(self.file, index=False)

    def set_close(self, month: str, close: float) -> None:
        """The last bar of a month is restated."""
        row = self.prices.index[self.prices["date"].dt.strftime("%Y-%m-01") == month][-1]
        self.prices.loc[row, "close"] = self.prices.loc[row, "high"] = close
        self.save()

    def fetch(self, first: str, last: str, **tags: str) -> None:
        raw = [self.pipeline.catalog[key] for key in RAW_DATA]
        run = run_stage(self.pipeline, self.instance, raw, first, last, further=tags)
        assert not run.failed

    def refused(self, first: str, last: str) -> dict[tuple[str, ...], str]:
        """Why a run over these months stores nothing."""
        market_data = [self.pipeline.catalog[MARKET_DATA]]
        return run_stage(self.pipeline, self.instance, market_data, first, last).failed

    def stored(self, month: str) -> pd.DataFrame:
        return self.pipeline.storage.read(MARKET_DATA, months_of([month]))

    def changed(self) -> list[str]:
        return [f"{month:%Y-%m-01}" for month in changed_months_of(self.pipeline, self.instance)]

    def poll(self) -> dg.RunRequest | dg.SkipReason:
        """The sensor's answer; a new sensor each time, which remembers nothing."""
        with dg.build_sensor_context(
            self.instance, resources={"source": self.pipeline.source}
        ) as context:
            return build_source_sensor(self.pipeline.partitions, 60)(context)

    def asked(self) -> tuple[str, str]:
        """The range that the sensor asks for."""
        request = self.poll()
        assert isinstance(request, dg.RunRequest)
        return (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )

    def run_key(self) -> str:
        request = self.poll()
        assert isinstance(request, dg.RunRequest)
        return str(request.run_key)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with dg.DagsterInstance.ephemeral() as instance:
        desk = Desk(instance, tmp_path)
        desk.fetch("2019-01-01", "2020-04-01")
        yield desk


def test_nothing_is_asked_for_while_the_source_has_not_changed(desk: Desk) -> None:
    assert desk.changed() == []
    assert desk.poll() == dg.SkipReason("nothing new since 2020-04-16")


def test_nothing_is_asked_for_before_the_first_backfill(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        desk = Desk(instance, tmp_path)
        assert desk.changed() == desk.pipeline.months
        assert desk.poll() == dg.SkipReason("there is no history yet; run: hawk backfill")


def test_a_new_session_changes_the_open_month_alone(desk: Desk) -> None:
    session = desk.prices.tail(2).assign(date=pd.Timestamp("2020-04-17"))
    desk.prices = pd.concat([desk.prices, session])
    desk.save()
    assert desk.changed() == ["2020-04-01"]
    assert desk.asked() == ("2020-04-01", "2020-04-01")


def test_a_restated_price_changes_its_month_and_is_fetched_with_all_later_months(
    desk: Desk,
) -> None:
    desk.set_close("2020-01-01", 11.0)
    assert desk.changed() == ["2020-01-01"]
    first, last = desk.asked()
    assert (first, last) == ("2020-01-01", "2020-04-01")
    desk.fetch(first, last)
    assert desk.changed() == []


def test_the_sensor_watches_the_latest_months_and_then_compares_all_of_them(desk: Desk) -> None:
    months = desk.pipeline.months
    desk.set_close(months[0], 11.0)
    assert desk.changed() == [months[0]]
    assert desk.poll() == dg.SkipReason("nothing new since 2020-04-16")
    desk.set_close(months[-WATCHED_MONTHS], 11.0)
    assert desk.changed() == [months[0], months[-WATCHED_MONTHS]]
    assert desk.asked() == (months[0], months[-1])
    desk.fetch(*desk.asked())
    assert desk.changed() == []


def test_the_sensor_does_not_fetch_what_nobody_has_asked_for(tmp_path: Path) -> None:
    """Older months that have never been materialised are left to ``hawk backfill``."""
    with dg.DagsterInstance.ephemeral() as instance:
        desk = Desk(instance, tmp_path)
        desk.fetch("2019-04-01", "2020-04-01")
        assert desk.poll() == dg.SkipReason("nothing new since 2020-04-16")
        desk.set_close("2020-02-01", 11.0)
        assert desk.changed()[:2] == ["2019-01-01", "2019-02-01"]
        assert desk.asked() == ("2020-02-01", "2020-04-01")


def test_a_month_that_the_source_has_lost_is_changed(desk: Desk) -> None:
    """A hole in the source: the stored rows follow it."""
    desk.prices = desk.prices[desk.prices["date"].dt.strftime("%Y-%m") != "2020-02"]
    desk.save()
    assert desk.changed() == ["2020-02-01"]
    desk.fetch("2020-02-01", "2020-02-01")
    assert desk.changed() == []
    assert desk.stored("2020-02-01").empty


def test_content_that_is_refused_is_asked_for_once(desk: Desk) -> None:
    """The file ends too early. The run key is that of the content: Dagster starts no second run."""
    whole = desk.prices
    desk.prices = whole[whole["date"] < "2020-03-10"]
    desk.save()
    assert desk.changed() == ["2020-03-01", "2020-04-01"]
    key = desk.run_key()
    (why,) = set(desk.refused(*desk.asked()).values())
    assert why == (
        "the source ends on 2020-03-06, market_data on 2020-04-16: is the source complete? To "
        "follow it and drop the rows: hawk backfill --from 2020-03-01"
    )
    assert desk.run_key() == key
    desk.prices = whole
    desk.save()
    assert desk.changed() == []


def test_a_month_that_was_fetched_empty_is_not_changed_until_it_has_a_session(desk: Desk) -> None:
    months = desk.prices["date"].dt.strftime("%Y-%m-01")
    april, desk.prices = desk.prices[months == "2020-04-01"], desk.prices[months < "2020-04-01"]
    desk.save()
    desk.fetch("2020-03-01", "2020-04-01", **{ACCEPTS_SHORTER: "true"})
    assert desk.changed() == []
    desk.prices = pd.concat([desk.prices, april])
    desk.save()
    assert desk.changed() == ["2020-04-01"]


def test_the_same_change_has_one_run_key_and_each_correction_its_own(desk: Desk) -> None:
    keys = []
    for close in (11.0, 12.0, 10.0, 11.0, 10.0):
        desk.set_close("2020-02-01", close)
        keys.append(desk.run_key())
        assert desk.run_key() == keys[-1]
        desk.fetch(*desk.asked())
    assert len(set(keys)) == 5


def test_a_second_change_before_the_first_is_fetched_is_another_change(desk: Desk) -> None:
    desk.set_close("2020-02-01", 11.0)
    before = desk.run_key()
    desk.set_close("2020-03-01", 11.0)
    assert desk.run_key() != before


def test_what_comes_in_while_raw_data_are_fetched_is_asked_for_afterwards_if_at_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices and reports arrive one after the other: that is not two refreshes by itself."""
    source, answers = desk.pipeline.source, []
    fetch = source.fetch_market_data

    def fetch_late(start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        found = fetch(start, end)
        desk.set_close("2020-03-01", 12.0)
        answers.append(desk.poll())
        return found

    desk.set_close("2020-02-01", 11.0)
    asked = desk.asked()
    with monkeypatch.context() as patch:
        patch.setattr(type(source), "fetch_market_data", lambda self, *span: fetch_late(*span))
        desk.fetch(*asked)
    assert {*answers} == {dg.SkipReason("a run is fetching raw data")}
    assert desk.asked() == ("2020-03-01", "2020-04-01")
    desk.fetch(*desk.asked())
    assert desk.changed() == []


def test_the_next_day_of_the_sample_market_changes_its_month(tmp_path: Path) -> None:
    end = pd.Timestamp("2020-04-16")
    settings = Settings(
        storage=str(tmp_path / "tables"),
        start=pd.Timestamp("2020-01-01"),
        end=OPEN,
        dagster_home=tmp_path,
    )
    yesterday = build_pipeline(
        settings=settings, models={}, resources={"source": SampleMarket(settings.start, end)}
    )
    today = SampleMarket(settings.start, end + pd.Timedelta(days=1))
    with dg.DagsterInstance.ephemeral() as instance:
        raw = [yesterday.catalog[key] for key in RAW_DATA]
        run_stage(yesterday, instance, raw, "2020-01-01", "2020-04-01")
        assert not changed_months_of(yesterday, instance)
        assert list(changed_months_of(yesterday, instance, today)) == [OPEN]


def test_a_source_that_cannot_be_read_is_an_error_that_names_the_remedy(desk: Desk) -> None:
    desk.file.unlink()
    with pytest.raises(DataError, match=r"HAWK_MARKET_DATA=.*prices.csv' matches no file"):
        desk.poll()


# With the daemon's own loop

DAGSTER_YAML = """
event_log_storage:
  module: hawk_assets.orchestration.instance.event_log
  class: BatchedSqliteEventLogStorage
  config: {}
run_launcher:
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
run_coordinator:
  module: dagster._core.run_coordinator.default_run_coordinator
  class: DefaultRunCoordinator
telemetry: {enabled: false}
"""


class Daemon:
    """Dagster's sensor daemon over one service, in this process; time passes with each turn."""

    def __init__(self, instance: dg.DagsterInstance, service: str) -> None:
        self.instance, self.now = instance, datetime.now(UTC)
        # Runs in this process would find the settings of the test before.
        ReconstructableJob.get_definition.cache_clear()
        ReconstructableJob.get_repository_definition.cache_clear()
        target = LoadableTargetOrigin(
            executable_path=sys.executable, module_name=f"hawk_assets.services.{service}"
        )
        self.workspace = WorkspaceProcessContext(
            instance, InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
        )

    def turn(self, of: str = "new_market_data", seconds: int = 61) -> InstigatorTick:
        """Let every sensor have its turn; what became of one, by default that of the source."""
        self.now += timedelta(seconds=seconds)
        with freeze_time(self.now):
            list(execute_sensor_iteration(self.workspace, logging.getLogger("quiet"), None, None))
        ticks = {
            state.instigator_name: self.instance.get_ticks(
                state.instigator_origin_id, state.selector_id, limit=1
            )[0]
            for state in self.instance.all_instigator_state()
        }
        assert ticks["model_state_generator_automation"].status != TickStatus.FAILURE
        return ticks[of]


def test_the_daemon_fetches_a_change_once_and_outlives_a_source_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    for name, value in {
        "DAGSTER_HOME": tmp_path,
        "HAWK_MARKET_DATA": tmp_path / "prices.csv",
        "HAWK_STORAGE": tmp_path / "tables",
        "HAWK_START": f"{FIRST:%Y-%m-%d}",
        "HAWK_END": f"{OPEN:%Y-%m-%d}",
    }.items():
        monkeypatch.setenv(name, str(value))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        desk = Desk(instance, tmp_path)
        desk.fetch("2019-01-01", "2020-04-01")
        daemon = Daemon(instance, "model_state_generator")
        with daemon.workspace:
            assert daemon.turn().status == TickStatus.SKIPPED
            desk.prices["volume"] = 2.0
            desk.save()
            tick = daemon.turn()
            assert tick.status == TickStatus.SUCCESS
            (run_id,) = tick.run_ids
            fetched = instance.get_records_for_run(
                run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
            ).records
            assert {(tuple(r.asset_key.path), r.partition_key) for r in fetched if r.asset_key} == {
                (key, month) for key in RAW_DATA for month in desk.pipeline.months
            }
            assert desk.changed() == []
            assert daemon.turn().status == TickStatus.SKIPPED
            desk.file.rename(tmp_path / "away")
            tick = daemon.turn()
            assert tick.status == TickStatus.FAILURE
            assert tick.error is not None
            assert "prices.csv' matches no file" in tick.error.to_string()
            (tmp_path / "away").rename(desk.file)
            assert daemon.turn().status == TickStatus.SKIPPED
