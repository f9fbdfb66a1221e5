"""Months as partitions, seen at a fixed moment."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pandas as pd
import pytest
from dagster._core.test_utils import freeze_time

from hawk_assets.orchestration.partitions import month_window, monthly, months_of

NOON = datetime(2020, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def in_june() -> Iterator[None]:
    with freeze_time(NOON):
        yield


def keys(first: str, last: str) -> list[str]:
    return [f"{m:%Y-%m-%d}" for m in pd.date_range(first, last, freq="MS")]


def test_the_current_month_is_a_partition_from_its_first_moment() -> None:
    partitions = monthly(pd.Timestamp("2019-11-01"), None)
    assert partitions.get_partition_keys() == keys("2019-11", "2020-06")
    with freeze_time(datetime(2020, 5, 31, 23, 59, 59, tzinfo=UTC)):
        assert partitions.get_partition_keys() == keys("2019-11", "2020-05")


def test_a_history_that_has_ended_has_its_last_month_and_none_after() -> None:
    partitions = monthly(pd.Timestamp("2019-11-01"), pd.Timestamp("2020-02-01"))
    assert partitions.get_partition_keys() == keys("2019-11", "2020-02")
    assert monthly(pd.Timestamp("2019-11-01"), pd.Timestamp("2019-11-01")).get_partition_keys() == [
        "2019-11-01"
    ]


@pytest.mark.parametrize(("first", "last"), [(0, 0), (-1, 0), (-3, -1), (-1, -1), (-36, 0)])
def test_a_window_reads_the_months_it_says_and_none_before_the_history(
    first: int, last: int
) -> None:
    partitions = monthly(pd.Timestamp("2019-11-01"), None)
    history = partitions.get_partition_keys()
    for start, stop in ((0, 1), (1, 2), (2, 6), (0, len(history))):
        chosen = history[start:stop]
        result = month_window(first, last).get_upstream_mapped_partitions_result_for_partitions(
            partitions.subset_with_partition_keys(chosen), partitions, partitions, NOON
        )
        wanted = {
            i + offset for i in range(start, stop) for offset in range(first, last + 1)
        } & set(range(len(history)))
        assert list(result.partitions_subset.get_partition_keys()) == [
            history[i] for i in sorted(wanted)
        ]
        assert result.required_but_nonexistent_subset.is_empty


def test_keys_become_ascending_months() -> None:
    months = months_of(["2020-03-01", "2019-12-01", "2020-01-01"])
    assert list(months) == [pd.Timestamp(d) for d in ("2019-12-01", "2020-01-01", "2020-03-01")]
    assert months_of([]).dtype == months.dtype == "datetime64[ns]"


def test_a_dagster_run_of_a_range_sees_its_months() -> None:
    seen: list[pd.DatetimeIndex] = []

    @dg.asset(
        partitions_def=monthly(pd.Timestamp("2019-11-01"), None),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def prices(context: dg.AssetExecutionContext) -> None:
        seen.append(months_of(list(context.partition_keys)))

    dg.materialize(
        [prices],
        tags={
            "dagster/asset_partition_range_start": "2020-04-01",
            "dagster/asset_partition_range_end": "2020-06-01",
        },
    )
    assert list(seen[0]) == list(pd.date_range("2020-04-01", "2020-06-01", freq="MS"))
