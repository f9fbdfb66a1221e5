import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import GoodFriday, USFederalHolidayCalendar
from pandas.tseries.offsets import CustomBusinessDay

from hawk_assets.core.sessions import (
    count_sessions_per_year,
    in_months,
    key_of,
    market_sessions,
    month_of,
    month_starts,
    months_covering,
    sessions_of,
    sessions_per_year,
    shift,
)
from hawk_assets_tests.markets import mixed_market


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


def test_a_date_without_a_price_is_no_session() -> None:
    dates = pd.to_datetime(["2020-02-05", "2020-02-03", "2020-02-03", "2020-02-04"])
    market_data = pd.DataFrame({"date": dates, "close": [2.0, np.nan, 1.0, np.nan]})
    expected = pd.DatetimeIndex(["2020-02-03", "2020-02-05"])
    assert market_sessions(market_data).equals(expected)
    assert len(market_sessions(market_data[:0])) == 0


def us_days() -> pd.DatetimeIndex:
    holidays = USFederalHolidayCalendar().holidays("1990", "2040")
    good_fridays = GoodFriday.dates("1990", "2040")
    days = CustomBusinessDay(holidays=list(holidays.union(good_fridays)))
    return pd.date_range("1995-01-01", "2024-12-31", freq=days)


CALENDARS = {
    "New York": (us_days(), 252.0),
    "Tokyo": (
        market_sessions(mixed_market(6, "2018-01-01").query("ticker == 'TK_FULL'")),
        252.0,
    ),
    "weekdays": (pd.bdate_range("2010-01-01", "2024-12-31"), 252.0),
    "every day": (pd.date_range("2010-01-01", "2024-12-31"), 365.0),
    "weeks": (pd.date_range("2010-01-01", "2024-12-31", freq="W-FRI"), 52.0),
    "months": (pd.date_range("2010-01-01", "2024-12-31", freq="BME"), 12.0),
}


@pytest.mark.parametrize("name", CALENDARS)
def test_a_known_calendar_has_its_round_number_over_any_span(name: str) -> None:
    """Whatever the span's holidays: from ten sessions on, and from three weeks."""
    days, expected = CALENDARS[name]
    rng = np.random.default_rng(1)
    for _ in range(3000):
        first = int(rng.integers(0, len(days) - 12))
        last = first + int(rng.choice([rng.integers(10, 60), rng.integers(60, 2000)]))
        span = days[first : last + 1]
        if len(span) > 9 and (span[-1] - span[0]).days >= 21:
            assert count_sessions_per_year(span.to_numpy()) == expected


def test_a_calendar_that_is_not_known_is_counted() -> None:
    six_days = pd.date_range("2010-01-01", "2019-12-31", freq="D")
    six_days = six_days[six_days.weekday != 5]
    assert count_sessions_per_year(six_days.to_numpy()) == pytest.approx(313.07, abs=0.1)
    both = pd.bdate_range("2010-01-01", "2014-12-31").union(
        pd.date_range("2015-01-01", "2019-12-31")
    )
    assert count_sessions_per_year(both.to_numpy()) == pytest.approx(313.1, abs=0.2)


def test_a_few_days_count_as_those_of_a_stock_exchange() -> None:
    days = pd.date_range("2024-01-01", periods=7)
    for n in range(8):
        assert count_sessions_per_year(days[:n].to_numpy()) == 252.0
    assert sessions_per_year(np.array([1.0, 8.0]), np.array([0.0, 7.0])).tolist() == [252.0, 365.0]


def test_rows_of_months_that_are_not_adjacent_are_kept() -> None:
    frame = pd.DataFrame({"date": pd.date_range("2020-01-30", "2020-03-02"), "x": 1.0})
    kept = in_months(frame, pd.DatetimeIndex(["2020-01-01", "2020-03-01"]))
    assert list(kept["date"].dt.strftime("%m-%d")) == ["01-30", "01-31", "03-01", "03-02"]
