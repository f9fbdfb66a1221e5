from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.insights.builder import (
    HOLD_SESSIONS,
    build_insights,
    months_needed,
    risk_budget,
    sessions_needed,
)

MONTHS = pd.DatetimeIndex(["2020-01-01"])


@dataclass(frozen=True)
class Stored(TradingModel):
    """Its signal is the stored feature, times a factor."""

    factor: float = 1.0
    name = "stored"
    warmup = 0
    lookback = 7

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"opinion": bars["close"]}

    def signal(self, states: States) -> pd.DataFrame:
        return states["opinion"] * self.factor


def states_of(opinions: dict[str, list[float | None]], vol: float = 0.02) -> pd.DataFrame:
    """Consecutive business days of January 2020; None is a missing row, NaN a bar with a hole."""
    rows = [
        {"date": date, "ticker": ticker, "close": 10.0, "vol_63": vol, "opinion": opinion}
        for ticker, column in opinions.items()
        for date, opinion in zip(
            pd.bdate_range("2020-01-01", periods=len(column)), column, strict=True
        )
        if opinion is not None
    ]
    return pd.DataFrame(rows)


def column(insights: pd.DataFrame, ticker: str, name: str = "signal") -> list[float]:
    return insights[insights["ticker"] == ticker][name].to_list()


def poured(vol: list[float], cap: float, floor: float) -> list[float]:
    """Water-filling as it is told: hand out, cap who is above, hand the rest out again."""
    share = [0.0] * len(vol)
    inverse = {
        i: 1.0 / max(v * np.sqrt(252.0), floor) for i, v in enumerate(vol) if not np.isnan(v)
    }
    budget = 1.0
    while inverse:
        total = sum(inverse.values())
        full = [i for i, amount in inverse.items() if budget * amount / total > cap + 1e-15]
        for i in full or list(inverse):
            share[i] = cap if full else budget * inverse[i] / total
        budget -= cap * len(full)
        inverse = {i: amount for i, amount in inverse.items() if i not in full} if full else {}
    return share


def random_vol(rows: int, tickers: int, ready: float) -> Array:
    rng = np.random.default_rng(tickers)
    vol = np.exp(rng.normal(np.log(0.015), 1.2, (rows, tickers)))
    return np.where(rng.random((rows, tickers)) < ready, vol, np.nan)


@pytest.mark.parametrize(
    ("tickers", "ready"), [(1, 1.0), (4, 0.7), (10, 1.0), (12, 0.8), (40, 0.6)]
)
@pytest.mark.parametrize("cap", [0.1, 0.25, 0.3])
def test_the_risk_budget_is_water_filling(tickers: int, ready: float, cap: float) -> None:
    vol = random_vol(200, tickers, ready)
    expected = [poured(list(row), cap, 0.05) for row in vol]
    assert np.allclose(risk_budget(vol, cap), expected, rtol=0.0, atol=1e-13)


def test_the_risk_budget_is_spent_up_to_the_cap_of_each_ready_ticker() -> None:
    vol = random_vol(500, 25, 0.5)
    budget = risk_budget(vol)
    ready = np.isfinite(vol).sum(axis=1)
    assert budget.max() <= 0.1
    assert (budget >= 0).all()
    assert (budget[np.isnan(vol)] == 0).all()
    assert np.allclose(budget.sum(axis=1), np.minimum(1.0, 0.1 * ready), rtol=0.0, atol=1e-12)
    assert (budget.sum(axis=1) <= 1 + 1e-12).all()
    assert ready.min() < 10 < ready.max(), "both cases are in the sample"


@pytest.mark.parametrize("tickers", [1, 5, 9, 10, 11, 20, 64])
def test_equal_volatility_gets_equal_shares(tickers: int) -> None:
    budget = risk_budget(np.full((1, tickers), 0.013))
    assert np.allclose(budget, min(0.1, 1.0 / tickers), rtol=1e-12)


def test_below_the_floor_volatility_counts_as_the_floor() -> None:
    daily_floor = 0.05 / np.sqrt(252.0)
    rest = [0.02] * 30
    calm, calmer, at_floor = (
        risk_budget(np.array([[v, *rest]])) for v in (0.5 * daily_floor, 0.0, daily_floor)
    )
    assert np.array_equal(calm, calmer)
    assert np.allclose(calm, at_floor, rtol=1e-12)


def test_a_row_does_not_depend_on_tickers_that_are_not_ready_not_even_in_its_last_bit() -> None:
    for row in random_vol(300, 30, 0.4):
        ready = np.isfinite(row)
        alone = risk_budget(row[None, ready])
        assert np.array_equal(risk_budget(row[None])[:, ready], alone)
        padded = np.insert(row[ready], np.arange(ready.sum()), np.nan)
        assert np.array_equal(risk_budget(padded[None])[:, 1::2], alone)


