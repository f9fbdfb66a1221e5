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


@pytest.mark.parametrize("setting", ["bigquery://p/d/t", "s3://bucket/x", "file:///x", "GS://b"])
def test_an_unsupported_url_names_the_setting_and_what_is_accepted(setting: str) -> None:
    with pytest.raises(SettingsError) as error:
        open_source(setting, START, END)
    for part in ("HAWK_MARKET_DATA", setting, "Parquet or CSV", "'sample'"):
        assert part in str(error.value)
