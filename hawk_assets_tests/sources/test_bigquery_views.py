"""The views of deployments/bigquery over small long tables, created and read by Google's client."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import sqlglot
from sqlglot import exp

from hawk_assets.core.errors import DataError
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.sources import open_source
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.release import release_dates
from hawk_assets_tests.doubles.bigquery import BigQueryDouble
from hawk_assets_tests.pipelines import REPOSITORY

FOLDER = REPOSITORY / "deployments" / "bigquery"
VIEWS = ("market_data", "commitments_of_traders")
FIELDS = [
    *("open_1d", "high_1d", "low_1d", "close_1d", "volume_1d", "close_1h"),
    *("commercial_long_1w", "commercial_short_1w"),
    *("noncommercial_long_1w", "noncommercial_short_1w", "open_interest_1w"),
]
JAN, FEB = pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01")


def records(rows: list[tuple[int, str, str, float | None]]) -> pd.DataFrame:
    """:param rows: instrument, field, time and value"""
    frame = pd.DataFrame(rows, columns=["hawk_id", "name", "record_timestamp", "double_value"])
    frame["field_id"] = frame.pop("name").map(FIELDS.index)
    return frame.astype({"double_value": float})


@pytest.fixture
def double(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BigQueryDouble]:
    double = BigQueryDouble()
    fields = pd.DataFrame({"field_id": range(len(FIELDS)), "field_name": FIELDS})
    names = pd.DataFrame({"hawk_id": [1, 2], "value": ["ONE", "TWO"]})
    with double.running(tmp_path_factory.mktemp("account")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        double.put("hawk-desk.desk.fields", fields)
        double.put("hawk-desk.desk.hawk_identifiers", names)
        put(double, [])
        for view in VIEWS:
            connect().query_and_wait((FOLDER / f"{view}.sql").read_text())
        yield double


def put(double: BigQueryDouble, rows: list[tuple[int, str, str, float | None]]) -> None:
    kinds = {"record_timestamp": "TIMESTAMPTZ", "hawk_id": "BIGINT", "field_id": "BIGINT"}
    double.put("hawk-desk.desk.records", records(rows), **kinds)


def views() -> MarketDataSource:
    bars, reports = (f"bigquery://hawk-desk/desk/{view}" for view in VIEWS)
    return open_source(bars, JAN, None, reports, connect=connect)


def bar(hawk_id: int, at: str, close: float) -> list[tuple[int, str, str, float | None]]:
    values = (close - 1, close + 2, close - 2, close, 100.0)
    return [(hawk_id, name, at, value) for name, value in zip(FIELDS, values, strict=False)]


def test_records_become_bars(double: BigQueryDouble) -> None:
    rows = [
        *bar(1, "2020-01-02 21:00:00+00", 10.0),
        *bar(2, "2020-01-02 21:00:00+00", 20.0),
        *bar(1, "2020-01-03 21:00:00+00", 11.0)[:-1],  # no volume yet
        (1, "close_1h", "2020-01-06 10:00:00+00", 99.0),  # another field: no bar of that day
        (3, "close_1d", "2020-01-02 21:00:00+00", 30.0),  # an instrument without a name
        (1, "commercial_long_1w", "2020-01-07 00:00:00+00", 5.0),
    ]
    put(double, rows)
    bars = views().fetch_market_data(JAN, FEB)
    assert bars[["date", "ticker", "close"]].to_numpy().tolist() == [
        [pd.Timestamp("2020-01-02"), "ONE", 10.0],
        [pd.Timestamp("2020-01-02"), "TWO", 20.0],
        [pd.Timestamp("2020-01-03"), "ONE", 11.0],
    ]
    assert bars.iloc[0, 2:].tolist() == [9.0, 12.0, 8.0, 10.0, 100.0]
    assert np.isnan(bars["volume"].iloc[2])
    assert views().poll(pd.DatetimeIndex([JAN])).latest_session == pd.Timestamp("2020-01-03")


@pytest.mark.parametrize("reverse", [False, True])
def test_the_latest_record_of_a_day_counts_and_among_equally_late_ones_the_greatest(
    double: BigQueryDouble, reverse: bool
) -> None:
    day = "2020-01-02"
    rows = [
        *bar(1, f"{day} 20:00:00+00", 10.0),
        (1, "close_1d", f"{day} 22:00:00+00", 10.5),  # corrected
        (1, "close_1d", f"{day} 21:00:00+00", 9.5),
        (1, "high_1d", f"{day} 20:00:00+00", 13.0),  # given twice, in two ways
        (1, "volume_1d", f"{day} 23:59:59+00", None),  # withdrawn
    ]
    put(double, rows[::-1] if reverse else rows)
    (found,) = views().fetch_market_data(JAN, FEB).drop(columns=["date", "ticker"]).to_numpy()
    assert found[:-1].tolist() == [9.0, 13.0, 8.0, 10.5]
    assert np.isnan(found[-1])


def test_two_instruments_with_one_ticker_are_refused_with_its_name(double: BigQueryDouble) -> None:
    double.execute("""UPDATE "hawk-desk".desk.hawk_identifiers SET value = 'ONE'""")
    put(double, [*bar(1, "2020-01-02 21:00:00+00", 10.0), *bar(2, "2020-01-02 21:00:00+00", 20.0)])
    with pytest.raises(DataError, match="ONE on 2020-01-02: the row appears more than once"):
        views().fetch_market_data(JAN, FEB)


def test_supplemental_series_become_reports_in_the_month_of_their_release(
    double: BigQueryDouble,
) -> None:
    tuesdays = ["2019-12-31", "2020-01-07", "2020-01-28"]  # the last one is released in January too
    rows = [
        (1, name, f"{day} 00:00:00+00", float(10 * n + k))
        for n, day in enumerate(tuesdays)
        for k, name in enumerate(FIELDS[6:])
    ]
    put(double, rows)
    found = views().fetch_commitments_of_traders(JAN, FEB)
    assert found["report_date"].tolist() == list(pd.to_datetime(tuesdays))
    expected = release_dates(pd.DatetimeIndex(found["report_date"]))
    assert found["release_date"].tolist() == list(expected)
    assert set(found["contract"]) == {"ONE"}
    assert found.iloc[1, 3:].tolist() == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert list(views().versions(pd.DatetimeIndex([JAN, FEB]))) == [JAN]


@pytest.mark.parametrize("view", VIEWS)
def test_the_day_of_a_view_is_grouped_by_and_depends_on_the_partitioning_column_only(
    view: str,
) -> None:
    """This lets a condition on the day be applied before both groupings."""
    tree = sqlglot.parse_one((FOLDER / f"{view}.sql").read_text(), read="bigquery")
    outer = tree.expression
    inner = outer.args["with_"].expressions[0].this if outer.args.get("with_") else None
    inner = inner or next(tree.find_all(exp.CTE)).this
    day = outer.selects[0].name
    assert outer.selects[0].sql() == f"l.{day}"
    assert f"l.{day}" in [key.sql() for key in outer.args["group"].expressions]
    made = next(column for column in inner.selects if column.alias_or_name == day)
    assert [column.sql() for column in made.find_all(exp.Column)] == ["r.record_timestamp"]
    assert day in [key.sql() for key in inner.args["group"].expressions]
    assert not list(tree.find_all(exp.Window))
