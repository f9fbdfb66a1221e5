import pandas as pd
import pytest

from hawk_assets.core.errors import SettingsError
from hawk_assets.sources import LocalFiles, SampleMarket, open_source

START, END = pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")


@pytest.mark.parametrize("setting", [None, "", "sample"])
def test_nothing_chosen_is_the_built_in_market(setting: str | None) -> None:
    assert open_source(setting, START, END) == SampleMarket(START, END)


@pytest.mark.parametrize("setting", ["prices", "/data/*.parquet", "C:/prices.csv", "samples"])
def test_anything_else_is_files_and_none_is_opened(setting: str) -> None:
    source = open_source(setting, START, None)
    assert source == LocalFiles(setting)
    assert source.description == setting


def test_reports_go_with_files_of_prices() -> None:
    source = open_source("prices", START, None, "reports.csv")
    assert source == LocalFiles("prices", "reports.csv")
    assert source.description == "prices, commitments of traders from reports.csv"
    assert open_source("prices", START, None, "") == LocalFiles("prices")


@pytest.mark.parametrize("setting", [None, "", "sample"])
def test_reports_without_prices_are_refused(setting: str | None) -> None:
    with pytest.raises(SettingsError) as error:
        open_source(setting, START, END, "reports.csv")
    for part in ("HAWK_COMMITMENTS='reports.csv'", "HAWK_MARKET_DATA", "unset"):
        assert part in str(error.value)


def test_a_url_of_reports_names_its_own_setting() -> None:
    with pytest.raises(SettingsError, match="HAWK_COMMITMENTS='gs://b/reports'"):
        open_source("prices", START, END, "gs://b/reports")


@pytest.mark.parametrize("setting", ["bigquery://p/d/t", "s3://bucket/x", "file:///x", "GS://b"])
def test_an_unsupported_url_names_the_setting_and_what_is_accepted(setting: str) -> None:
    with pytest.raises(SettingsError) as error:
        open_source(setting, START, END)
    for part in ("HAWK_MARKET_DATA", setting, "Parquet or CSV", "'sample'"):
        assert part in str(error.value)
