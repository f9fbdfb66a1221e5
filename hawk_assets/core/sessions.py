"""Months and trading sessions. A session is a date on which the data holds at least one row.

No exchange calendar: what traded is what the data says traded. Dates are tz-naive midnights
(``datetime64[ns]``); a month is the ``Timestamp`` of its first day, and its partition key is that
day in ISO form.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

BARS_PER_YEAR = 252
_BARS_PER_MONTH_AT_LEAST = 250 / 12


def months_covering(bars: int) -> int:
    """How many whole months before a month are certain to hold ``bars`` sessions of a full market.

    :param bars: bars or rows of memory, ``>= 0``
    :return: 0 for no memory; else ``ceil(bars / (250/12)) + 1``, the spare one for short months
    """
    return 0 if bars == 0 else int(np.ceil(bars / _BARS_PER_MONTH_AT_LEAST)) + 1


def month_of(key: str) -> pd.Timestamp:
    """The month of a partition key such as ``2020-02-01``."""
    return pd.Timestamp(key)


def key_of(month: pd.Timestamp) -> str:
    """The partition key of a month."""
    return month.strftime("%Y-%m-01")


def shift(month: pd.Timestamp, by: int) -> pd.Timestamp:
    """The month ``by`` months later (earlier when negative)."""
    return pd.Timestamp(month) + pd.DateOffset(months=by)


def month_starts(dates: "pd.Series[pd.Timestamp] | pd.DatetimeIndex") -> pd.DatetimeIndex:
    """The first day of each date's month; same length as ``dates``."""
    return pd.DatetimeIndex(np.asarray(dates).astype("datetime64[M]").astype("datetime64[ns]"))


def sessions_of(dates: "Iterable[pd.Timestamp]") -> pd.DatetimeIndex:
    """The sorted unique dates of a table."""
    return pd.DatetimeIndex(np.unique(np.asarray(dates, dtype="datetime64[ns]")))


def in_months(frame: pd.DataFrame, months: pd.DatetimeIndex) -> pd.DataFrame:
    """The rows of ``frame`` dated within ``months`` (which need not be adjacent)."""
    return frame[month_starts(frame["date"]).isin(months)]
