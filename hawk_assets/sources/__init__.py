"""Where raw data comes from, one file per kind of source. The only choice made here is which."""

import re

import pandas as pd

from hawk_assets.core.errors import SettingsError
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.local import LocalFiles
from hawk_assets.sources.sample import SampleMarket


def open_source(
    setting: str | None,
    start: pd.Timestamp,
    end: pd.Timestamp | None,
    commitments: str | None = None,
) -> MarketDataSource:
    """The source a setting names. Nothing is read or generated until the source is asked.

    :param setting: the value of HAWK_MARKET_DATA: a path, folder or glob of files; None, ``""`` or
        ``"sample"`` for the built-in market
    :param start: first day of the built-in market; files hold what they hold
    :param end: the built-in market's first day not yet known; None is today
    :param commitments: the value of HAWK_COMMITMENTS: files of commitments of traders to go with
        files of prices; None or ``""`` for none. The built-in market has its own
    :raises SettingsError: a URL, or reports for the built-in market
    """
    if setting in (None, "", "sample"):
        if commitments:
            raise SettingsError(
                f"HAWK_COMMITMENTS={commitments!r} needs prices to go with it, and the built-in "
                "market has reports of its own; set HAWK_MARKET_DATA, or unset HAWK_COMMITMENTS"
            )
        return SampleMarket(start, end)
    for name, value in (("HAWK_MARKET_DATA", setting), ("HAWK_COMMITMENTS", commitments)):
        if value and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
            raise SettingsError(
                f"{name}={value!r} is not supported; give a path, folder or glob of Parquet or CSV "
                "files; HAWK_MARKET_DATA may also be 'sample', the built-in market"
            )
    return LocalFiles(setting, commitments or None)
