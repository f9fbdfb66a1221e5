"""Tickers with calendars of their own in one book: each trades at its own closes only."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.sessions import market_sessions, month_starts
from hawk_assets.simulation.performance import simulate
from hawk_assets_tests.markets import mixed_market
from hawk_assets_tests.simulation import oracle
from hawk_assets_tests.simulation.samples import long, months_of, random_insights
from hawk_assets_tests.simulation.test_performance import COSTS, FREE, assert_same, in_ranges

MARKET = mixed_market(years=0.8)[["date", "ticker", "close"]]
MONTHS = months_of(MARKET)
LAGS = (0, 1, 2, 5)


def book(seed, market_data=MARKET):
    """Orders on sessions of any ticker, complete and sparse, a few on days without any session."""
    rng = np.random.default_rng(seed)
    insights = random_insights(rng, market_data, gross=rng.uniform(0.3, 1.5))
    return insights.drop_duplicates(["date", "ticker"], ignore_index=True)


def wide_positions(table):
    wide = pd.DataFrame([dict(pairs) for pairs in table["positions"]], index=table["date"])
    return wide.drop(columns="cash").fillna(0.0)


def closes_of(market_data):
    wide = market_data.pivot(index="date", columns="ticker", values="close")
    return wide.loc[market_sessions(market_data)]


@pytest.mark.parametrize("parameters", COSTS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_mixed_calendars_agree_with_the_independent_simulator(seed, parameters):
    insights = book(seed)
    table = simulate("book", insights, MARKET, MONTHS, None, parameters)
    expected = oracle.simulate(insights, MARKET, MONTHS, parameters)
    assert expected["volume_traded"].sum() > 0
    assert_same(table, expected, parameters.initial_value)


@pytest.mark.parametrize("parameters", [*COSTS, replace(FREE, execution_lag=15)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_mixed_calendars_by_month_equal_the_full_run(seed, parameters):
    """The halt of ten weeks and the delisting cross several restarts."""
    insights = book(50 + seed)
    full = simulate("book", insights, MARKET, MONTHS, None, parameters)
    single = in_ranges(insights, MARKET, MONTHS, range(1, len(MONTHS)), parameters)
    several = in_ranges(insights, MARKET, MONTHS, [2, 5], parameters)
    for table in (single, several):
        assert_same(table, full, parameters.initial_value)
        for column in ("last_closes", "waiting_orders"):
            for ours, theirs in zip(table[column], full[column], strict=True):
                np.testing.assert_equal(dict(ours), dict(theirs))
    assert max(map(len, full["last_closes"])) >= 2


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("seed", range(3))
def test_no_position_changes_on_a_day_without_a_close_of_its_ticker(seed, lag):
    table = simulate("book", book(seed), MARKET, MONTHS, None, replace(COSTS[1], execution_lag=lag))
    positions = wide_positions(table)
    closed = closes_of(MARKET)[positions.columns].isna().to_numpy()
    before, after = positions.to_numpy()[:-1], positions.to_numpy()[1:]
    same = (before == after)[closed[1:]]
    assert same.all()
    assert (after[closed[1:]] != 0).sum() > 100


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("seed", range(3))
def test_a_trade_fills_the_latest_decision_before_the_close_that_is_the_lag_earlier(seed, lag):
    """Ticker by ticker: the position after a close is a decision older than that close, or none."""
    insights = book(seed)
    table = simulate("book", insights, MARKET, MONTHS, None, replace(FREE, execution_lag=lag))
    positions, closes = wide_positions(table), closes_of(MARKET)
    value = dict(zip(table["date"], table["portfolio_value"], strict=True))  # without costs
    decisions = insights.pivot(index="date", columns="ticker", values="weight").fillna(0.0)
    filled = 0
    for ticker in positions:
        own = closes[ticker].dropna()
        for i in range(lag + 1, len(own)):
            # The decisions whose ``lag``-th close this is.
            if lag == 0:
                due = (decisions.index > own.index[i - 1]) & (decisions.index <= own.index[i])
            else:
                due = decisions.index >= own.index[i - lag]
                due &= decisions.index < own.index[i - lag + 1]
            held, day = positions.at[own.index[i], ticker], own.index[i]
            if due.any():
                weight = decisions.loc[due, ticker].iloc[-1] if ticker in decisions else 0.0
                assert held / value[day] == pytest.approx(weight, abs=1e-12)
                filled += weight != 0
            else:
                drifted = positions.at[own.index[i - 1], ticker] * own.iloc[i] / own.iloc[i - 1]
                assert held == pytest.approx(drifted, rel=1e-12)
    assert filled > 200


@pytest.mark.parametrize("lag", [1, 3])
def test_the_prices_up_to_a_decision_do_not_touch_the_trades_that_it_leads_to(lag):
    """A close on the day of a decision, or before, is never the price of its execution."""
    one = pd.Timestamp("2019-03-15")  # a Friday
    insights = pd.DataFrame({"date": one, "ticker": sorted(set(MARKET["ticker"])), "weight": 0.1})
    parameters = replace(FREE, execution_lag=lag)
    table = simulate("book", insights, MARKET, MONTHS, None, parameters)
    noisy = MARKET.copy()
    past = noisy["date"] <= one
    noisy.loc[past, "close"] *= np.random.default_rng(1).uniform(0.5, 2.0, past.sum())
    assert_same(simulate("book", insights, noisy, MONTHS, None, parameters), table)


@pytest.mark.parametrize("parameters", COSTS[1:3], ids=str)
def test_a_market_cut_off_at_any_day_gives_the_same_rows_before_it(parameters):
    insights = book(9)
    full = simulate("book", insights, MARKET, MONTHS, None, parameters)
    for day in full["date"].iloc[[20, 33, 61, 120, 170, 250]]:
        table = simulate(
            "book",
            insights[insights["date"] <= day],
            MARKET[MARKET["date"] <= day],
            MONTHS[day >= MONTHS],
            None,
            parameters,
        )
        past = full[: len(table)]
        assert table["date"].iloc[-1] == day
        assert_same(table, past, atol=1e-12)
        for column in ("last_closes", "waiting_orders"):
            for ours, theirs in zip(table[column], past[column], strict=True):
                np.testing.assert_equal(dict(ours), dict(theirs))


@pytest.mark.parametrize("seed", range(4))
def test_rows_without_a_price_and_tickers_that_nobody_holds_change_nothing(seed):
    """One exchange alone, and the same beside markets that are open on other days."""
    funds = MARKET[MARKET["ticker"].isin(["NY_FULL", "NY_HOLE", "NY_HALT"])].dropna()
    insights = book(seed, funds)
    alone = simulate("book", insights, funds, MONTHS, None, COSTS[3])
    every_day = pd.date_range(MONTHS[0], MARKET["date"].max(), freq="D")
    blank = pd.DataFrame({"date": every_day, "ticker": "BLANK", "close": np.nan})
    phantom = simulate("book", insights, pd.concat([funds, blank]), MONTHS, None, COSTS[3])
    assert_same(phantom, alone, COSTS[3].initial_value, atol=1e-12)

    beside = simulate("book", insights, MARKET, MONTHS, None, COSTS[3])
    assert len(beside) > len(alone)
    same = beside[beside["date"].isin(alone["date"])].reset_index(drop=True)
    for column in ("portfolio_value", "volume_traded", "cumulative_return", "drawdown"):
        np.testing.assert_allclose(same[column], alone[column], rtol=1e-9, atol=1e-9)
    extra = beside[~beside["date"].isin(alone["date"])]
    assert (extra["daily_return"].abs() < 1e-12).all()
    assert (extra["volume_traded"] == 0).all()


def test_a_market_that_agrees_on_its_days_is_traded_as_one_portfolio():
    """The engine's input is the decisions themselves, one session later."""
    rng = np.random.default_rng(2)
    dates = pd.bdate_range("2024-01-01", periods=60)
    close = pd.DataFrame(100 * np.exp(rng.normal(0, 0.01, (60, 3)).cumsum(0)), dates, list("ABC"))
    weight = pd.DataFrame(rng.normal(0, 0.3, (60, 3)), dates, list("ABC"))
    market_data, insights = long(close, "close"), long(weight, "weight")
    table = simulate("book", insights, market_data, months_of(market_data), None, FREE)
    move = close.pct_change().to_numpy()
    np.testing.assert_allclose(
        table["daily_return"].to_numpy()[2:],
        (weight.to_numpy()[:-2] * move[2:]).sum(axis=1),
        atol=1e-12,
    )
    assert not any(len(m) for c in ("last_closes", "waiting_orders") for m in table[c])


