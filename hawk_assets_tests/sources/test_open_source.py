from functools import partial

import pandas as pd
import pytest

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.sources import MarketDataFiles, SampleMarket
from hawk_assets.sources import open_source as open_any
from hawk_assets.sources.bigquery import BigQueryTables
from hawk_assets.sources.queries import TableName

START, END = pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")
TABLE = "bigquery://desk-data/market/bars"
open_source = partial(open_any, connect=connect)


@pytest.mark.parametrize("setting", [None, "", "sample"])
def test_without_a_setting_the_source_is_the_built_in_market(setting: str | None) -> None:
    assert open_source(setting, START, END) == SampleMarket(START, END)


@pytest.mark.parametrize("setting", ["prices", "/data/*.parquet", "C:/prices.csv", "samples"])
def test_any_other_setting_means_files_and_none_is_opened(setting: str) -> None:
    source = open_source(setting, START, None)
    assert source == MarketDataFiles(setting)
    assert source.description == setting


def test_reports_are_read_with_files_of_prices() -> None:
    source = open_source("prices", START, None, "reports.csv")
    assert source == MarketDataFiles("prices", "reports.csv")
    assert source.description == "prices, commitments of traders from reports.csv"
    assert open_source("prices", START, None, "") == MarketDataFiles("prices")


@pytest.mark.parametrize("setting", [None, "", "sample"])
def test_reports_without_prices_are_refused(setting: str | None) -> None:
    with pytest.raises(SettingsError) as error:
        open_source(setting, START, END, "reports.csv")
    for part in ("HAWK_COMMITMENTS='reports.csv'", "HAWK_MARKET_DATA", "unset"):
        assert part in str(error.value)


def test_a_url_of_reports_names_its_own_setting() -> None:
    with pytest.raises(SettingsError, match="HAWK_COMMITMENTS='gs://b/reports'"):
        open_source("prices", START, END, "gs://b/reports")


@pytest.mark.parametrize("setting", ["s3://bucket/x", "file:///x", "GS://b"])
def test_an_unsupported_url_names_the_setting_and_what_is_accepted(setting: str) -> None:
    with pytest.raises(SettingsError) as error:
        open_source(setting, START, END)
    for part in ("HAWK_MARKET_DATA", setting, "Parquet or CSV", "bigquery://", "'sample'"):
        assert part in str(error.value)


def test_tables_of_bigquery_are_named_and_none_is_opened() -> None:
    bars = TableName("HAWK_MARKET_DATA", "desk-data", "market", "bars")
    assert open_source(TABLE, START, None) == BigQueryTables(bars, None, connect)
    legacy = TableName("HAWK_COMMITMENTS", "example.com:desk-data", "market_1", "cot-weekly")
    source = open_source(TABLE, START, None, "bigquery://example.com:desk-data/market_1/cot-weekly")
    assert source == BigQueryTables(bars, legacy, connect)
    assert source.description == (
        "bigquery://desk-data/market/bars, commitments of traders from "
        "bigquery://example.com:desk-data/market_1/cot-weekly"
    )


@pytest.mark.parametrize(
    "url",
    [
        "bigquery:/desk-data/market/bars",
        "bigquery:desk-data.market.bars",
        "BigQuery://desk-data/market/bars",
        "bq://desk-data/market/bars",
        "bigquery://",
        "bigquery://desk-data",
        "bigquery://desk-data/market",
        "bigquery://desk-data/market/",
        "bigquery://desk-data//bars",
        "bigquery://desk-data/market/bars/",
        "bigquery://desk-data/market/bars/2020",
        "bigquery://desk-data/market/bars?x=1",
        "bigquery://desk-data/market/bars\n",
        " bigquery://desk-data/market/bars",
        "bigquery://Desk-Data/market/bars",
        "bigquery://desk/market/bars",
        "bigquery://desk-data-/market/bars",
        "bigquery://desk-data/mar-ket/bars",
        "bigquery://desk-data/market/ba rs",
        "bigquery://desk-data/market/b\u00e4rs",
        "bigquery://desk-data/market/bars` WHERE TRUE; DROP TABLE `x",
        "bigquery://desk-data/market/bars`--",
        "bigquery://desk-data`.x/market/bars",
    ],
)
def test_a_name_that_is_not_that_of_a_table_is_refused_before_any_query(url: str) -> None:
    for named, settings in {
        "HAWK_MARKET_DATA": (url, START, None, None),
        "HAWK_COMMITMENTS": (TABLE, START, None, url),
    }.items():
        with pytest.raises(SettingsError) as error:
            open_source(*settings)
        for part in (f"{named}={url!r}", "bigquery://project/dataset/table"):
            assert part in str(error.value)


@pytest.mark.parametrize("prices", [TABLE, "prices"])
def test_reports_of_a_different_kind_than_the_prices_are_refused(prices: str) -> None:
    reports = "reports.csv" if prices == TABLE else TABLE
    with pytest.raises(SettingsError) as error:
        open_source(prices, START, None, reports)
    for part in (f"HAWK_MARKET_DATA={prices!r}", f"HAWK_COMMITMENTS={reports!r}", "or files"):
        assert part in str(error.value)
