"""The ``hawk`` command on BigQuery: a mistake of the user's is said without a traceback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawk_assets_tests.doubles.bigquery import BigQueryDouble
from hawk_assets_tests.pipelines import ragged_prices
from hawk_assets_tests.test_cli import Hawk, hawk

__all__ = ["hawk"]  # the fixture

TABLE = "bigquery://hawk-desk/market/bars"


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryDouble]:
    double = BigQueryDouble()
    bars = ragged_prices().astype({"ticker": object}).query("date < '2015-04-01'")
    double.put("hawk-desk.market.bars", bars)
    double.put("hawk-desk.market.text", bars.assign(close="1.5"))
    double.put("hawk-desk.market.times", bars, date="TIMESTAMPTZ")
    double.put("hawk-desk.market.less", bars.drop(columns="low"))
    with double.running(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield double


def test_prices_are_fetched_from_a_table(hawk: Hawk, double: BigQueryDouble) -> None:
    done = hawk("backfill", "--select", "market_data", HAWK_MARKET_DATA=TABLE)
    assert done.code == 0, done
    assert hawk("status", HAWK_MARKET_DATA=TABLE).code == 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("bigquery:/hawk-desk/market/bars", "write bigquery://project/dataset/table"),
        ("bigquery://hawk-desk", "write bigquery://project/dataset/table"),
        ("bigquery://hawk-desk/market/ba`rs", "write bigquery://project/dataset/table"),
        ("bigquery://hawk-desk/market/none", "Table hawk-desk:market.none was not found"),
        ("bigquery://hawk-none/market/bars", "no permission"),
        ("bigquery://hawk-desk/market/text", "column close has type STRING, needs FLOAT64"),
        ("bigquery://hawk-desk/market/times", "column date has type TIMESTAMP, needs DATE"),
        ("bigquery://hawk-desk/market/less", "column low is missing"),
    ],
)
def test_a_table_that_is_no_use_is_refused_by_its_name(
    hawk: Hawk, double: BigQueryDouble, setting: str, says: str
) -> None:
    found = hawk("backfill", "--select", "market_data", HAWK_MARKET_DATA=setting).is_refused()
    assert setting in found
    assert says in found


def test_no_permission_is_said_to_who_asks_for_the_status(
    hawk: Hawk, double: BigQueryDouble
) -> None:
    double.faults.add(403, times=None, reason="accessDenied", match="/queries")
    found = hawk("status", HAWK_MARKET_DATA=TABLE).is_refused()
    for part in (f"HAWK_MARKET_DATA='{TABLE}'", "no permission", "bigquery.dataViewer"):
        assert part in found
