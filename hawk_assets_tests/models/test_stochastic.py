import numpy as np
import pytest
import talib

from hawk_assets.core.model import Array, Bars
from hawk_assets.models.stochastic import Stochastic
from hawk_assets_tests.models.oracles import bars_in_ticks, bars_of_walk, held, opinions

MODELS = [Stochastic(), Stochastic(5, 10.0, 6)]
MARKETS = [bars_of_walk(1500, seed=1), bars_in_ticks()]


def slow_k(bars: Bars, span: int) -> Array:
    """The mean of the last three percentages of the range, window by window."""
    high, low, close = bars["high"], bars["low"], bars["close"]
    fast = np.full(len(close), np.nan)
    for bar in range(span - 1, len(close)):
        top, bottom = high[bar - span + 1 : bar + 1].max(), low[bar - span + 1 : bar + 1].min()
        fast[bar] = 50.0 if top == bottom else 100 * (close[bar] - bottom) / (top - bottom)
    out = np.full(len(close), np.nan)
    for bar in range(span + 1, len(close)):
        out[bar] = fast[bar - 2 : bar + 1].mean()
    return out


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("bars", MARKETS, ids=["walk", "tick"])
def test_it_is_the_mean_of_three_percentages_of_the_range(model: Stochastic, bars: Bars) -> None:
    found = model.features(bars)["slow_k"]
    assert np.allclose(found, slow_k(bars, model.span), rtol=0, atol=1e-11, equal_nan=True)


def test_it_equals_talibs_slow_k_except_for_the_bars_that_slow_d_costs() -> None:
    bars = bars_of_walk(500, seed=2)
    expected, _ = talib.STOCH(bars["high"], bars["low"], bars["close"], 14, 3, 0, 3, 0)
    found = Stochastic().features(bars)["slow_k"]
    assert np.allclose(found[17:], expected[17:], rtol=0, atol=1e-10)
    assert np.isfinite(found[15:]).all()
    assert np.isnan(expected[:17]).all()


def test_a_range_without_width_is_in_the_middle() -> None:
    flat = np.full(60, 40.0)
    bars = {"high": flat, "low": flat, "close": flat}
    assert set(Stochastic().features(bars)["slow_k"][15:]) == {50.0}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("bars", MARKETS, ids=["walk", "tick"])
def test_it_equals_the_rule_applied_session_by_session(model: Stochastic, bars: Bars) -> None:
    place = model.features(bars)["slow_k"]
    long = held(place < model.low, place >= 50, model.max_hold)
    short = held(place > 100 - model.low, place <= 50, model.max_hold)
    found = opinions(model, slow_k=place)
    assert np.array_equal(found, long - short)
    assert {-1.0, 0.0, 1.0} == set(found)


def test_it_buys_below_20_and_exits_at_50_and_shorts_mirror_it() -> None:
    places = [50, 20, 19, 30, 49, 50, 70, 80, 81, 51, 50, 40]
    assert opinions(Stochastic(), slow_k=places) == [0, 0, 1, 1, 1, 0, 0, 0, -1, -1, 0, 0]


def test_a_signal_without_an_exit_lasts_exactly_max_hold_sessions() -> None:
    for model in MODELS:
        assert sum(opinions(model, slow_k=[5.0] + [30.0] * 60)) == model.max_hold
        assert sum(opinions(model, slow_k=[95.0] + [70.0] * 60)) == -model.max_hold


@pytest.mark.parametrize("fault", [{"span": 1}, {"low": 50.0}, {"low": 0.0}, {"max_hold": 1}])
def test_unusable_parameters_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need span >= 2, 0 < low < 50 and max_hold >= 2"):
        Stochastic(**fault)
