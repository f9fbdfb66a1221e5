"""Assets as files: real Dagster runs into a folder."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError, StorageError
from hawk_assets.insights.sizing import DEFAULT_SIZING
from hawk_assets.orchestration.assets.io_manager import ParquetIOManager
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS, build_catalog
from hawk_assets.orchestration.partitions import month_window, monthly, months_of
from hawk_assets.simulation.settings import SimulationSettings
from hawk_assets.storage.tables import Tables

PARTITIONS = monthly(pd.Timestamp("2020-01-01"), pd.Timestamp("2020-05-01"))
SINGLE_RUN = dg.BackfillPolicy.single_run()
CATALOG = build_catalog({}, SimulationSettings(), AggregationParameters(), DEFAULT_SIZING)


def book(months: pd.DatetimeIndex) -> pd.DataFrame:
    """Combined insights of three sessions a month; none in March."""
    dates = pd.DatetimeIndex([m + pd.Timedelta(days=d) for m in months for d in (1, 4, 9)])
    dates = dates[dates.month != 3]
    return pd.DataFrame({"date": dates, "ticker": "AAA", "weight": dates.day / 7 - dates.month})


@dg.asset(partitions_def=PARTITIONS, backfill_policy=SINGLE_RUN)
def combined_insights(context: dg.AssetExecutionContext) -> pd.DataFrame:
    return book(months_of(list(context.partition_keys)))


class Runs:
    """Materialise assets on a folder; what they were given is in ``seen``."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.tables = Tables(str(folder))
        self.instance = instance
        self.seen: list[pd.DataFrame] = []

    def run(self, assets: list[dg.AssetsDefinition], first: str, last: str, selected: str) -> None:
        dg.materialize(
            assets,
            selection=selected,
            resources={"io_manager": ParquetIOManager(self.tables, CATALOG)},
            tags={
                "dagster/asset_partition_range_start": f"{first}-01",
                "dagster/asset_partition_range_end": f"{last}-01",
            },
            instance=self.instance,
        )

    def materialise(self, first: str, last: str) -> None:
        self.run([combined_insights], first, last, "combined_insights")

    def load(self, first: str, last: str, window: tuple[int, int] | None = None) -> pd.DataFrame:
        """What an asset of somebody else gets as its argument."""
        mapping = window and month_window(*window)

        @dg.asset(
            partitions_def=PARTITIONS,
            backfill_policy=SINGLE_RUN,
            ins={"combined_insights": dg.AssetIn(partition_mapping=mapping)},
        )
        def report(combined_insights: pd.DataFrame) -> None:
            self.seen.append(combined_insights)

        self.run([combined_insights, report], first, last, "report")
        return self.seen[-1]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Runs(tmp_path, instance)


def months(first: str, last: str) -> pd.DatetimeIndex:
    return pd.date_range(first, last, freq="MS")


def test_a_range_run_writes_a_file_per_month_also_for_a_month_without_rows(runs: Runs) -> None:
    runs.materialise("2020-02", "2020-04")
    key = COMBINED_INSIGHTS
    assert list(runs.tables.months(key)) == list(months("2020-02", "2020-04"))
    assert [runs.tables.rows(key, m) for m in months("2020-02", "2020-04")] == [3, 0, 3]
    stored = runs.tables.read(key, months("2020-02", "2020-04"))
    pd.testing.assert_frame_equal(stored, book(months("2020-02", "2020-04")))


def test_a_run_of_one_month_rewrites_that_month_only(runs: Runs) -> None:
    runs.materialise("2020-01", "2020-03")
    folder = Path(runs.tables.root, "combined_insights")
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    runs.materialise("2020-02", "2020-02")
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"2020-02-01.parquet"}


def test_an_asset_downstream_gets_its_months_as_one_frame(runs: Runs) -> None:
    runs.materialise("2020-01", "2020-05")
    pd.testing.assert_frame_equal(
        runs.load("2020-02", "2020-05"), book(months("2020-02", "2020-05"))
    )
    pd.testing.assert_frame_equal(
        runs.load("2020-04", "2020-04"), book(months("2020-04", "2020-04"))
    )
    assert runs.load("2020-03", "2020-03").dtypes.equals(book(months("2020-01", "2020-01")).dtypes)


def test_a_window_that_reaches_back_beyond_the_history_reads_what_there_is(runs: Runs) -> None:
    runs.materialise("2020-01", "2020-05")
    pd.testing.assert_frame_equal(
        runs.load("2020-02", "2020-02", (-3, 0)), book(months("2020-01", "2020-02"))
    )
    assert runs.load("2020-01", "2020-01", (-2, -1)).empty


def test_a_month_that_is_missing_upstream_stops_the_asset(runs: Runs) -> None:
    runs.materialise("2020-01", "2020-02")
    with pytest.raises(MissingMonthError, match=r"combined_insights has no 2020-03-01 and 1 more"):
        runs.load("2020-01", "2020-04")


def test_a_table_of_somebody_else_is_refused_by_name(runs: Runs) -> None:
    @dg.asset(key=["reports", "daily"], partitions_def=PARTITIONS, backfill_policy=SINGLE_RUN)
    def daily() -> pd.DataFrame:
        return book(months("2020-01", "2020-01"))

    with pytest.raises(StorageError, match=r"reports/daily is not a table of this pipeline"):
        runs.run([daily], "2020-01", "2020-01", "*")
    assert not list(Path(runs.tables.root).iterdir())