def test_the_risk_budget_follows_its_ticker_in_any_order() -> None:
    vol = random_vol(100, 15, 0.8)
    order = np.random.default_rng(0).permutation(15)
    assert np.array_equal(risk_budget(vol[:, order]), risk_budget(vol)[:, order])


def test_a_weight_is_the_budget_times_the_signal() -> None:
    states = states_of({t: [0.5, -1.0, 0.25] for t in "ABCDEFGHIJKL"})
    states["vol_63"] = np.linspace(0.005, 0.05, len(states))
    insights = build_insights(Stored(), states, MONTHS)
    vol = states.pivot(index="date", columns="ticker", values="vol_63").to_numpy()
    expected = risk_budget(vol) * np.array([[0.5], [-1.0], [0.25]])
    assert np.allclose(insights["weight"], expected.ravel(), rtol=1e-14)
    assert list(insights) == ["date", "ticker", "model", "signal", "weight"]
    assert (insights["model"] == "stored").all()

    halved = build_insights(Stored(0.5), states, MONTHS)
    assert halved["weight"].equals(insights["weight"] / 2), "no renormalisation"


def test_a_ticker_without_rows_is_held_five_sessions_and_then_gone() -> None:
    states = states_of({"A": [0.5, 0.8] + [None] * 8 + [0.1], "B": [0.2] * 11})
    insights = build_insights(Stored(), states, MONTHS)
    assert column(insights, "A") == [0.5, 0.8] + [0.8] * HOLD_SESSIONS + [0.1]
    assert column(insights, "B") == [0.2] * 11
    assert column(insights, "A", "weight")[1:7] == [0.8 * 0.1] * 6, "the size is held too"
    gone = pd.bdate_range("2020-01-01", periods=11)[7:10]
    assert not insights[insights["ticker"] == "A"]["date"].isin(gone).any()


def test_a_bar_with_a_hole_is_held_like_a_missing_row() -> None:
    absent = states_of({"A": [0.5, 0.8] + [None] * 8 + [0.1], "B": [0.2] * 11})
    hollow = states_of({"A": [0.5, 0.8] + [np.nan] * 8 + [0.1], "B": [0.2] * 11})
    hollow.loc[hollow["opinion"].isna(), ["close", "vol_63"]] = np.nan
    assert len(hollow) == len(absent) + 8
    pd.testing.assert_frame_equal(
        build_insights(Stored(), hollow, MONTHS), build_insights(Stored(), absent, MONTHS)
    )


def test_a_traded_ticker_without_opinion_is_held_five_sessions_and_then_flat() -> None:
    states = states_of({"A": [0.5] + [np.nan] * 7})
    assert column(build_insights(Stored(), states, MONTHS), "A") == [0.5] * 6 + [0.0] * 2


def test_a_ticker_that_is_not_ready_has_a_row_and_no_weight() -> None:
    states = states_of({"A": [np.nan, np.nan, 0.5]})
    states.loc[:1, "vol_63"] = np.nan
    insights = build_insights(Stored(), states, MONTHS)
    assert column(insights, "A") == [0.0, 0.0, 0.5]
    assert column(insights, "A", "weight") == [0.0, 0.0, 0.5 * 0.1]


@pytest.mark.parametrize("missing", ["close", "vol_63"])
def test_a_ticker_without_price_or_volatility_leaves_its_share_after_five_sessions(
    missing: str,
) -> None:
    states = states_of({t: [1.0] * 8 for t in "ABCDEFGHIJKL"})
    states.loc[(states["ticker"] == "A") & (states["date"] > "2020-01-01"), missing] = np.nan
    shares = column(build_insights(Stored(), states, MONTHS), "B", "weight")
    assert np.allclose(shares, [1 / 12] * 6 + [1 / 11] * 2, rtol=1e-12)


def test_only_the_months_asked_for_are_returned() -> None:
    states = states_of({"A": [0.5] * 60})
    february = build_insights(Stored(), states, pd.DatetimeIndex(["2020-02-01"]))
    assert february["date"].min() == pd.Timestamp("2020-02-03")
    assert february["date"].max() == pd.Timestamp("2020-02-28")
    assert list(february.index) == list(range(20))


def test_insights_need_the_sessions_of_the_model_and_of_the_hold() -> None:
    assert sessions_needed(Stored()) == 7 + HOLD_SESSIONS
    assert months_needed(Stored()) == 2


def test_no_states_make_no_insights() -> None:
    insights = build_insights(Stored(), states_of({"A": [0.5]})[:0], MONTHS)
    assert insights.empty
    assert list(insights) == ["date", "ticker", "model", "signal", "weight"]


@pytest.mark.parametrize("opinion", [1.001, -2.0, np.inf, -np.inf])
def test_a_signal_outside_its_bounds_names_model_ticker_and_date(opinion: float) -> None:
    states = states_of({"A": [0.1, 0.2], "B": [0.3, opinion]})
    with pytest.raises(ModelError, match=rf"stored: signal {opinion} for B on 2020-01-02 is out"):
        build_insights(Stored(), states, MONTHS)
