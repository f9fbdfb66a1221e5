"""Months and trading sessions. A session is a date on which at least one ticker has a close.

There is no exchange calendar: the data says what traded. A row without a close makes no session.
Dates are tz-naive midnights (``datetime64[ns]``); a month is the ``Timestamp`` of its first day,
and its partition key is that day in ISO form.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hawk_assets.core.types import Array, Dates

BARS_PER_YEAR = 252
"""Daily bars of a stock exchange in a year."""

_CALENDARS = np.array([12.0, 52.0, BARS_PER_YEAR, 365.0])
"""Sessions a year: of monthly and weekly bars, of stock exchanges, of markets that never close."""
_NEAR = 0.1
_DAYS_PER_YEAR = 365.25
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


def market_sessions(market_data: pd.DataFrame) -> pd.DatetimeIndex:
    """The dates on which a ticker has a close, ascending.

    :param market_data: date and close; NaN is no close
    """
    return sessions_of(market_data.loc[market_data["close"].notna(), "date"])


def sessions_per_year(count: ArrayLike, days: ArrayLike) -> Array:
    """How many sessions a year has, counted, for annual figures.

    Round where a calendar is known: within 10 % of 12, 52, 252 or 365 it is that number, so that
    daily bars of any stock exchange have 252, whatever the holidays of the period. Over less than
    half a year it is the nearest of them, and over less than a week 252: too few sessions to count.

    :param count: sessions, the first and the last included
    :param days: calendar days from the first session to the last, the same shape
    """
    count, days = np.asarray(count, np.float64), np.asarray(days, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        counted = np.where(days >= 7, (count - 1.0) * _DAYS_PER_YEAR / days, BARS_PER_YEAR)
    distance = np.abs(np.log(_CALENDARS / counted[..., None]))
    nearest = _CALENDARS[distance.argmin(axis=-1)]
    known = (days < _DAYS_PER_YEAR / 2) | (np.abs(counted / nearest - 1.0) <= _NEAR)
    return np.where(known, nearest, counted)


def count_sessions_per_year(sessions: Dates) -> float:
    """:func:`sessions_per_year` of all these sessions; 252 for none.

    :param sessions: ascending
    """
    if not len(sessions):
        return BARS_PER_YEAR
    days = (sessions[-1] - sessions[0]) / np.timedelta64(1, "D")
    return float(sessions_per_year(len(sessions), days))


def in_months(frame: pd.DataFrame, months: pd.DatetimeIndex) -> pd.DataFrame:
    """The rows of ``frame`` dated within ``months`` (which need not be adjacent)."""
    return frame[month_starts(frame["date"]).isin(months)]
