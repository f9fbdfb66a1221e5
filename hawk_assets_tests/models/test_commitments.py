import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler

from hawk_assets.core.sessions import in_months, month_starts, shift
from hawk_assets.insights.builder import build_insights
from hawk_assets.model_states.builder import build_states, months_needed, report_months
from hawk_assets.model_states.cftc_codes import CONTRACTS
from hawk_assets.model_states.commitments_of_traders import NUMBERS, months_of_reports, reports_of
from hawk_assets.models.commitments import CommitmentsOfTraders
from hawk_assets.sources.release import release_dates
from hawk_assets_tests.markets import random_walk, weekly_reports
from hawk_assets_tests.models.oracles import opinions

MODEL, SMALL = CommitmentsOfTraders(), CommitmentsOfTraders(weeks=20)
TICKERS = {"W00": "GLD", "W01": "HOG", "W02": "NIL"}


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    """2005 to 2010: a ticker with a contract, one named like a contract, one without reports."""
    market = random_walk(3, 1500, seed=1)
    return market.assign(ticker=market["ticker"].map(TICKERS))


@pytest.fixture(scope="module")
def reports() -> pd.DataFrame:
    """Reports published like those of the CFTC, including holidays."""
    reports = pd.concat([weekly_reports("HOG"), weekly_reports("X").assign(contract="088691")])
    reports = reports[reports["report_date"].between("2001-06-01", "2010-12-31")]
    return reports.assign(release_date=release_dates(pd.DatetimeIndex(reports["report_date"])))


def states_of(
    market: pd.DataFrame, reports: pd.DataFrame, model: CommitmentsOfTraders = MODEL
) -> pd.DataFrame:
    months = pd.DatetimeIndex(month_starts(market["date"]).unique())
    return build_states(model, market, months, reports)


def index_of(states: pd.DataFrame, ticker: str) -> "pd.Series[float]":
    return states[states["ticker"] == ticker].set_index("date")["cot_index"]


def scaled(reports: pd.DataFrame, contract: str, date: pd.Timestamp, weeks: int) -> float:
    """The latest net position within the range of those public before a date."""
    mine = reports[(reports["contract"] == contract) & (reports["release_date"] < date)]
    latest = mine.sort_values("report_date").tail(weeks)
    net = (latest["commercial_long"] - latest["commercial_short"]).to_numpy()
    return float(MinMaxScaler((0, 100)).fit_transform(net[:, None])[-1, 0])


@pytest.mark.parametrize("model", [MODEL, SMALL], ids=lambda model: model.name)
@pytest.mark.parametrize("ticker", ["GLD", "HOG"])
def test_the_index_is_the_percentage_of_the_range_of_the_reports_public_before_the_session(
    market: pd.DataFrame, reports: pd.DataFrame, model: CommitmentsOfTraders, ticker: str
) -> None:
    dates = pd.DatetimeIndex(market["date"].unique())
    known = reports_of(ticker, reports).before(dates.to_numpy(), model.weeks)
    found = model.features({"close": np.ones(len(dates)), **known})["cot_index"]
    for row in range(0, len(dates), 13):
        expected = scaled(reports, CONTRACTS.get(ticker, ticker), dates[row], model.weeks)
        assert found[row] == pytest.approx(expected, rel=1e-12, abs=1e-11)
    stored = index_of(states_of(market, reports, model), ticker)
    assert np.allclose(stored, found, rtol=1e-9, atol=0)


