import numpy as np
import pandas as pd
import pytest

from hawk_assets.sources import release
from hawk_assets.sources.release import release_dates


def released(*reports: str) -> list[str]:
    dates = release_dates(pd.DatetimeIndex(reports, dtype="datetime64[ns]"))
    return [f"{date:%Y-%m-%d}" for date in dates]


def test_reports_of_2024_are_published_on_fridays_except_after_four_late_holidays() -> None:
    tuesdays = pd.date_range("2024-01-02", "2024-12-24", freq="7D")
    dates = release_dates(tuesdays)
    late = dates.dayofweek != 4
    assert ((dates - tuesdays).days[~late] == 3).all()
    assert dict(zip(tuesdays[late].astype(str), dates[late].astype(str), strict=True)) == {
        "2024-06-18": "2024-06-24",  # Juneteenth, a Wednesday
        "2024-07-02": "2024-07-08",  # Independence Day, a Thursday
        "2024-11-26": "2024-12-02",  # Thanksgiving, a Thursday
        "2024-12-24": "2024-12-30",  # Christmas Day, a Wednesday
    }
    assert len(tuesdays) == 52


@pytest.mark.parametrize(
    ("report", "date"),
    [
        ("2024-03-26", "2024-03-29"),  # Good Friday is no federal holiday
        ("2024-10-15", "2024-10-18"),  # Columbus Day, the Monday before
        ("2023-11-07", "2023-11-13"),  # Veterans Day, observed on Friday
        ("2019-12-31", "2020-01-06"),  # New Year's Day, a Wednesday of another year
        ("2015-06-30", "2015-07-06"),  # Independence Day, observed on Friday
        ("2021-06-15", "2021-06-21"),  # Juneteenth, in its first year
        ("2020-06-16", "2020-06-19"),  # and in the year before it was a holiday
        ("2017-07-03", "2017-07-07"),  # of Monday, since Tuesday is a holiday
        ("2025-01-07", "2025-01-13"),  # a day of mourning, a Thursday
    ],
)
def test_a_holiday_on_wednesday_to_friday_moves_a_release_to_monday(report: str, date: str) -> None:
    assert released(report) == [date]


def test_the_backlog_of_2018_19_was_published_each_tuesday_and_friday() -> None:
    reports = ["2018-12-24", "2018-12-31"]
    reports += [f"{day:%Y-%m-%d}" for day in pd.date_range("2019-01-08", "2019-03-05", freq="7D")]
    days = pd.date_range("2019-02-01", "2019-03-08")
    expected = days[days.dayofweek.isin([1, 4])]
    assert released(*reports) == [f"{day:%Y-%m-%d}" for day in expected]
    assert released("2018-12-18", "2019-03-12") == ["2018-12-21", "2019-03-15"]


# The announcement of 18 November 2025: report, original and new date.
SHUTDOWN_2025 = """
2025-09-30 2025-10-03 2025-11-19
2025-10-07 2025-10-10 2025-11-21
2025-10-14 2025-10-17 2025-11-25
2025-10-21 2025-10-24 2025-12-02
2025-10-28 2025-10-31 2025-12-05
2025-11-04 2025-11-07 2025-12-09
2025-11-10 2025-11-14 2025-12-12
2025-11-18 2025-11-21 2025-12-16
2025-11-25 2025-12-01 2025-12-19
2025-12-02 2025-12-05 2025-12-23
2025-12-09 2025-12-12 2025-12-30
2025-12-16 2025-12-19 2026-01-06
2025-12-23 2025-12-29 2026-01-09
2025-12-30 2026-01-05 2026-01-13
2026-01-06 2026-01-09 2026-01-16
2026-01-13 2026-01-16 2026-01-20
2026-01-20 2026-01-23 2026-01-23
"""


def test_the_rule_gives_the_original_and_the_table_the_new_dates_of_2025(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports, original, new = zip(
        *(row.split() for row in SHUTDOWN_2025.split("\n")[1:-1]), strict=True
    )
    assert released(*reports) == list(new)
    monkeypatch.setattr(release, "_CATCH_UPS", {"2018-12-28": "2019-02-01"})
    assert released(*reports) == list(original)


@pytest.mark.parametrize(
    ("last_on_time", "first_delayed", "came_out", "last_delayed", "back"),
    [
        ("2013-09-24", "2013-10-01", "2013-10-25", "2013-10-29", "2013-11-08"),
        ("2023-01-24", "2023-01-31", "2023-02-24", "2023-03-14", "2023-03-21"),
    ],
)
def test_other_interruptions_begin_and_end(
    last_on_time: str, first_delayed: str, came_out: str, last_delayed: str, back: str
) -> None:
    friday = pd.Timestamp(last_on_time) + pd.Timedelta(days=3)
    assert released(last_on_time, first_delayed) == [f"{friday:%Y-%m-%d}", came_out]
    after = pd.Timestamp(last_delayed) + pd.Timedelta(days=7)
    assert released(last_delayed, str(after.date())) == [
        back,
        f"{after + pd.Timedelta(days=3):%Y-%m-%d}",
    ]


def test_releases_follow_their_reports_in_order_on_working_days_and_never_before_friday() -> None:
    reports = pd.date_range("1993-01-05", "2035-12-25", freq="7D")
    dates = release_dates(reports)
    assert dates.is_monotonic_increasing
    assert (dates.dayofweek < 5).all()
    assert (dates - reports).min() == pd.Timedelta(days=3)
    backwards = release_dates(reports[::-1])
    assert backwards[::-1].equals(dates)
    assert np.array_equal(release_dates(reports.repeat(3)), dates.repeat(3))


@pytest.mark.parametrize("day", pd.date_range("2024-05-06", periods=7).astype(str))
def test_a_report_of_any_weekday_is_released_on_the_friday_after_it(day: str) -> None:
    (date,) = pd.DatetimeIndex(released(day))
    assert date.dayofweek == 4
    assert 1 <= (date - pd.Timestamp(day)).days <= 7


def test_without_reports_there_are_no_releases() -> None:
    assert released() == []
