"""Where raw data comes from, one file per kind of source. The only choice made here is which."""

import re

import pandas as pd

from hawk_assets.core.errors import SettingsError
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.local import LocalFiles
from hawk_assets.sources.sample import SampleMarket


def open_source(
    setting: str | None, start: pd.Timestamp, end: pd.Timestamp | None
) -> MarketDataSource:
    """The source a setting names. Nothing is read or generated until the source is asked.

    :param setting: the value of HAWK_MARKET_DATA: a path, folder or glob of files; None, ``""`` or
        ``"sample"`` for the built-in market
    :param start: first day of the built-in market; files hold what they hold
    :param end: the built-in market's first day not yet known; None is today
    :raises SettingsError: a URL; the message says what is accepted
    """
    if setting in (None, "", "sample"):
        return SampleMarket(start, end)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", setting):
        raise SettingsError(
            f"HAWK_MARKET_DATA={setting!r} is not supported; give a path, folder or glob of "
            "Parquet or CSV files, or 'sample' for the built-in market"
        )
    return LocalFiles(setting)
