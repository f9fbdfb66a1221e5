from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import talib

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.core.sessions import in_months, shift
from hawk_assets.model_states.bars import VOL_BARS
from hawk_assets.model_states.builder import (
    StateBuilder,
    bars_needed,
    build_states,
    months_needed,
    report_months,
)
from hawk_assets_tests.markets import random_walk, weekly_reports


@dataclass(frozen=True)
class Average(TradingModel):
    """An exponential average with a memory of 100 bars, or a sum of the last 101 closes."""

    slice_stable: bool = False
    name = "average"
    warmup = 100
    lookback = 0

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        if not self.slice_stable:
            return {"average": talib.EMA(close, timeperiod=10)}
        out = np.full(close.shape, np.nan)
        if len(close) > 100:
            out[100:] = np.lib.stride_tricks.sliding_window_view(close, 101).sum(axis=1)
        return {"average": out}

    def signal(self, states: States) -> pd.DataFrame:
        return states["average"] * 0.0


def months(first: str, last: str) -> pd.DatetimeIndex:
    return pd.date_range(first, last, freq="MS")


def walk(tickers: int = 1, bars: int = 500) -> pd.DataFrame:
    return random_walk(tickers, bars, seed=4)


def test_no_model_needs_fewer_bars_than_the_volatility() -> None:
    assert bars_needed(Average()) == 100
    assert months_needed(Average()) == 6 + 11
    assert Brief().warmup < bars_needed(Brief()) == VOL_BARS


@dataclass(frozen=True)
class Brief(Average):
    warmup = 5


@pytest.mark.parametrize("slice_stable", [False, True])
def test_a_year_depends_on_its_own_window_of_valid_bars_and_on_nothing_before(
    slice_stable: bool,
) -> None:
    model, market = Average(slice_stable), walk()
    month = months("2006-01-01", "2006-01-01")
    first = int((market["date"] < month[0]).sum())
    states = build_states(model, market, month)

    for bar, changes in ((first - 101, False), (first - 100, True)):
        other = market.copy()
        other.loc[bar, "close"] *= 1.5
        assert states.equals(build_states(model, other, month)) != changes


@dataclass(frozen=True)
class Count(Average):
    """How many bars it gets, up to each bar."""

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"seen": np.arange(1.0, len(bars["close"]) + 1)}


@pytest.mark.parametrize("alone", [False, True])
def test_all_months_of_a_year_start_from_the_same_bar(alone: bool) -> None:
    market, wanted = walk(bars=700), months("2006-01-01", "2007-06-01")
    runs = [pd.DatetimeIndex([month]) for month in wanted] if alone else [wanted]
    states = pd.concat([build_states(Count(), market, run) for run in runs])
    for _, year in states.groupby(states["date"].dt.year):
        assert list(year["seen"]) == [float(101 + bar) for bar in range(len(year))]


@pytest.mark.parametrize("model", [Count(), Average(slice_stable=True)])
def test_after_a_long_suspension_a_month_alone_still_equals_the_full_run(
    model: TradingModel,
) -> None:
    market, wanted = walk(tickers=2, bars=520), months("2005-01-01", "2006-12-01")
    away = (market["ticker"] == "W01") & market["date"].between("2005-08-01", "2006-11-20")
    market = market[~away]
    full = build_states(model, market, wanted)
    for month in wanted:
        alone = pd.DatetimeIndex([month])
        mapped = in_months(market, pd.date_range(end=month, periods=18, freq="MS"))
        expected = in_months(full, alone).reset_index(drop=True)
        pd.testing.assert_frame_equal(
            build_states(model, mapped, alone), expected, check_exact=True
        )


def test_slice_stable_does_not_change_the_states() -> None:
    market, wanted = walk(tickers=2), months("2005-01-01", "2006-11-01")
    claimed = build_states(Average(slice_stable=True), market, wanted)

    @dataclass(frozen=True)
    class Windowed(Average):
        def features(self, bars: Bars) -> dict[str, Array]:
            return Average(slice_stable=True).features(bars)

    pd.testing.assert_frame_equal(
        build_states(Windowed(), market, wanted), claimed, check_exact=True
    )


def test_a_hole_is_dropped_and_the_next_bar_continues() -> None:
    market = walk(bars=90)
    market.loc[[40, 41, 60], "close"] = np.nan
    states = build_states(Average(), market, months("2005-01-01", "2005-05-01"))
    valid = market["close"].notna()
    states_of_may = states[valid & (states["date"] >= "2005-05-01")]["average"]
    compressed = talib.EMA(market["close"][valid].to_numpy(), timeperiod=10)
    assert np.allclose(states_of_may, compressed[-len(states_of_may) :], rtol=1e-10)
    assert states[~valid][["average", "vol_63"]].isna().all(axis=None)


@dataclass(frozen=True)
class Dollars(Average):
    inputs = ("volume",)

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"dollars": talib.SMA(bars["close"] * bars["volume"], timeperiod=3)}


def test_a_hole_in_any_declared_column_is_a_hole_but_the_close_is_kept() -> None:
    market = walk(bars=40)
    market.loc[30, "volume"] = np.nan
    market.loc[[10, 35], "open"] = np.nan
    states = build_states(Dollars(), market, months("2005-01-01", "2005-02-01"))
    assert list(np.flatnonzero(states["dollars"].isna())) == [0, 1, 30]
    assert states["close"].notna().all()
    left = market.drop(index=30)
    expected = (left["close"] * left["volume"]).rolling(3).mean()
    assert states["dollars"][33] == pytest.approx(expected[33], rel=1e-9)
    assert states["dollars"][31] == pytest.approx(expected[31], rel=1e-9)


