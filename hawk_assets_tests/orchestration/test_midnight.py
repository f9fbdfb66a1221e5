"""The last session of a month is fetched while the clock passes into the next one."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
from dagster._core.test_utils import freeze_time

from hawk_assets.commands.backfill import backfill
from hawk_assets.commands.refresh import refresh
from hawk_assets.commands.runs import run_stage
from hawk_assets.orchestration.automation.source_sensor import changed_months
from hawk_assets.orchestration.build import Pipeline, build_pipeline
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS, RAW_DATA
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.settings import Settings
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.local import MarketDataFiles
from hawk_assets_tests.pipelines import AGGREGATION, MODELS, assert_same, ragged_prices, stored

BEFORE, AFTER = (
    datetime(2015, 8, 31, 23, 59, 50, tzinfo=UTC),
    datetime(2015, 9, 1, 0, 5, tzinfo=UTC),
)
AUGUST, SEPTEMBER = "2015-08-01", "2015-09-01"


@dataclass(frozen=True)
class Overnight(MarketDataSource):
    """Files whose reading takes as long as ``passes`` says."""

    files: MarketDataFiles
    passes: Callable[[], None]

    @property
    def description(self) -> str:
        return self.files.description

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        self.passes()
        return self.files.fetch_market_data(start, end)

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        return self.files.fetch_commitments_of_traders(start, end)


def pipeline(home: Path, storage: str, passes: Callable[[], None] = lambda: None) -> Pipeline:
    """What a process that starts now sees: a history that goes on."""
    prices = str(home / "prices.parquet")
    settings = Settings(
        market_data=prices,
        storage=str(home / storage),
        start=pd.Timestamp("2015-03-01"),
        end=None,
        dagster_home=home,
        aggregation=AGGREGATION,
    )
    models = {model.name: model for model in MODELS}
    source = Overnight(MarketDataFiles(prices, None), passes)
    return build_pipeline(settings=settings, models=models, resources={"source": source})


def changed_months_of(of: Pipeline, instance: dg.DagsterInstance) -> list[str]:
    months = months_of(list(of.partitions.get_partition_keys()))
    changed = changed_months(of.source.versions(months), months, instance)
    return [f"{month:%Y-%m-%d}" for month in changed]


def test_a_run_of_august_that_ends_in_september_stores_august_and_september_follows(
    tmp_path: Path,
) -> None:
    prices = ragged_prices()
    prices = prices[prices["date"] >= "2015-03-01"]

    def feed(until: str) -> None:
        prices[prices["date"] < until].to_parquet(tmp_path / "prices.parquet")

    with ExitStack() as clock, dg.DagsterInstance.ephemeral() as instance:
        clock.enter_context(freeze_time(BEFORE))
        feed("2015-08-31")
        evening = pipeline(tmp_path, "kept", lambda: clock.enter_context(freeze_time(AFTER)))
        months = evening.months
        assert months[-1] == AUGUST
        before = pipeline(tmp_path, "kept")
        tables = list(before.catalog.values())
        assert not backfill(before, instance, tables, months[0], AUGUST, lambda event: None)
        feed("2015-09-01")
        assert changed_months_of(before, instance) == [AUGUST]
        raw = [evening.catalog[key] for key in RAW_DATA]
        done = run_stage(evening, instance, raw, AUGUST, AUGUST)
        assert (done.failed, done.materialised) == ({}, len(RAW_DATA))
        after = pipeline(tmp_path, "kept")
        assert after.months == [*months, SEPTEMBER]
        assert changed_months_of(after, instance) == []
        feed("2015-09-02")
        assert changed_months_of(after, instance) == [SEPTEMBER]
        assert not refresh(after, instance, lambda event: None)
        assert not refresh(after, instance, lambda event: None)

    with freeze_time(AFTER), dg.DagsterInstance.ephemeral() as instance:
        fresh = pipeline(tmp_path, "fresh")
        months = fresh.months
        assert not backfill(
            fresh, instance, list(fresh.catalog.values()), months[0], months[-1], lambda event: None
        )
    assert_same(stored(tmp_path / "kept"), stored(tmp_path / "fresh"))
    book = stored(tmp_path / "kept")[COMBINED_INSIGHTS]
    assert {"2015-08-31", "2015-09-01"} <= set(book["date"].dt.strftime("%Y-%m-%d"))