DAYS = pd.date_range("2019-10-01", "2020-03-20", freq="D")
WEEKDAYS = DAYS[DAYS.weekday < 5]
ODD_CALENDARS = {
    "FULL": WEEKDAYS,
    "ONE_DAY": DAYS[[51]],
    "SECOND": WEEKDAYS[::2],
    "NO_MONTH_END": WEEKDAYS[(WEEKDAYS.day > 3) & (WEEKDAYS.day < 27)],
    "NO_YEAR_END": WEEKDAYS[(WEEKDAYS < "2019-12-20") | (WEEKDAYS > "2020-02-10")],
    "DELISTED": WEEKDAYS[:40],
    "FRIDAYS": DAYS[DAYS.weekday == 4],
    "SUNDAYS": DAYS[DAYS.weekday == 6],
    "MONTHLY": DAYS[DAYS.day == 15],
    "LATE": WEEKDAYS[90:],
    "COIN": DAYS,
}


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize(
    "tickers",
    [list(ODD_CALENDARS), ["FRIDAYS"], ["FRIDAYS", "SUNDAYS"], ["ONE_DAY"], ["MONTHLY", "FULL"]],
    ids=" ".join,
)
def test_odd_calendars_agree_with_the_independent_simulator_and_by_month(tickers, lag):
    rng = np.random.default_rng(len(tickers) + lag)
    rows = []
    for ticker in tickers:
        own = ODD_CALENDARS[ticker]
        close = 100 * np.exp(rng.normal(0, 0.03, len(own)).cumsum())
        close[rng.random(len(own)) < 0.05 * (len(own) > 1)] = np.nan
        rows.append(pd.DataFrame({"date": own, "ticker": ticker, "close": close}))
    market_data = pd.concat(rows, ignore_index=True)
    sessions = market_sessions(market_data)
    decided = pd.MultiIndex.from_product([sessions, tickers], names=["date", "ticker"])
    weight = rng.normal(0, 0.15, len(decided)) * (rng.random(len(decided)) < 0.6)
    insights = pd.DataFrame({"weight": weight}, index=decided).reset_index()
    insights = insights[insights["date"].isin(sessions[rng.random(len(sessions)) < 0.3])]
    if insights.empty:
        insights = one_order(sessions[0], tickers[0], 0.5)
    parameters, months = replace(COSTS[3], execution_lag=lag), months_of(market_data)
    months = months[months.isin(month_starts(sessions))]
    full = simulate("book", insights, market_data, months, None, parameters)
    assert_same(full, oracle.simulate(insights, market_data, months, parameters), 1e6)
    by_month = in_ranges(insights, market_data, months, range(1, len(months)), parameters)
    assert_same(by_month, full, 1e6)
    for column in ("last_closes", "waiting_orders"):
        for ours, theirs in zip(by_month[column], full[column], strict=True):
            np.testing.assert_equal(dict(ours), dict(theirs))


