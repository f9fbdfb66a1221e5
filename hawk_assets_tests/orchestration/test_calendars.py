"""New York, Tokyo and markets that never close on one desk; all of it through Dagster."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from hawk_assets.commands.explain import explain
from hawk_assets.commands.runs import run_stage
from hawk_assets.commands.show import latest_book
from hawk_assets.core.sessions import market_sessions
from hawk_assets.orchestration.catalog import (
    ATTRIBUTION,
    COMBINED_INSIGHTS,
    COMBINED_PERFORMANCE,
    MARKET_DATA,
    insights,
    performance_timeseries,
)
from hawk_assets_tests.pipelines import MODELS, Desk, assert_same, mixed_prices, open_desk
from hawk_assets_tests.simulation import oracle

MONTHS = pd.date_range("2019-01-01", "2019-09-01", freq="MS")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Prices that end on a Sunday, on which only two tickers have a close."""
    prices = mixed_prices()
    prices = prices[prices["date"] <= "2019-09-29"]
    folder = tmp_path_factory.mktemp("mixed")
    with open_desk(folder, prices, "2019-09", "2019-01") as desk:
        assert desk.backfill() == {}
        yield desk


def test_every_account_agrees_with_the_independent_simulator(desk: Desk) -> None:
    tables, simulation = desk.tables(), desk.settings.simulation
    accounts = [
        (performance_timeseries(m.name), insights(m.name), simulation.of_models) for m in MODELS
    ]
    accounts += [(COMBINED_PERFORMANCE, COMBINED_INSIGHTS, simulation.of_book)]
    for account, traded, parameters in accounts:
        expected = oracle.simulate(tables[traded], tables[MARKET_DATA], MONTHS, parameters)
        found = tables[account]
        assert found["date"].tolist() == market_sessions(tables[MARKET_DATA]).tolist()
        for column in ("portfolio_value", "volume_traded", "daily_slippage_cost"):
            np.testing.assert_allclose(found[column], expected[column], atol=1e-3, rtol=1e-9)
        assert found["volume_traded"].sum() > 1e6


def test_months_one_by_one_without_the_rows_that_have_no_price_equal_one_go(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Rows without any price are market data and states, and nothing downstream."""
    tables = desk.tables()
    priced = market_sessions(mixed_prices())
    prices = mixed_prices()[lambda t: t["date"].isin(priced) & (t["date"] <= "2019-09-29")]
    assert len(prices) < len(tables[MARKET_DATA])
    folder = tmp_path_factory.mktemp("by_month")
    with open_desk(folder, prices, "2019-09", "2019-01") as other:
        catalog = list(other.pipeline.catalog.values())
        for month in other.pipeline.months:
            assert run_stage(other.pipeline, other.instance, catalog, month, month).failed == {}
        found = other.tables()
    raw = ("market_data", "model_states")
    assert_same(*({k: t for k, t in side.items() if k[0] not in raw} for side in (found, tables)))


def test_the_attribution_adds_up_to_the_return_of_the_account(desk: Desk) -> None:
    """Before costs; but the first move of a ticker after a month without a close is nobody's.

    NY_HALT has none in June; the account loses with it on the first price of July.
    """
    tables = desk.tables()
    account = tables[COMBINED_PERFORMANCE]
    bars = tables[MARKET_DATA][lambda t: (t["ticker"] == "NY_HALT") & t["close"].notna()]
    reopens = bars.loc[bars["date"] >= "2019-06-01", "date"].min()
    assert reopens > pd.Timestamp("2019-07-01")
    costs = account["daily_slippage_cost"] / account["portfolio_value"]
    month = account["date"].dt.to_period("M").dt.to_timestamp()
    closes = bars.set_index("date")["close"]
    move = closes[reopens] / closes[closes.index < reopens].iloc[-1] - 1
    before = account[account["date"] < reopens].iloc[-1]
    lost = dict(before["positions"])["NY_HALT"] / before["portfolio_value"] * move
    earned = (account["daily_return"] + costs).groupby(month).sum()
    earned[pd.Timestamp("2019-07-01")] -= lost
    found = tables[ATTRIBUTION].groupby("month")["gross_return"].sum()
    np.testing.assert_allclose(found, earned.loc[found.index], atol=2e-5)
    assert abs(lost) > 1e-3 < found.abs().max()


def test_the_orders_of_a_sunday_are_still_those_of_the_exchanges(desk: Desk) -> None:
    book = latest_book(desk.pipeline, desk.instance)
    assert (book["session"], book["held_on"]) == ("2019-09-29",) * 2
    orders = {row["ticker"]: row for row in book["orders"]}
    assert orders["NY_FULL"]["last_close"] == orders["TK_FULL"]["last_close"] == "2019-09-27"
    assert orders["COIN"]["last_close"] == "2019-09-29"
    account = desk.tables()[COMBINED_PERFORMANCE].set_index("date")["positions"]
    friday, sunday = (dict(account[f"2019-09-{day}"]) for day in (27, 29))
    for ticker in ("NY_FULL", "NY_HALT", "TK_FULL", "TK_HOLE"):
        assert sunday.get(ticker) == friday.get(ticker)
        row = orders[ticker]
        assert row["order"] == row["target"] - row["held"] != 0
    assert sunday["COIN"] != friday["COIN"]


def test_an_explanation_on_a_sunday_shows_what_friday_s_signal_saw(desk: Desk) -> None:
    for model in explain(desk.pipeline, "NY_FULL")["models"]:
        assert (model["decided"], model["last_close"]) == ("2019-09-29", "2019-09-27")
        assert model["bars"][-1]["date"] == "2019-09-27"
        assert model["state"]
