"""Months and trading sessions. A session is a date on which the data has at least one row.

There is no exchange calendar: the data says what traded. Dates are tz-naive midnights
(``datetime64[ns]``); a month is the ``Timestamp`` of its first day, and its partition key is that
day in ISO form.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

BARS_PER_YEAR = 252
_BARS_PER_MONTH_AT_LEAST = 250 / 12


def months_covering(bars: int) -> int:
    """How many whole months before a month certainly contain ``bars`` sessions.

    :param bars: bars or sessions that are needed before the month, ``>= 0``
    :return: 0 for 0 bars; else ``ceil(bars / (250/12)) + 1``, one more because months differ
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