# --- halts, one at a time


HALTED = pd.bdate_range("2024-01-01", periods=100)


def halted_market(reopens):
    """OTHER trades on every weekday; HALT at 10 until 2024-01-19, and at 4 from a date on."""
    rows = [(day, "OTHER", 100.0) for day in HALTED]
    rows += [(day, "HALT", 10.0) for day in HALTED if day <= pd.Timestamp("2024-01-19")]
    rows += [(day, "HALT", 4.0) for day in HALTED if day >= pd.Timestamp(reopens)]
    return pd.DataFrame(rows, columns=["date", "ticker", "close"])


def one_order(date, ticker, weight):
    return pd.DataFrame({"date": [pd.Timestamp(date)], "ticker": [ticker], "weight": [weight]})


@pytest.mark.parametrize("reopens", ["2024-01-24", "2024-02-13", "2024-05-02"])
@pytest.mark.parametrize("by_month", [False, True])
def test_a_holding_is_sold_at_the_first_price_after_a_halt(reopens, by_month):
    market_data = halted_market(reopens)
    months = months_of(market_data)
    buy, sell = one_order("2024-01-05", "HALT", 0.5), one_order("2024-01-23", "OTHER", 0.0)
    insights = pd.concat([buy, sell])
    cuts = range(1, len(months)) if by_month else []
    table = in_ranges(insights, market_data, months, cuts, FREE)
    traded = table.loc[table["volume_traded"] > 0.01, ["date", "volume_traded"]]
    assert traded["date"].tolist() == [pd.Timestamp("2024-01-08"), pd.Timestamp(reopens)]
    assert traded["volume_traded"].tolist() == pytest.approx([5e5, 2e5])
    before = table["date"] < pd.Timestamp(reopens)
    assert (table.loc[before, "portfolio_value"] == 1e6).all()
    assert table.loc[~before, "portfolio_value"].tolist() == pytest.approx([7e5] * (~before).sum())


