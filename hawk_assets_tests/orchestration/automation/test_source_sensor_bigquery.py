"""The sensor on BigQuery: Google's client, Dagster's daemon loop, an instance on disk."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from hawk_assets.commands.runs import run_stage
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.catalog import MARKET_DATA, RAW_DATA
from hawk_assets.orchestration.settings import load_settings
from hawk_assets_tests.doubles.bigquery import BigQueryDouble
from hawk_assets_tests.markets import weekly_reports
from hawk_assets_tests.orchestration.automation.test_source_sensor import (
    DAGSTER_YAML,
    FIRST,
    OPEN,
    SESSIONS,
    Daemon,
)

BARS, REPORTS = '"hawk-desk".market.bars', '"hawk-desk".market.reports'
BAR = {"open": 10.0, "high": 10.0, "low": 10.0, "close": 10.0, "volume": 1.0}


class Desk:
    """Raw data of 16 months, as last fetched from two tables, and the daemon that watches them."""

    def __init__(self, home: Path, double: BigQueryDouble) -> None:
        self.home, self.double = home, double
        self.pipeline = build_pipeline(settings=load_settings(), models={})
        self.open()

    def open(self) -> None:
        # Dagster keeps the definitions it has loaded, those of another service's address.
        ReconstructableJob.get_repository_definition.cache_clear()
        ReconstructableJob.get_definition.cache_clear()
        self.instance = dg.DagsterInstance.from_config(str(self.home))
        self.daemon = Daemon(self.instance, "model_state_generator")

    def close(self) -> None:
        self.daemon.workspace.__exit__(None, None, None)
        self.instance.dispose()

    def restart(self) -> None:
        self.close()
        now = self.daemon.now
        self.open()
        self.daemon.now = now

    def backfill(self) -> None:
        raw = [self.pipeline.catalog[key] for key in RAW_DATA]
        span = f"{FIRST:%Y-%m-%d}", f"{OPEN:%Y-%m-%d}"
        assert not run_stage(self.pipeline, self.instance, raw, *span).failed

    def turn(self) -> InstigatorTick:
        self.double.queries.clear()
        return self.daemon.turn()

    def asked(self) -> tuple[str, str]:
        """The one run of a turn: the first and last month it was for."""
        tick = self.turn()
        assert tick.status == TickStatus.SUCCESS, tick.error
        (run_id,) = tick.run_ids
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        self.succeeded = run.is_success
        tags = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
        return run.tags[tags[0]][:7], run.tags[tags[1]][:7]

    def is_quiet(self) -> None:
        """Nothing is asked for, and one query said so."""
        before = self.instance.get_runs_count()
        tick = self.turn()
        assert (tick.status, tick.run_ids) == (TickStatus.SKIPPED, [])
        assert len(self.double.queries) == 1
        assert self.instance.get_runs_count() == before

    def restated(self, month: str) -> dict[str, object]:
        event = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(MARKET_DATA), asset_partitions=[month]), limit=1
        ).records[0]
        assert event.asset_materialization
        metadata = event.asset_materialization.metadata
        return {n: m.value for n, m in metadata.items() if n in ("restated_rows", "source_changes")}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    double = BigQueryDouble()
    rows = [{"date": day, "ticker": ticker} for day in SESSIONS for ticker in ("ONE", "TWO")]
    double.put("hawk-desk.market.bars", pd.DataFrame(rows).assign(**BAR))
    reports = weekly_reports("ONE").query("release_date >= @FIRST and release_date < '2020-04-20'")
    double.put("hawk-desk.market.reports", reports)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    with double.running(tmp_path) as environment:
        for name, value in {
            **environment,
            "DAGSTER_HOME": str(tmp_path),
            "HAWK_MARKET_DATA": "bigquery://hawk-desk/market/bars",
            "HAWK_COMMITMENTS": "bigquery://hawk-desk/market/reports",
            "HAWK_STORAGE": str(tmp_path / "tables"),
            "HAWK_START": f"{FIRST:%Y-%m-%d}",
            "HAWK_END": f"{OPEN:%Y-%m-%d}",
        }.items():
            monkeypatch.setenv(name, value)
        desk = Desk(tmp_path, double)
        desk.backfill()
        yield desk
        desk.close()


def test_news_is_one_run_however_often_it_is_announced_and_through_a_restart(desk: Desk) -> None:
    desk.is_quiet()
    new = [{"date": "2020-04-17", "ticker": ticker, **BAR} for ticker in ("ONE", "TWO")]
    for _ in range(2):  # the loader did not hear the answer and sends its rows again
        client = connect()
        assert client.insert_rows_json("hawk-desk.market.bars", new, row_ids=["1", "2"]) == []
    assert desk.asked() == ("2020-04", "2020-04")
    assert desk.succeeded
    desk.is_quiet()

    # A month restated three months back, by two rows.
    desk.double.execute(
        f"UPDATE {BARS} SET close = 9.5, low = 9.5 WHERE ticker = 'TWO' AND "
        "date BETWEEN '2020-01-01' AND '2020-01-31'"
    )
    assert desk.asked() == ("2020-01", "2020-04")
    assert desk.restated("2020-01-01") == {"restated_rows": 2}
    assert desk.restated("2020-02-01") == {}
    assert desk.restated("2020-04-01") == {
        "source_changes": "restated: 2 rows of market_data from 2020-01-06 to 2020-01-16, the "
        "first TWO on 2020-01-06"
    }

    # Announced, and the daemon is gone before anybody looks.
    desk.double.execute(f"UPDATE {REPORTS} SET open_interest = 7 WHERE release_date = '2020-02-07'")
    desk.restart()
    assert desk.asked() == ("2020-02", "2020-04")
    desk.restart()
    desk.is_quiet()


def test_faults_pass_unseen_and_a_refusal_fails_the_tick_until_it_is_lifted(desk: Desk) -> None:
    desk.is_quiet()
    faults = desk.double.faults
    outage = faults.add(503, times=3, match="POST .*/queries")
    desk.is_quiet()
    assert outage.times == 0

    desk.double.execute(f"UPDATE {BARS} SET volume = 2 WHERE date >= '2020-04-01'")
    faults.add(403, times=None, reason="accessDenied", match="POST .*/queries")
    for _ in range(2):
        tick = desk.turn()
        assert tick.status == TickStatus.FAILURE
        assert tick.error is not None
        found = tick.error.to_string()
        for part in ("HAWK_MARKET_DATA='bigquery://hawk-desk/market/bars'", "dataViewer"):
            assert part in found
    faults.clear()
    assert desk.asked() == ("2020-04", "2020-04")
    desk.is_quiet()


def test_rows_that_are_refused_are_not_asked_for_again_until_corrected(desk: Desk) -> None:
    desk.double.execute(f"INSERT INTO {BARS} SELECT * FROM {BARS} WHERE date = '2020-03-06'")
    assert desk.asked() == ("2020-03", "2020-04")
    assert not desk.succeeded
    runs = desk.instance.get_runs_count()
    for _ in range(2):
        desk.turn()
    assert desk.instance.get_runs_count() == runs
    desk.double.execute(f"DELETE FROM {BARS} WHERE date = '2020-03-06' AND ticker = 'ONE'")
    desk.double.execute(f"DELETE FROM {BARS} WHERE date = '2020-03-06' AND ticker = 'TWO'")
    assert desk.asked() == ("2020-03", "2020-04")
    assert desk.succeeded


def test_reports_that_could_not_be_fetched_are_not_forgotten_beside_bars_that_were(
    desk: Desk,
) -> None:
    where = "WHERE report_date = '2020-03-03'"
    (interest,) = desk.double.execute(f"SELECT open_interest FROM {REPORTS} {where}")[0]
    desk.double.execute(f"UPDATE {REPORTS} SET open_interest = -1 {where}")
    assert desk.asked() == ("2020-03", "2020-04")
    assert not desk.succeeded
    runs = desk.instance.get_runs_count()
    for _ in range(2):  # it fails as it did: asked for no more
        desk.turn()
    assert desk.instance.get_runs_count() == runs
    desk.double.execute(f"UPDATE {REPORTS} SET open_interest = {interest + 1} {where}")
    assert desk.asked() == ("2020-03", "2020-04")
    assert desk.succeeded
    desk.is_quiet()


def test_a_change_between_the_version_and_the_rows_is_a_change_to_the_next_poll(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that are stored may be newer than the version beside them, and never older."""
    fetch = type(desk.pipeline.source).fetch_market_data
    closes = iter([12.0, None, None])

    def fetch_late(source: object, *span: pd.Timestamp) -> pd.DataFrame:
        if close := next(closes):
            desk.double.execute(f"UPDATE {BARS} SET high = {close} WHERE date = '2020-04-16'")
        return fetch(source, *span)  # type: ignore[arg-type]

    monkeypatch.setattr(type(desk.pipeline.source), "fetch_market_data", fetch_late)
    desk.double.execute(f"UPDATE {BARS} SET high = 11 WHERE date = '2020-04-16'")
    assert desk.asked() == ("2020-04", "2020-04")
    assert desk.asked() == ("2020-04", "2020-04")
    desk.is_quiet()
