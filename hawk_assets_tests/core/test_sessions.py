import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import GoodFriday, USFederalHolidayCalendar
from pandas.tseries.offsets import CustomBusinessDay

from hawk_assets.core.sessions import (
    in_months,
    key_of,
    month_of,
    month_starts,
    months_covering,
    sessions_of,
    shift,
)


def test_no_memory_needs_no_month() -> None:
    assert months_covering(0) == 0


def test_the_months_before_contain_at_least_the_bars_needed() -> None:
    holidays = USFederalHolidayCalendar().holidays("1990", "2040")  # more than any exchange keeps
    good_fridays = GoodFriday.dates("1990", "2040")
    days = CustomBusinessDay(holidays=list(holidays.union(good_fridays)))
    dates = pd.date_range("1990-01-01", "2039-12-31", freq=days)
    sessions = np.unique(month_starts(dates), return_counts=True)[1]
    total = np.append(0, np.cumsum(sessions))
    for bars in range(1, 1200):
        months = months_covering(bars)
        assert (total[months:] - total[:-months]).min() >= bars


def test_no_more_months_than_necessary_are_needed() -> None:
    assert months_covering(63) == 5
    assert months_covering(250) == 13


@pytest.mark.parametrize("key", ["2020-02-01", "1999-12-01"])
def test_a_month_and_its_partition_key_convert_into_each_other(key: str) -> None:
    assert key_of(month_of(key)) == key
    assert key_of(month_of(key) + pd.Timedelta(days=20)) == key


def test_a_shift_crosses_years_both_ways() -> None:
    assert shift(pd.Timestamp("2019-11-01"), 3) == pd.Timestamp("2020-02-01")
    assert shift(pd.Timestamp("2020-02-01"), -14) == pd.Timestamp("2018-12-01")


def test_month_starts_keep_the_order_and_length_of_the_dates() -> None:
    dates = pd.Series(pd.to_datetime(["2020-02-29", "1969-12-31", "2020-02-01"]))
    expected = pd.DatetimeIndex(["2020-02-01", "1969-12-01", "2020-02-01"])
    assert month_starts(dates).equals(expected)
    assert month_starts(pd.DatetimeIndex(dates)).equals(expected)


def test_sessions_are_the_sorted_dates_that_have_a_row() -> None:
    dates = pd.Series(pd.to_datetime(["2020-02-04", "2020-02-03", "2020-02-04"]))
    assert sessions_of(dates).equals(pd.DatetimeIndex(["2020-02-03", "2020-02-04"]))


def test_rows_of_months_that_are_not_adjacent_are_kept() -> None:
    frame = pd.DataFrame({"date": pd.date_range("2020-01-30", "2020-03-02"), "x": 1.0})
    kept = in_months(frame, pd.DatetimeIndex(["2020-01-01", "2020-03-01"]))
    assert list(kept["date"].dt.strftime("%m-%d")) == ["01-30", "01-31", "03-01", "03-02"]
