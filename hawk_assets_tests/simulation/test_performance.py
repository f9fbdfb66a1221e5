import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.errors import DataError, MissingMonthError, SimulationError
from hawk_assets.core.schemas import (
    PERFORMANCE_TIMESERIES_SCHEMA,
    POSITIONS,
    SIMULATION_COLUMNS,
    validate,
)
from hawk_assets.core.sessions import in_months, sessions_of
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.performance import pending_orders, simulate
from hawk_assets_tests.simulation import oracle
from hawk_assets_tests.simulation.samples import long, months_of, random_insights, random_market

FREE = SimulationParameters(slippage_bps=0.0)
COSTS = [
    SimulationParameters(slippage_bps=0.0, execution_lag=0),
    SimulationParameters(slippage_bps=1.0),
    SimulationParameters(slippage_bps=10.0, execution_lag=3),
    SimulationParameters(20_000.0, 5.0, "ibkr_pro_fixed"),
]


def assert_same(actual, expected, initial_value=1e6, atol=1e-9):
    """Equal to 1e-9: dollars relative to the start capital, other numbers absolutely."""
    np.testing.assert_array_equal(actual["date"], expected["date"])
    for column in SIMULATION_COLUMNS:
        unit = initial_value if column in IN_DOLLARS else 1.0
        np.testing.assert_allclose(
            actual[column] / unit, expected[column] / unit, atol=atol, rtol=0, err_msg=column
        )
    wide = [
        pd.DataFrame([dict(pairs) for pairs in table["positions"]]).fillna(0.0)
        for table in (actual, expected)
    ]
    left, right = wide[0].align(wide[1], fill_value=0.0)
    np.testing.assert_allclose(left / initial_value, right / initial_value, atol=atol, rtol=0)


IN_DOLLARS = ("portfolio_value", "volume_traded", "daily_slippage_cost", "daily_commission_cost")


def in_ranges(insights, market_data, months, cuts, parameters):
    """Simulate range by range, each from the input that it may see."""
    tables, previous, before = [], None, months[:0]
    for start, stop in pairwise([0, *cuts, len(months)]):
        asked = months[start:stop]
        seen = before.append(asked)
        table = simulate(
            "book",
            in_months(insights, seen),
            in_months(market_data, seen),
            asked,
            previous,
            parameters,
        )
        tables.append(table)
        previous, before = in_months(table, asked[-1:]), asked[-1:]
    return pd.concat(tables, ignore_index=True)


def wide_book(closes, weights, start="2024-01-01"):
    """market_data and insights of dates x tickers; None is no bar, or no order."""
    dates = pd.bdate_range(start, periods=len(next(iter(closes.values()))))
    market_data = long(pd.DataFrame(closes, dates, dtype=float), "close").dropna()
    insights = long(pd.DataFrame(weights, dates, dtype=float), "weight").dropna()
    return insights, market_data, dates


# --- the engine's accounting, the lag and the holes, against an independent simulator