def test_a_report_of_friday_changes_monday_and_not_friday(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    friday, monday = pd.Timestamp("2009-05-15"), pd.Timestamp("2009-05-18")
    of_friday = (reports["contract"] == "HOG") & (reports["release_date"] == friday)
    assert of_friday.sum() == 1
    other = reports.copy()
    other.loc[of_friday, "commercial_long"] *= 3
    before, after = (index_of(states_of(market, frame), "HOG") for frame in (reports, other))
    assert before[:friday].equals(after[:friday])
    assert before[monday] != after[monday]


def test_there_is_no_signal_before_the_last_of_156_reports(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    young = reports[reports["report_date"] >= "2005-03-01"]
    ready = young[young["contract"] == "HOG"].sort_values("release_date")["release_date"].iloc[155]
    states = states_of(market, young)
    index = index_of(states, "HOG")
    assert list(index.index[index.notna()]) == list(index.index[index.index > ready])
    insights = build_insights(
        MODEL, states, pd.DatetimeIndex(month_starts(states["date"]).unique())
    )
    early = insights[insights["date"] <= ready]
    assert (early["signal"] == 0).all()
    assert (insights["signal"] != 0).any()


def test_after_twelve_days_without_a_report_the_signal_is_0_at_once(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    last = pd.Timestamp("2009-05-15")
    extreme = reports["release_date"] == last
    stopped = reports[reports["release_date"] <= last].copy()
    stopped.loc[extreme[extreme].index, "commercial_long"] = 1e9
    states = states_of(market, stopped)
    may = pd.DatetimeIndex(["2009-05-01", "2009-06-01"])
    signal = build_insights(MODEL, states, may).pivot(
        index="date", columns="ticker", values="signal"
    )
    fresh = signal.index[(signal.index > last) & (signal.index <= last + pd.Timedelta(days=12))]
    assert (signal.loc[fresh, "HOG"] == 1).all()
    assert (signal.loc[fresh[-1] :, "HOG"].iloc[1:] == 0).all()
    assert len(fresh) == 8


def test_a_range_without_width_is_in_the_middle(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    still = reports.assign(commercial_long=5000.0, commercial_short=3000.0)
    assert (index_of(states_of(market, still), "HOG") == 50).all()
    assert opinions(MODEL, cot_index=[50.0], close=[1.0]) == [0]


def test_a_week_without_a_report_is_not_invented(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    missing = (reports["contract"] == "HOG") & (reports["report_date"] == "2008-09-16")
    holed = reports.copy()
    holed.loc[missing, "commercial_short"] = np.nan
    index = index_of(states_of(market, reports[~missing], SMALL), "HOG")
    for date in pd.bdate_range("2008-09-15", "2009-03-15", freq="7B"):
        assert index[date] == pytest.approx(scaled(reports[~missing], "HOG", date, 20), rel=1e-9)
    assert index.equals(index_of(states_of(market, holed, SMALL), "HOG"))
    assert not index.equals(index_of(states_of(market, reports, SMALL), "HOG"))


def test_a_ticker_without_reports_never_has_a_signal(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    states = states_of(market, reports)
    insights = build_insights(
        MODEL, states, pd.DatetimeIndex(month_starts(states["date"]).unique())
    )
    active = insights[insights["signal"] != 0]
    assert set(active["ticker"]) == {"GLD", "HOG"}
    assert (insights["ticker"] == "NIL").sum() == 1500


def test_what_is_released_on_a_day_or_later_changes_nothing_up_to_that_day(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    rng = np.random.default_rng(1)
    states = states_of(market, reports)
    for day in pd.to_datetime(["2007-07-06", "2008-12-01", "2010-03-10"]):
        later = (reports["release_date"] >= day).to_numpy()
        noisy = reports.copy()
        noisy.loc[later, list(NUMBERS)] *= rng.lognormal(0, 1, (later.sum(), len(NUMBERS)))
        for frame in (reports[~later], noisy):
            other = states_of(market, frame)
            past = other["date"] <= day
            assert other[past].equals(states[past])
            assert not other[~past].equals(states[~past])


def test_a_month_from_its_own_reports_equals_that_of_the_whole_history(
    market: pd.DataFrame, reports: pd.DataFrame
) -> None:
    states = states_of(market, reports)
    for month in pd.to_datetime(["2005-01-01", "2007-02-01", "2008-12-01", "2010-09-01"]):
        alone = pd.DatetimeIndex([month])
        span = pd.date_range(shift(month, -months_needed(MODEL)), month, freq="MS")
        since = shift(month, -report_months(MODEL))
        released = reports[
            (reports["release_date"] >= since) & (reports["release_date"] < shift(month, 1))
        ]
        found = build_states(MODEL, in_months(market, span), alone, released)
        assert found.equals(in_months(states, alone).reset_index(drop=True))
        assert found[found["ticker"] == "HOG"]["cot_index"].notna().all()


def test_the_months_before_a_month_contain_its_reports_in_spite_of_every_interruption() -> None:
    released = release_dates(pd.date_range("1999-01-05", "2027-12-28", freq="7D"))
    for month in pd.date_range("2005-01-01", "2027-12-01", freq="MS"):
        since = shift(month, -months_of_reports(MODEL.weeks))
        assert ((released >= since) & (released < month)).sum() >= MODEL.weeks


def test_it_follows_the_commercials_at_extremes_only() -> None:
    index = [0, 10, 20, 20.1, 50, 79.9, 80, 100, np.nan, np.nan]
    close = [1.0] * 9 + [np.nan]
    expected = [-1, -0.8, -0.6, 0, 0, 0, 0.6, 1, 0, np.nan]
    assert np.allclose(opinions(MODEL, cot_index=index, close=close), expected, equal_nan=True)
    always = CommitmentsOfTraders(extreme=0.0)
    assert opinions(always, cot_index=[45.0, 60.0], close=[1.0, 1.0]) == [-0.1, 0.2]


@pytest.mark.parametrize("fault", [{"weeks": 1}, {"extreme": 50.0}, {"stale": 0}])
def test_unusable_parameters_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need weeks >= 2, 0 <= extreme < 50 and stale > 0"):
        CommitmentsOfTraders(**fault)