def test_models_that_share_a_builder_get_the_states_of_a_builder_of_their_own() -> None:
    """A hole is one in its column only; a suspension cuts the volatility of one window."""
    market, wanted = walk(tickers=3, bars=520), months("2005-06-01", "2006-12-01")
    market.loc[market.index[::37], "volume"] = np.nan
    market.loc[market.index[5::61], "close"] = np.nan
    away = (market["ticker"] == "W01") & market["date"].between("2005-08-01", "2006-11-20")
    market = market[~away].sample(frac=1.0, random_state=0)
    builder = StateBuilder(market, wanted)
    for model in (Dollars(), Average(), Average(slice_stable=True), Brief(), Dollars()):
        alone = build_states(model, market, wanted)
        pd.testing.assert_frame_equal(builder.states(model), alone, check_exact=True)


@dataclass(frozen=True)
class Scribbler(Average):
    """Changes the bars that it gets in place."""

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        close *= 2.0
        return {"average": close}


@pytest.mark.parametrize("holes", [[], [30]])
def test_a_model_cannot_change_what_the_next_one_reads(holes: list[int]) -> None:
    market, wanted = walk(bars=90), months("2005-01-01", "2005-05-01")
    market.loc[holes, "close"] = np.nan
    builder, alone = StateBuilder(market, wanted), build_states(Average(), market, wanted)
    with pytest.raises(ValueError, match="read-only"):
        builder.states(Scribbler())
    pd.testing.assert_frame_equal(builder.states(Average()), alone, check_exact=True)


@dataclass(frozen=True)
class OldestReport(Average):
    """The open interest four reports ago, and how many reports it gets."""

    reports = 5

    def features(self, bars: Bars) -> dict[str, Array]:
        known = bars["open_interest"]
        return {"oldest": known[:, 0], "count": np.isfinite(known).sum(axis=1).astype(float)}


def test_after_a_year_without_reports_a_month_alone_still_equals_the_full_run() -> None:
    market, reports = walk(), weekly_reports("W00")
    reports = reports[~reports["release_date"].between("2005-06-01", "2006-05-31")]
    wanted = months("2005-01-01", "2006-11-01")
    full = build_states(OldestReport(), market, wanted, reports)
    for month in wanted:
        alone, first = pd.DatetimeIndex([month]), shift(month, -report_months(OldestReport()))
        released = reports[reports["release_date"] >= first]
        expected = in_months(full, alone).reset_index(drop=True)
        pd.testing.assert_frame_equal(
            build_states(OldestReport(), market, alone, released), expected, check_exact=True
        )
    count = full.set_index("date")["count"]
    assert [count[d] for d in ("2005-05-31", "2006-02-01", "2006-06-02")] == [5.0, 0.0, 0.0]
    assert [count[d] for d in ("2006-06-05", "2006-06-30", "2006-07-03")] == [1.0, 4.0, 5.0]


def test_every_row_of_market_data_has_a_row_of_states() -> None:
    market = walk(tickers=3, bars=60)
    market.loc[market["ticker"] == "W01", "close"] = np.nan
    states = build_states(Average(), market, months("2005-01-01", "2005-03-01"))
    assert len(states) == 180
    assert list(states) == ["date", "ticker", "close", "vol_63", "average"]
    assert states[states["ticker"] == "W01"][["close", "average"]].isna().all(axis=None)
    assert states[states["ticker"] == "W02"]["average"].notna().sum() > 30


def test_months_without_data_have_states_with_all_columns_and_no_row() -> None:
    filled = build_states(Average(), walk(), months("2005-01-01", "2005-02-01"))
    empty = build_states(Average(), walk(), months("2001-01-01", "2001-02-01"))
    assert empty.empty
    assert empty.dtypes.equals(filled.dtypes)


def test_features_carry_ten_significant_digits() -> None:
    states = build_states(Average(), walk(), months("2005-01-01", "2006-12-01"))
    for name in ("average", "vol_63"):
        values = states[name].dropna()
        assert (values == [float(f"{value:.10g}") for value in values]).all()
    assert states["close"].equals(walk()["close"]), "prices are not changed"


@pytest.mark.parametrize("kind", ["int64", "float32", ">f8"])
def test_prices_of_a_different_number_type_give_the_same_states(kind: str) -> None:
    market, wanted = walk(), months("2005-01-01", "2006-11-01")
    whole = market.assign(close=market["close"].round())
    other = whole.assign(close=whole["close"].to_numpy().astype(kind))
    pd.testing.assert_frame_equal(
        build_states(Average(), other, wanted),
        build_states(Average(), whole, wanted),
        check_exact=True,
    )


@dataclass(frozen=True)
class Returning(Average):
    """Returns one feature, computed from the closes, with the given name."""

    feature: str = "average"
    fault: str = ""

    def features(self, bars: Bars) -> dict[str, Array]:
        values = bars["close"].copy()
        if self.fault == "infinite":
            values[-1:] = -np.inf
        return {self.feature: values[1:] if self.fault == "short" else values}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Returning(feature="vol_63"), "average: the feature name 'vol_63' is reserved"),
        (Returning(feature="date"), "average: the feature name 'date' is reserved"),
        (Returning(fault="short"), r"'average' of W00 in 2005 has shape \(19,\)"),
        (Returning(fault="infinite"), "'average' of W00 is infinite on 2005-02-28"),
    ],
)
def test_a_feature_that_cannot_be_stored_is_named(model: TradingModel, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_states(model, walk(), months("2005-02-01", "2005-02-01"))
