import subprocess
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kurtosis

from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.sources import sample
from hawk_assets.sources.release import release_dates
from hawk_assets.sources.sample import SampleMarket

START, END = pd.Timestamp("2005-01-01"), pd.Timestamp("2025-01-01")
EVER = (pd.Timestamp("1990-01-01"), pd.Timestamp("2100-01-01"))
PRICES = ["open", "high", "low", "close"]
SPECIAL = [sample.BILL, sample.CONSTANT, sample.VOLATILE]


@cache
def all_bars(seed: int) -> pd.DataFrame:
    return SampleMarket(START, END, seed).fetch_market_data(*EVER)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return all_bars(7)


@pytest.fixture(scope="module")
def reports() -> pd.DataFrame:
    return SampleMarket(START, END).fetch_commitments_of_traders(*EVER)


@pytest.fixture(scope="module")
def returns(bars: pd.DataFrame) -> pd.DataFrame:
    close = bars.pivot(index="date", columns="ticker", values="close")
    return np.log(close).diff()


@pytest.mark.parametrize(
    "end",
    [
        "2001-06-30",
        "2003-01-07",
        "2005-01-01",
        "2005-01-04",
        "2008-02-29",
        "2013-11-04",
        "2019-02-20",
        "2021-12-31",
        "2022-01-01",
    ],
)
def test_a_later_end_only_appends_bit_for_bit(
    bars: pd.DataFrame, reports: pd.DataFrame, end: str
) -> None:
    shorter, known = SampleMarket(START, pd.Timestamp(end)), (EVER[0], pd.Timestamp(end))
    for held, whole, dated in (
        (shorter.fetch_market_data(*EVER), bars, "date"),
        (shorter.fetch_commitments_of_traders(*EVER), reports, "release_date"),
    ):
        expected = whole[whole[dated] < known[1]]
        assert len(held) == len(expected)
        for name in whole.columns:
            if whole[name].dtype == float:
                assert held[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes(), name
            else:
                assert held[name].equals(expected[name].reset_index(drop=True)), name


def test_every_process_generates_the_same_market() -> None:
    months = pd.date_range("2005-01-01", periods=3, freq="MS")
    code = (
        "import pandas as pd; from hawk_assets.sources.sample import SampleMarket as S;"
        "m = S(pd.Timestamp('2005-01-01'), pd.Timestamp('2005-04-01'));"
        "print(*m.versions(pd.date_range('2005-01-01', periods=3, freq='MS')).values())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.split() == list(SampleMarket(START, END).versions(months).values())


def test_a_different_seed_gives_a_different_market() -> None:
    month = (pd.Timestamp("2005-01-01"), pd.Timestamp("2005-02-01"))
    one, two = (SampleMarket(START, month[1], seed).fetch_market_data(*month) for seed in (7, 8))
    assert not one["close"].equals(two["close"])


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_every_bar_is_positive_and_consistent(seed: int) -> None:
    table = all_bars(seed)
    assert (table[PRICES].min() > 0).all()
    full = table.dropna()
    assert (full["low"] <= full[["open", "close"]].min(axis=1)).all()
    assert (full["high"] >= full[["open", "close"]].max(axis=1)).all()
    np.testing.assert_array_equal(full[PRICES], full[PRICES].round(4))
    np.testing.assert_array_equal(full["volume"], full["volume"].round())


def test_it_keeps_the_contract_of_a_source(bars: pd.DataFrame, reports: pd.DataFrame) -> None:
    validate(MARKET_DATA_SCHEMA, bars, "sample")
    validate(COMMITMENTS_OF_TRADERS_SCHEMA, reports, "sample")
    assert list(bars.columns) == list(MARKET_DATA_SCHEMA.columns)
    assert list(reports.columns) == list(COMMITMENTS_OF_TRADERS_SCHEMA.columns)
    assert bars.set_index(["date", "ticker"]).index.is_monotonic_increasing
    assert reports.set_index(["release_date", "contract"]).index.is_monotonic_increasing
    assert "synthetic" in SampleMarket(START).description


def test_a_range_is_half_open(bars: pd.DataFrame, reports: pd.DataFrame) -> None:
    market, a, b = SampleMarket(START, END), pd.Timestamp("2010-03-05"), pd.Timestamp("2010-04-09")
    for held, whole, dated in (
        (market.fetch_market_data(a, b), bars, "date"),
        (market.fetch_commitments_of_traders(a, b), reports, "release_date"),
    ):
        asked = whole[(whole[dated] >= a) & (whole[dated] < b)].reset_index(drop=True)
        pd.testing.assert_frame_equal(held, asked)
        assert held[dated].min() == a
        assert whole[dated].eq(b).any()


def test_a_caller_that_changes_its_frame_does_not_change_the_market(bars: pd.DataFrame) -> None:
    market, month = SampleMarket(START, END), (START, pd.Timestamp("2005-02-01"))
    mine = market.fetch_market_data(*month)
    mine.loc[:, ["open", "close"]] = 1.0
    again = market.fetch_market_data(*month)
    pd.testing.assert_frame_equal(again, bars[: len(again)])


def test_sessions_are_the_weekdays_without_federal_holidays(bars: pd.DataFrame) -> None:
    days = pd.DatetimeIndex(bars["date"].unique())
    assert days[0] == pd.Timestamp("2005-01-03")
    assert days[-1] == pd.Timestamp("2024-12-31")
    of_2024 = days[days.year == 2024]
    closed = pd.bdate_range("2024-01-01", "2024-12-31").difference(of_2024)
    assert [f"{day:%m-%d}" for day in closed] == [
        *("01-01", "01-15", "02-19", "05-27", "06-19", "07-04"),
        *("09-02", "10-14", "11-11", "11-28", "12-25"),
    ]
    assert set(of_2024.dayofweek) == {0, 1, 2, 3, 4}


def test_without_an_end_it_reaches_yesterday() -> None:
    today = sample.today()
    market = SampleMarket(today - pd.Timedelta(days=60))
    bars = market.fetch_market_data(*EVER)
    assert today - pd.Timedelta(days=6) < bars["date"].max() < today
    pd.testing.assert_frame_equal(bars, SampleMarket(market.start, today).fetch_market_data(*EVER))


def test_before_its_start_it_has_reports_but_no_bars() -> None:
    market = SampleMarket(START, pd.Timestamp("2004-12-01"))
    assert market.fetch_market_data(*EVER).empty
    months = pd.date_range("2001-01-01", "2004-12-01", freq="MS")
    versions, latest = market.poll(months)
    assert list(versions) == list(months[months >= "2001-07-01"])[:-1]
    assert latest is None


def test_before_everything_it_is_empty() -> None:
    market = SampleMarket(START, pd.Timestamp("1995-01-01"))
    assert market.fetch_market_data(*EVER).empty
    assert market.fetch_commitments_of_traders(*EVER).empty


def test_listings_and_the_delisting_fall_on_fixed_offsets_from_the_start(
    bars: pd.DataFrame,
) -> None:
    lives = bars.groupby("ticker")["date"].agg(["min", "max"])
    assert list(lives.index) == list(sample.TICKERS)
    for ticker, (first, last) in lives.iterrows():
        born = START + pd.DateOffset(years=sample.YEARS_TO_LISTING.get(ticker, 0))
        gone = START + pd.DateOffset(years=sample.YEARS_TO_DELISTING)
        gone = gone if ticker == sample.DELISTED else END
        assert born <= first < born + pd.Timedelta(days=7), ticker
        assert gone - pd.Timedelta(days=7) < last < gone, ticker


def test_bars_are_missing_and_values_have_holes(bars: pd.DataFrame) -> None:
    present = bars.assign(bar=1).pivot(index="date", columns="ticker", values="bar")
    listed = present.bfill().notna() & present.ffill().notna()
    assert (listed & present.isna()).to_numpy().sum() / listed.to_numpy().sum() == pytest.approx(
        0.003, abs=0.0006
    )
    holes = bars[["high", "low", "close", "volume"]].isna().mean()
    assert ((holes > 0.0002) & (holes < 0.002)).all()
    assert (bars["volume"] == 0).mean() == pytest.approx(0.003, abs=0.0006)
    assert bars["open"].notna().all()


def test_one_price_never_moves_one_hardly_moves_and_one_is_very_volatile(
    bars: pd.DataFrame, returns: pd.DataFrame
) -> None:
    constant = bars.loc[bars["ticker"] == sample.CONSTANT, PRICES].to_numpy()
    assert np.unique(constant[~np.isnan(constant)]).size == 1
    vol = returns.std() * np.sqrt(252)
    assert vol[sample.BILL] == pytest.approx(0.004, rel=0.25)
    assert vol[sample.VOLATILE] == pytest.approx(0.70, rel=0.15)
    assert vol.drop(SPECIAL).between(0.12, 0.45).all()


def test_tails_are_fat_and_volatility_clusters(returns: pd.DataFrame) -> None:
    moving = returns.drop(columns=[sample.CONSTANT])
    assert (kurtosis(moving, fisher=False, nan_policy="omit") > 3.5).all()
    size = moving.abs()
    for lag in (1, 5, 20):
        assert size.apply(lambda ticker, lag=lag: ticker.autocorr(lag)).mean() > 0.05
    assert abs(moving.apply(lambda ticker: ticker.autocorr(1)).mean()) < 0.03


def test_sectors_move_together_more_than_the_market_does(returns: pd.DataFrame) -> None:
    correlation = returns.drop(columns=[sample.BILL, sample.CONSTANT]).corr()
    sector = correlation.columns.str[:3].to_numpy()
    values, alike = correlation.to_numpy(), sector[:, None] == sector
    within = values[alike & ~np.eye(len(sector), dtype=bool)].mean()
    across = values[~alike].mean()
    assert 0.1 < across < within - 0.1


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_drift_and_sharpe_are_those_of_a_stock_market(seed: int) -> None:
    table = all_bars(seed)
    daily = np.log(table.pivot(index="date", columns="ticker", values="close")).diff().mean(axis=1)
    yearly, vol = daily.mean() * 252, daily.std() * np.sqrt(252)
    # Twenty years determine a mean only up to vol / sqrt(20), about 3 % a year.
    assert abs(yearly - 0.06) < 3 * vol / np.sqrt(20)
    assert 0.08 < vol < 0.20
    years = daily.groupby(daily.index.year).sum()
    assert years.min() < 0 < years.max()


def test_reports_are_weekly_and_begin_before_the_bars(reports: pd.DataFrame) -> None:
    assert sorted(reports["contract"].unique()) == list(sample.CONTRACTS)
    one = reports[reports["contract"] == "TEC1"]
    assert (one["release_date"] < START).sum() >= 156
    weeks = one["report_date"].diff().dropna().dt.days
    assert set(weeks) <= {6, 7, 8}
    assert reports["release_date"].max() < END


def test_reports_are_released_when_the_cftc_published_its_reports(reports: pd.DataFrame) -> None:
    expected = release_dates(pd.DatetimeIndex(reports["report_date"]))
    assert list(reports["release_date"]) == list(expected)
    assert (
        reports[["release_date", "contract", "report_date"]]
        .apply(tuple, axis=1)
        .is_monotonic_increasing
    )
    delayed = reports["release_date"] - reports["report_date"] > pd.Timedelta(days=8)
    assert set(reports["report_date"][delayed].dt.year) == {2013, 2018, 2019, 2023}


def test_commercials_go_against_the_move_of_the_last_quarter(
    reports: pd.DataFrame, bars: pd.DataFrame
) -> None:
    close = bars.pivot(index="date", columns="ticker", values="close").ffill()
    past = np.log(close).diff(63).stack().rename("move").reset_index()
    past.columns = ["report_date", "contract", "move"]
    joined = reports.merge(past, on=["report_date", "contract"])
    net = (joined["commercial_long"] - joined["commercial_short"]) / joined["open_interest"]
    others = (joined["noncommercial_long"] - joined["noncommercial_short"]) / joined[
        "open_interest"
    ]
    assert len(joined) > 5000
    assert -0.95 < net.corr(joined["move"]) < -0.5
    assert 0.5 < others.corr(joined["move"]) < 0.95
    for side in ("long", "short"):
        reported = joined[f"commercial_{side}"] + joined[f"noncommercial_{side}"]
        assert (reported <= joined["open_interest"]).all()