@pytest.mark.parametrize("parameters", COSTS, ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_a_book_agrees_with_an_independent_simulator(seed, parameters):
    rng = np.random.default_rng(seed)
    market_data = random_market(rng, n_sessions=70, n_tickers=5)
    insights = random_insights(rng, market_data, gross=rng.uniform(0.3, 2.5))
    months = months_of(market_data)
    table = simulate("book", insights, market_data, months, None, parameters)
    expected = oracle.simulate(insights, market_data, months, parameters)
    assert expected["volume_traded"].sum() > 0
    assert_same(table, expected, parameters.initial_value)


@pytest.mark.parametrize("parameters", COSTS, ids=str)
@pytest.mark.parametrize("seed", range(7))
def test_months_chained_one_by_one_or_in_ranges_equal_the_full_run(seed, parameters):
    rng = np.random.default_rng(100 + seed)
    market_data = random_market(rng, n_sessions=120, n_tickers=5)
    insights = random_insights(rng, market_data, gross=rng.uniform(0.3, 2.5))
    months = months_of(market_data)
    full = simulate("book", insights, market_data, months, None, parameters)
    single = in_ranges(insights, market_data, months, range(1, len(months)), parameters)
    several = in_ranges(insights, market_data, months, [2, 3], parameters)
    assert_same(single, full, parameters.initial_value)
    assert_same(several, full, parameters.initial_value)


def test_a_single_row_of_pairs_is_enough_to_restart():
    rng = np.random.default_rng(7)
    market_data = random_market(rng, n_sessions=60, n_tickers=4)
    insights = random_insights(rng, market_data, gross=1.0)
    months = months_of(market_data)
    full = simulate("book", insights, market_data, months, None, FREE)
    previous = in_months(full, months[:2])[-1:]
    previous = previous.assign(positions=[list(previous["positions"].iloc[0])])
    assert previous["positions"].dtype == object
    later = simulate("book", insights, market_data, months[2:], previous, FREE)
    assert_same(later, in_months(full, months[2:]))


def test_the_table_conforms_to_its_schema():
    rng = np.random.default_rng(3)
    market_data = random_market(rng, n_sessions=40, n_tickers=3)
    insights = random_insights(rng, market_data, gross=1.0)
    table = simulate("book", insights, market_data, months_of(market_data), None, COSTS[1])
    pd.testing.assert_frame_equal(validate(PERFORMANCE_TIMESERIES_SCHEMA, table, "here"), table)
    assert table["positions"].dtype == pd.ArrowDtype(POSITIONS)
    assert table["date"].tolist() == sessions_of(market_data["date"]).tolist()


def test_months_without_sessions_are_an_empty_table_of_the_same_types():
    rng = np.random.default_rng(3)
    market_data = random_market(rng, n_sessions=40, n_tickers=3)
    insights = random_insights(rng, market_data, gross=1.0)
    table = simulate("book", insights, market_data, months_of(market_data), None, COSTS[1])
    later = pd.DatetimeIndex(["2031-05-01"])
    empty = simulate("book", insights, market_data, later, table, COSTS[1])
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == table.dtypes.to_dict()
    never = simulate("book", insights[:0], market_data[:0], later, None, COSTS[1])
    assert never.dtypes.to_dict() == table.dtypes.to_dict()


def test_a_month_without_sessions_inside_a_range_is_skipped():
    insights, market_data, dates = wide_book({"AAA": range(10, 80)}, {"AAA": [0.5] * 70})
    months = months_of(market_data)
    hole = ~market_data["date"].between("2024-02-01", "2024-02-29")
    insights, market_data = insights[hole.to_numpy()], market_data[hole]
    full = simulate("book", insights, market_data, months, None, COSTS[1])
    assert full["date"].tolist() == dates[~(dates.month == 2)].tolist()
    previous = in_months(full, months[:1])
    seen = months[[0, 2, 3]]
    later = simulate(
        "book",
        in_months(insights, seen),
        in_months(market_data, seen),
        months[1:],
        previous,
        COSTS[1],
    )
    assert_same(later, full[full["date"] >= "2024-02-01"].reset_index(drop=True))


# --- from cash


def test_every_session_before_the_first_order_is_a_row_of_cash():
    insights, market_data, dates = wide_book(
        {"AAA": [10.0, 11, 12, 13]}, {"AAA": [None, 1.0, None, None]}
    )
    table = simulate("book", insights, market_data, months_of(market_data), None, COSTS[1])
    assert table["date"].tolist() == dates.tolist()
    assert table["portfolio_value"].tolist()[:2] == [1e6, 1e6]
    assert [dict(p) for p in table["positions"]][:2] == [{"cash": 1e6}] * 2
    assert table["daily_slippage_cost"].tolist() == pytest.approx([0, 0, 100, 0])
    assert table["portfolio_value"].iloc[-1] == pytest.approx(1e6 * 13 / 12 - 100)


def test_a_book_without_any_order_stays_in_cash():
    _, market_data, dates = wide_book({"AAA": [10.0, 11, 12]}, {"AAA": [None] * 3})
    insights = pd.DataFrame({"date": dates[:0], "ticker": np.empty(0, object), "weight": []})
    table = simulate("book", insights, market_data, months_of(market_data), None, COSTS[1])
    assert table["portfolio_value"].tolist() == [1e6] * 3
    assert table["daily_return"].tolist() == [0.0] * 3


# --- what an order is


def test_a_date_with_orders_closes_what_it_does_not_name_and_one_without_keeps_it():
    insights, market_data, _ = wide_book(
        {"AAA": [10.0, 20, 20, 20, 20], "BBB": [10.0, 10, 10, 10, 10]},
        {"AAA": [0.5, None, None, None, None], "BBB": [0.25, None, 0.25, None, None]},
    )
    parameters = replace(FREE, execution_lag=0)
    table = simulate("book", insights, market_data, months_of(market_data), None, parameters)
    held = [dict(p) for p in table["positions"]]
    assert held[1] == held[0] | {"AAA": 1e6} == {"AAA": 1e6, "BBB": 2.5e5, "cash": 2.5e5}
    assert held[2] == held[4] == {"BBB": 3.75e5, "cash": 1.125e6}


def test_a_weekend_target_trades_at_the_next_close_and_replaces_that_of_friday():
    friday, saturday = pd.Timestamp("2024-01-05"), pd.Timestamp("2024-01-06")
    _, market_data, _ = wide_book({"AAA": [10.0] * 12}, {"AAA": [None] * 12})
    monday = pd.Timestamp("2024-01-08")
    for decided, bought in [([friday], 4e5), ([saturday], 5e5), ([friday, saturday], 5e5)]:
        weight = {friday: 0.4, saturday: 0.5}
        insights = pd.DataFrame(
            {"date": decided, "ticker": "AAA", "weight": [weight[d] for d in decided]}
        )
        table = simulate("book", insights, market_data, months_of(market_data), None, FREE)
        traded = table[table["volume_traded"] > 0]
        assert traded["date"].tolist() == [monday]
        assert traded["volume_traded"].tolist() == pytest.approx([bought])


def test_the_pending_orders_are_the_latest_of_each_ticker_that_has_not_traded():
    insights, market_data, dates = wide_book(
        {"AAA": [10.0] * 4 + [None], "BBB": [5.0] * 5},
        {"AAA": [1, 2, 3, 4, None], "BBB": [0, 5, 6, 0, None]},
    )
    latest = pending_orders(insights, market_data, lag=1)
    assert latest.to_dict("list") == {"date": [dates[3]], "ticker": ["AAA"], "weight": [4.0]}
    both = pending_orders(insights, market_data, lag=2)
    assert both[["ticker", "weight"]].to_dict("list") == {
        "ticker": ["AAA", "BBB"],
        "weight": [4.0, 0.0],
    }
    assert pending_orders(insights, market_data[:-1], lag=1)["weight"].tolist() == [4.0, 0.0]
    nothing = pending_orders(insights, market_data, lag=0)
    assert len(nothing) == 0
    assert nothing.dtypes.to_dict() == latest.dtypes.to_dict()


def test_a_pending_order_of_a_month_trades_on_the_first_session_of_the_next():
    n = 25
    weights = [None] * n
    weights[22] = 0.4  # 2024-01-31
    insights, market_data, dates = wide_book({"AAA": [10.0] * n}, {"AAA": weights})
    months = months_of(market_data)
    january = simulate("book", insights, market_data, months[:1], None, FREE)
    assert january["volume_traded"].sum() == 0
    pending = pending_orders(insights, market_data[market_data["date"] <= dates[22]], lag=1)
    assert pending.to_dict("list") == {"date": [dates[22]], "ticker": ["AAA"], "weight": [0.4]}
    february = simulate("book", insights, market_data, months[1:], january, FREE)
    assert february["volume_traded"].tolist() == pytest.approx([4e5, 0.0])


# --- no look-ahead


def reversal_insights(market_data):
    close = market_data.pivot(index="date", columns="ticker", values="close")
    weight = -np.sign(np.log(close).diff()) / close.shape[1]
    return long(weight.fillna(0.0), "weight"), close


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_a_signal_of_the_close_earns_the_return_after_its_trade_and_no_earlier(lag):
    rng = np.random.default_rng(5)
    dates = pd.bdate_range("2024-01-01", periods=80)
    shock = rng.normal(0, 0.01, 80)
    returns = shock - 0.8 * np.r_[0.0, shock[:-1]]
    market_data = long(pd.DataFrame({"AAA": 50 * np.exp(returns.cumsum())}, dates), "close")
    insights, close = reversal_insights(market_data)
    parameters = replace(FREE, execution_lag=lag)
    table = simulate("book", insights, market_data, months_of(market_data), None, parameters)
    change = close["AAA"].pct_change()
    earned = (-np.sign(change).shift(lag + 1) * change).fillna(0.0)
    np.testing.assert_allclose(table["daily_return"], earned, atol=1e-12)
    # Reversal earns only if it trades at the close of its own signal.
    assert (table["daily_return"].sum() > 0.2) == (lag == 0)


def test_prices_and_insights_after_a_day_change_nothing_up_to_it():
    rng = np.random.default_rng(11)
    market_data = random_market(rng, n_sessions=60, n_tickers=5)
    insights = random_insights(rng, market_data, gross=1.5)
    months = months_of(market_data)
    table = simulate("book", insights, market_data, months, None, COSTS[1])
    for day in table["date"].iloc[[10, 25, 40]]:
        prices, targets = market_data.copy(), insights.copy()
        later = prices["date"] > day
        prices.loc[later, "close"] *= rng.uniform(0.9, 1.1, later.sum())
        later = targets["date"] >= day
        targets.loc[later, "weight"] *= rng.uniform(-1, 1, later.sum())
        other = simulate("book", targets, prices, months, None, COSTS[1])
        past = table["date"] <= day
        assert_same(other[past], table[past], atol=1e-12)
        assert abs(other["daily_return"] - table["daily_return"])[~past].max() > 1e-4


# --- holes


def test_a_held_ticker_without_a_bar_is_valued_at_its_last_close():
    insights, market_data, _ = wide_book(
        {"AAA": [10.0, 10, None, None, 15, 15], "BBB": [1.0] * 6},
        {"AAA": [0.5] + [None] * 5},
    )
    table = simulate("book", insights, market_data, months_of(market_data), None, FREE)
    assert table["portfolio_value"].tolist() == pytest.approx([1e6] * 4 + [1.25e6] * 2)


def test_a_delisted_ticker_is_kept_at_its_last_close():
    insights, market_data, _ = wide_book(
        {"AAA": [10.0, 10, 12, None, None, None], "BBB": [1.0] * 6},
        {"AAA": [0.5, 0.5, 0.5, None, None, None], "BBB": [0.1] * 6},
    )
    table = simulate("book", insights, market_data, months_of(market_data), None, FREE)
    held = [dict(p).get("AAA") for p in table["positions"]]
    assert held == [None, 5e5, *[pytest.approx(5.5e5)] * 4]
    assert len(set(held[2:])) == 1, "the same in every bit"
    assert table["portfolio_value"].iloc[-1] == pytest.approx(1.1e6)


def test_a_ticker_listed_later_changes_nothing_before():
    closes = {"AAA": [10.0, 11, 12, 13, 14], "NEW": [None, None, None, 5, 6]}
    weights = {"AAA": [0.5] * 5, "NEW": [0.0, 0, 0, 0.3, 0.3]}
    insights, market_data, _ = wide_book(closes, weights)
    months = months_of(market_data)
    table = simulate("book", insights, market_data, months, None, COSTS[1])
    old = market_data["ticker"] == "AAA"
    alone = simulate("book", insights[insights["ticker"] == "AAA"], market_data[old], months,
                     None, COSTS[1])  # fmt: skip
    assert_same(table[:4], alone[:4], atol=1e-14)
    value = 1e6 * (1 + 0.5 / 11) * (1 + 0.5 / 12) * (1 + 0.5 / 13)
    assert dict(table["positions"].iloc[4])["NEW"] == pytest.approx(0.3 * value, rel=1e-3)


# --- errors


def test_an_order_before_the_first_close_waits_for_it():
    insights, market_data, _ = wide_book(
        {"AAA": [10.0] * 5, "NEW": [None, None, None, 5, 6]},
        {"AAA": [0.5] * 5, "NEW": [0.0, 0.1, 0.1, 0.1, 0.1]},
    )
    table = simulate("book", insights, market_data, months_of(market_data), None, FREE)
    held = [dict(p).get("NEW") for p in table["positions"]]
    assert held == [None, None, None, pytest.approx(1e5), pytest.approx(1.02e5)]


def test_a_position_without_a_close_in_the_month_before_is_refused():
    n = 25
    insights, market_data, _ = wide_book({"AAA": [10.0] * n, "BBB": [2.0] * n}, {"AAA": [0.5] * n})
    months = months_of(market_data)
    january = simulate("book", insights, market_data, months[:1], None, FREE)
    gone = market_data[market_data["ticker"] == "BBB"]
    with pytest.raises(
        SimulationError, match=r"^book: AAA is held on 2024-01-31 .*load market_data"
    ):
        simulate("book", insights, gone, months[1:], january, FREE)


def test_a_restart_from_anything_but_the_last_session_is_refused():
    n = 50
    insights, market_data, _ = wide_book({"AAA": [10.0] * n}, {"AAA": [0.5] * n})
    months = months_of(market_data)
    full = simulate("book", insights, market_data, months, None, FREE)
    early = in_months(full, months[:1])
    with pytest.raises(MissingMonthError, match=r"ends on 2024-01-31, but .* 2024-02-29"):
        simulate("book", insights, market_data, months[2:], early, FREE)
    alone = in_months(market_data, months[1:])
    with pytest.raises(MissingMonthError, match=r"ends on 2024-01-31, but .* not in market_data"):
        simulate("book", insights, alone, months[1:], early, FREE)


def test_two_rows_for_one_date_and_ticker_are_refused():
    insights, market_data, _ = wide_book({"AAA": [10.0] * 3}, {"AAA": [0.5] * 3})
    months = months_of(market_data)
    with pytest.raises(DataError, match="weight of AAA on 2024-01-02 is given more than once"):
        simulate("book", insights.iloc[[0, 1, 1]], market_data, months, None, FREE)
    with pytest.raises(DataError, match="close of AAA on 2024-01-03 is given more than once"):
        simulate("book", insights, market_data.iloc[[0, 2, 2]], months, None, FREE)


@pytest.mark.parametrize(
    ("closes", "weights", "message"),
    [
        ([10.0, 0.0, 10.0], [0.5] * 3, r"price of AAA on 2024-01-02 is 0\.0"),
        ([10.0, np.inf, 10.0], [0.5] * 3, "price of AAA on 2024-01-02 is inf"),
        ([10.0, 10.0, 10.0], [0.5, np.inf, 0.5], "weight of AAA on 2024-01-03 is inf"),
        ([10.0, 10.0, 4.0], [2.0, 2.0, 2.0], "bankrupt on 2024-01-03"),
    ],
)
def test_unusable_input_of_the_engine_names_the_book(closes, weights, message):
    insights, market_data, _ = wide_book({"AAA": closes}, {"AAA": weights})
    with pytest.raises(SimulationError, match=f"^book: .*{message}"):
        simulate("book", insights, market_data, months_of(market_data), None, FREE)


def test_a_missing_weight_is_refused_and_does_not_count_as_zero():
    insights, market_data, _ = wide_book({"AAA": [10.0] * 3}, {"AAA": [0.5] * 3})
    insights.loc[1, "weight"] = np.nan
    with pytest.raises(SimulationError, match="weight of AAA on 2024-01-03 is nan"):
        simulate("book", insights, market_data, months_of(market_data), None, FREE)


def test_a_ticker_called_cash_is_refused():
    insights, market_data, _ = wide_book({"cash": [10.0] * 3}, {"cash": [0.5] * 3})
    with pytest.raises(SimulationError, match="'cash'"):
        simulate("book", insights, market_data, months_of(market_data), None, FREE)


# --- real prices

REAL = Path(
    os.environ.get("HAWK_TEST_REAL_PRICES")
    or Path(__file__).parents[3] / "shared" / "data" / "us12_ohlcv.parquet"
)
real = pytest.mark.skipif(not REAL.exists(), reason="HAWK_TEST_REAL_PRICES names no file")


@pytest.fixture(scope="module")
def real_prices():
    prices = pd.read_parquet(REAL)
    prices["date"] = prices["date"].astype("datetime64[ns]")
    return prices[prices["date"].between("2008-01-01", "2011-12-31")].reset_index(drop=True)


@real
def test_momentum_on_real_prices_agrees_with_the_independent_simulator_in_full_and_by_month(
    real_prices,
):
    close = real_prices.pivot(index="date", columns="ticker", values="close")
    signal = np.sign(close.pct_change(60, fill_method=None)).fillna(0.0)
    insights = long(signal / close.shape[1], "weight")
    months = months_of(real_prices)
    parameters = SimulationParameters(fee_model="ibkr_pro_fixed")
    full = simulate("momentum", insights, real_prices, months, None, parameters)
    assert_same(full, oracle.simulate(insights, real_prices, months, parameters))
    chained = in_ranges(insights, real_prices, months, range(1, len(months)), parameters)
    assert_same(chained, full)


@real
def test_reversal_on_real_prices_earns_what_is_left_after_the_lag(real_prices):
    funds = real_prices[real_prices["ticker"].isin(["SPY", "IWM", "EEM"])]
    insights, close = reversal_insights(funds)
    change = close.pct_change()
    sharpe = []
    for lag in (0, 1):
        parameters = replace(FREE, execution_lag=lag)
        table = simulate("reversal", insights, funds, months_of(funds), None, parameters)
        earned = (-np.sign(change).shift(lag + 1) * change / 3).sum(axis=1)
        np.testing.assert_allclose(table["daily_return"], earned, atol=1e-12)
        sharpe.append(earned.mean() / earned.std() * 252**0.5)
    assert sharpe[0] > 2 * sharpe[1] > 0