@pytest.mark.parametrize("lag", [1, 2])
@pytest.mark.parametrize("by_month", [False, True])
def test_an_order_waits_for_its_close_however_long_it_takes(lag, by_month):
    market_data = halted_market("2024-05-02")
    months = months_of(market_data)
    insights = one_order("2024-01-22", "HALT", 0.5)
    cuts = range(1, len(months)) if by_month else []
    parameters = replace(FREE, execution_lag=lag)
    table = in_ranges(insights, market_data, months, cuts, parameters)
    traded = table.loc[table["volume_traded"] > 0.01, "date"].tolist()
    assert traded == [pd.Timestamp(["2024-05-02", "2024-05-03"][lag - 1])]
    waits = {f"{row.date:%Y-%m-%d}": dict(row.waiting_orders) for row in table.itertuples()}
    assert waits["2024-01-31"] == {}, "it is among the insights of the month"
    np.testing.assert_equal(waits["2024-04-30"], {"HALT": [np.nan] * (lag - 1) + [0.5]})
    assert waits["2024-05-03"] == {}
    if lag == 2:
        assert waits["2024-05-02"] == {"HALT": [0.5]}


@pytest.mark.parametrize("by_month", [False, True])
def test_a_later_decision_replaces_one_that_still_waits(by_month):
    market_data = halted_market("2024-05-02")
    months = months_of(market_data)
    insights = pd.concat(
        [
            one_order("2024-01-22", "HALT", 0.5),
            one_order("2024-03-05", "HALT", 0.2),
            one_order("2024-05-02", "HALT", 0.3),
        ]
    )
    cuts = range(1, len(months)) if by_month else []
    table = in_ranges(insights, market_data, months, cuts, FREE)
    held = {f"{row.date:%m-%d}": dict(row.positions).get("HALT", 0.0) for row in table.itertuples()}
    assert held["04-30"] == 0.0
    assert held["05-02"] == pytest.approx(2e5)
    assert held["05-03"] == pytest.approx(3e5)
    waits = {f"{row.date:%m-%d}": dict(row.waiting_orders) for row in table.itertuples()}
    assert waits["03-04"] == {"HALT": [0.5]}
    assert waits["03-05"] == {}
    assert waits["04-30"] == {"HALT": [0.2]}


def test_a_table_of_older_code_is_enough_for_a_restart_where_nothing_is_halted():
    market_data = halted_market("2024-01-22")
    insights = pd.concat([one_order("2024-01-05", "HALT", 0.5), one_order("2024-03-05", "HALT", 0)])
    months = months_of(market_data)
    full = simulate("book", insights, market_data, months, None, COSTS[1])
    january = full[full["date"] < months[1]].drop(columns=["last_closes", "waiting_orders"])
    later = simulate("book", insights, market_data, months[1:], january, COSTS[1])
    assert_same(later, full[full["date"] >= months[1]].reset_index(drop=True))
