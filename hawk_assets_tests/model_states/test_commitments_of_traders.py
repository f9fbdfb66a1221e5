import re

import numpy as np
import pandas as pd
import pytest

from hawk_assets.model_states.cftc_codes import CONTRACTS
from hawk_assets.model_states.commitments_of_traders import (
    NUMBERS,
    Reports,
    months_of_reports,
    reports_of,
)
from hawk_assets_tests.markets import weekly_reports


@pytest.fixture
def commitments() -> pd.DataFrame:
    """Two contracts; for one, all reports of an autumn were published in November."""
    late = weekly_reports("LATE").query("'2019-01-01' <= report_date < '2020-07-01'").copy()
    shutdown = late["report_date"].between("2019-10-01", "2019-11-12")
    late.loc[shutdown, "release_date"] = pd.date_range("2019-11-14", periods=7)
    return pd.concat([late, weekly_reports("GOLD").assign(contract="088691")])


def test_a_session_sees_the_latest_reports_released_before_it(commitments: pd.DataFrame) -> None:
    dates = pd.bdate_range("2018-12-20", "2020-06-30")
    known = reports_of("LATE", commitments).before(dates.to_numpy(), 4)
    mine = commitments[commitments["contract"] == "LATE"].sort_values("release_date")
    for row, date in enumerate(dates):
        public = mine[mine["release_date"] < date]
        for name in NUMBERS:
            expected = [np.nan] * 4 + public[name].to_list()
            assert np.array_equal(known[name][row], expected[-4:], equal_nan=True)
        age = (date - public["release_date"].max()).days if len(public) else np.nan
        assert np.array_equal(known["report_age"][row], age, equal_nan=True)


def test_a_report_of_friday_is_first_seen_on_monday(commitments: pd.DataFrame) -> None:
    friday, monday = np.array(["2019-03-08", "2019-03-11"], "M8[ns]")
    reports = reports_of("LATE", commitments)
    latest = commitments.set_index(["contract", "release_date"])["open_interest"]["LATE"]
    seen = reports.before(np.array([friday, monday]), 1)["open_interest"][:, 0]
    assert list(seen) == [latest["2019-03-01"], latest["2019-03-08"]]
    assert list(reports.before(np.array([friday, monday]), 1)["report_age"]) == [7.0, 3.0]


def test_a_ticker_has_the_reports_of_its_contract_or_of_one_with_its_name(
    commitments: pd.DataFrame,
) -> None:
    assert CONTRACTS["GLD"] == "088691"
    assert len(reports_of("GLD", commitments).released) == len(weekly_reports("GOLD"))
    assert len(reports_of("LATE", commitments).released) == 79
    assert len(reports_of("NONE", commitments).released) == 0
    assert len(reports_of("GLD", None).released) == 0


def test_a_contract_has_a_code_of_six_characters_and_belongs_to_one_ticker() -> None:
    assert all(re.fullmatch(r"[0-9]{4}[0-9A-Z]{2}|[0-9]{5}[A-Z]", c) for c in CONTRACTS.values())
    assert len(set(CONTRACTS.values())) == len(CONTRACTS)


def test_reports_are_in_the_order_of_release_whatever_the_order_of_the_rows(
    commitments: pd.DataFrame,
) -> None:
    ordered, shuffled = (
        reports_of("LATE", frame)
        for frame in (commitments, commitments.sample(frac=1.0, random_state=1))
    )
    assert (np.diff(ordered.released) > np.timedelta64(0)).all()
    assert np.array_equal(shuffled.released, ordered.released)
    assert np.array_equal(shuffled.numbers["open_interest"], ordered.numbers["open_interest"])


def test_a_report_with_a_hole_is_dropped(commitments: pd.DataFrame) -> None:
    holed = commitments.copy()
    holed.iloc[5, holed.columns.get_loc("noncommercial_long")] = np.nan
    left = reports_of("LATE", holed)
    assert len(left.released) == len(reports_of("LATE", commitments).released) - 1
    assert all(np.isfinite(values).all() for values in left.numbers.values())


def test_only_reports_released_since_a_day_are_kept(commitments: pd.DataFrame) -> None:
    reports = reports_of("LATE", commitments)
    recent = reports.since(np.datetime64("2019-03-08"))
    assert recent.released[0] == np.datetime64("2019-03-08")
    assert len(recent.released) == len(recent.numbers["open_interest"])
    assert reports.since(np.datetime64("2019-03-09")).released[0] == np.datetime64("2019-03-15")


def test_without_reports_every_number_is_nan() -> None:
    known = Reports.none().before(np.array(["2020-01-02"], "M8[ns]"), 3)
    assert set(known) == {*NUMBERS, "report_age"}
    assert all(np.isnan(values).all() for values in known.values())
    assert known["open_interest"].shape == (1, 3)


@pytest.mark.parametrize("count", [1, 4, 52, 156])
def test_the_months_before_contain_the_reports_needed_even_after_a_shutdown(count: int) -> None:
    months = pd.date_range("2010-01-01", "2021-12-01", freq="MS")
    released = weekly_reports("A")["release_date"]
    for month in months:
        known = released[released < month - pd.Timedelta(days=60)]  # nothing came out since
        first = month - pd.DateOffset(months=months_of_reports(count))
        assert (known >= first).sum() >= count
    assert months_of_reports(0) == 0
    assert 7 * count < 30.5 * months_of_reports(count) < 7 * count + 60 + 3 * 31
