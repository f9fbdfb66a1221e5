from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.insights.builder import (
    build_insights,
    months_needed,
    sessions_needed,
)
from hawk_assets.insights.sizing import DEFAULT_SIZING, SizingParameters, inverse_volatility_budget

HOLD = DEFAULT_SIZING.hold_sessions
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


def test_a_weight_is_the_budget_times_the_signal() -> None:
    states = states_of({t: [0.5, -1.0, 0.25] for t in "ABCDEFGHIJKL"})
    states["vol_63"] = np.linspace(0.005, 0.05, len(states))
    insights = build_insights(Stored(), states, MONTHS)
    vol = states.pivot(index="date", columns="ticker", values="vol_63").to_numpy()
    expected = inverse_volatility_budget(vol) * np.array([[0.5], [-1.0], [0.25]])
    assert np.allclose(insights["weight"], expected.ravel(), rtol=1e-14)
    assert list(insights) == ["date", "ticker", "model", "signal", "weight"]
    assert (insights["model"] == "stored").all()

    halved = build_insights(Stored(0.5), states, MONTHS)
    assert halved["weight"].equals(insights["weight"] / 2), "no renormalisation"


def test_a_ticker_without_rows_is_held_five_sessions_and_then_gone() -> None:
    states = states_of({"A": [0.5, 0.8] + [None] * 8 + [0.1], "B": [0.2] * 11})
    insights = build_insights(Stored(), states, MONTHS)
    assert column(insights, "A") == [0.5, 0.8] + [0.8] * HOLD + [0.1]
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


def on_days(states: pd.DataFrame, first: str) -> pd.DataFrame:
    """The same rows on consecutive calendar days from ``first`` on."""
    days = pd.date_range(first, periods=states["date"].nunique())
    return states.assign(date=days[states["date"].factorize(sort=True)[0]])


def test_a_weekend_of_another_ticker_does_not_count_towards_the_hold() -> None:
    """A trades until Friday 3 January; B on every day. The sixth weekday after it is a Monday."""
    states = on_days(states_of({"A": [0.5, 0.8] + [None] * 12, "B": [0.2] * 14}), "2020-01-02")
    insights = build_insights(Stored(), states, MONTHS)
    a = insights[insights["ticker"] == "A"]
    assert a["signal"].to_list() == [0.5] + [0.8] * 10
    assert a["date"].iloc[-1] == pd.Timestamp("2020-01-12")
    none = build_insights(Stored(), states, MONTHS, SizingParameters(hold_sessions=0))
    a = none[none["ticker"] == "A"]
    assert a["date"].dt.day.to_list() == [2, 3, 4, 5], "even without a hold it lasts the weekend"
    assert a["signal"].to_list() == [0.5, 0.8, 0.8, 0.8]


def test_weekly_bars_are_counted_whatever_day_they_are_dated() -> None:
    states = states_of({"A": [0.5] + [None] * 7, "B": [0.2] * 8})
    for first in ("2020-01-03", "2020-01-04", "2020-01-05"):
        days = pd.date_range(first, periods=8, freq="7D")
        dated = states.assign(date=days[states["date"].factorize(sort=True)[0]])
        insights = build_insights(
            Stored(), dated, pd.date_range("2020-01-01", periods=3, freq="MS")
        )
        assert column(insights, "A") == [0.5] * 6, "five weeks, then gone"


@dataclass(frozen=True)
class Counting(Stored):
    """Its signal counts the sessions, with or without a bar of the ticker."""

    def signal(self, states: States) -> pd.DataFrame:
        close = states["close"]
        count = np.arange(1.0, 1.0 + len(close)) / 100.0
        return pd.DataFrame(dict.fromkeys(close, count), index=close.index)


def test_a_signal_does_not_change_on_a_session_without_a_close_of_its_ticker() -> None:
    """Also where the model goes on without it, as one that counts sessions does."""
    states = states_of({"A": [0.5, 0.8, None, None, 0.1], "B": [0.2] * 5})
    insights = build_insights(Counting(), states, MONTHS)
    assert column(insights, "A") == [0.01, 0.02, 0.02, 0.02, 0.05]
    assert column(insights, "B") == [0.01, 0.02, 0.03, 0.04, 0.05]


def test_dates_without_a_price_are_no_sessions() -> None:
    """They age nothing, have no rows, and the signal does not see them."""
    traded = states_of({"A": [0.5, 0.8, None, None, None, None, None, None], "B": [0.2] * 8})
    blank = pd.MultiIndex.from_product(
        [pd.to_datetime(["2020-01-04", "2020-01-11", "2020-01-20"]), ["A", "B"]],
        names=["date", "ticker"],
    )
    both = pd.concat([traded, blank.to_frame(index=False)], ignore_index=True)
    expected = build_insights(Stored(), traded, MONTHS)
    pd.testing.assert_frame_equal(build_insights(Stored(), both, MONTHS), expected)


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
def test_a_ticker_without_price_or_volatility_loses_its_share_after_five_sessions(
    missing: str,
) -> None:
    states = states_of({t: [1.0] * 8 for t in "ABCDEFGHIJKL"})
    states.loc[(states["ticker"] == "A") & (states["date"] > "2020-01-01"), missing] = np.nan
    shares = column(build_insights(Stored(), states, MONTHS), "B", "weight")
    assert np.allclose(shares, [1 / 12] * 6 + [1 / 11] * 2, rtol=1e-12)


def test_only_the_requested_months_are_returned() -> None:
    states = states_of({"A": [0.5] * 60})
    february = build_insights(Stored(), states, pd.DatetimeIndex(["2020-02-01"]))
    assert february["date"].min() == pd.Timestamp("2020-02-03")
    assert february["date"].max() == pd.Timestamp("2020-02-28")
    assert list(february.index) == list(range(20))


def test_insights_need_the_sessions_of_lookback_and_of_the_hold() -> None:
    assert sessions_needed(Stored()) == 7 + HOLD
    assert months_needed(Stored()) == 2


def test_sizing_parameters_set_cap_floor_and_hold() -> None:
    states = states_of({"A": [0.5, *[None] * 8, 0.1], "B": [0.2] * 10}, vol=0.001)
    wide = SizingParameters(cap=0.8, vol_floor=0.001, hold_sessions=2)
    insights = build_insights(Stored(), states, MONTHS, wide)
    assert column(insights, "A") == [0.5] * 3 + [0.1]
    assert column(insights, "A", "weight") == [0.25] * 3 + [0.05]
    assert sessions_needed(Stored(), wide) == 7 + 2
    none = build_insights(Stored(), states, MONTHS, SizingParameters(hold_sessions=0))
    assert column(none, "A") == [0.5, 0.1], "no hold: only the sessions with a bar"
    assert column(none, "B") == [0.2] * 10


def test_no_states_give_no_insights() -> None:
    insights = build_insights(Stored(), states_of({"A": [0.5]})[:0], MONTHS)
    assert insights.empty
    assert list(insights) == ["date", "ticker", "model", "signal", "weight"]


@pytest.mark.parametrize("opinion", [1.001, -2.0, np.inf, -np.inf])
def test_a_signal_outside_its_bounds_names_model_ticker_and_date(opinion: float) -> None:
    states = states_of({"A": [0.1, 0.2], "B": [0.3, opinion]})
    with pytest.raises(ModelError, match=rf"stored: signal {opinion} for B on 2020-01-02 is out"):
        build_insights(Stored(), states, MONTHS)
