"""When a commitments of traders report became public: the CFTC's calendar and its delays."""

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

_MOURNING = pd.DatetimeIndex(["2004-06-11", "2018-12-05", "2025-01-09"])

# The Friday of the first missing report, and the days on which that report and those of the
# following weeks were published.
_CATCH_UPS = {
    "2013-10-04": "2013-10-25 2013-11-01 2013-11-01 2013-11-08 2013-11-08",
    "2018-12-28": "2019-02-01 2019-02-05 2019-02-08 2019-02-12 2019-02-15 2019-02-19 2019-02-22 "
    "2019-02-26 2019-03-01 2019-03-05",
    "2023-02-03": "2023-02-24 2023-03-03 2023-03-08 2023-03-10 2023-03-14 2023-03-16 2023-03-21",
    "2025-10-03": "2025-11-19 2025-11-21 2025-11-25 2025-12-02 2025-12-05 2025-12-09 2025-12-12 "
    "2025-12-16 2025-12-19 2025-12-23 2025-12-30 2026-01-06 2026-01-09 2026-01-13 2026-01-16 "
    "2026-01-20",
}


def release_dates(report_dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The day on which each report was published, at 15:30 in New York.

    A report shows the positions of a Tuesday (of Monday if Tuesday is a holiday) and is published
    on the Friday after. A federal holiday on the Wednesday, Thursday or Friday moves it to the next
    Monday. So does a day of national mourning, because the offices are closed then.

    Four interruptions have their own calendar. After the shutdown of 2018-19 the reports were
    published in order, one each Tuesday and Friday from 1 February 2019 on (CFTC release 7864-19).
    After the shutdown of 2025 the CFTC was faster than its plan of 18 November 2025; the plan is
    used. The dates of 2013 (shutdown) and 2023 (a supplier of clearing firms was down) come from
    secondary sources; where those give only a week, or disagree, the latest day is used. So a date
    may be some days late, and no date is known to be early. Reports that state their own release do
    not need this calendar.

    :param report_dates: tz-naive midnights, any order, repeated or not
    :return: same length and order; each is later than its report, and a later report never has an
        earlier release
    """
    friday = report_dates + pd.to_timedelta((3 - report_dates.dayofweek) % 7 + 1, unit="D")
    closed = _MOURNING
    if len(friday):
        week = pd.DateOffset(weeks=1)
        closed = closed.union(
            USFederalHolidayCalendar().holidays(friday.min() - week, friday.max() + week)
        )
    late = np.logical_or.reduce([(friday - pd.DateOffset(days=n)).isin(closed) for n in range(3)])
    regular = np.busday_offset(
        (friday + pd.to_timedelta(late.astype(int), unit="D")).to_numpy("datetime64[D]"),
        offsets=0,
        roll="forward",
        holidays=closed.to_numpy("datetime64[D]"),
    )
    delayed = _delays().reindex(friday).to_numpy("datetime64[ns]")
    return pd.DatetimeIndex(np.fmax(regular.astype("datetime64[ns]"), delayed))


def _delays() -> "pd.Series[pd.Timestamp]":
    """The day on which a delayed report was published, by the Friday of its regular release."""
    parts = []
    for missed, days in _CATCH_UPS.items():
        published = pd.to_datetime(days.split())
        fridays = pd.date_range(missed, periods=len(published), freq="7D")
        parts.append(pd.Series(published, fridays))
    return pd.concat(parts)
