import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.model import Bars
from hawk_assets.models.bollinger import Bollinger
from hawk_assets_tests.models.oracles import bars_in_ticks, bars_of_walk, held, opinions

MODELS = [Bollinger(), Bollinger(10, 1.5, 7)]
MARKETS = [bars_of_walk(1500, seed=1), bars_in_ticks()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("bars", MARKETS, ids=["walk", "tick"])
def test_percent_b_is_the_percentage_of_a_band_of_population_deviations(
    model: Bollinger, bars: Bars
) -> None:
    close = pd.Series(bars["close"])
    window = close.rolling(model.span)
    low = window.mean() - model.width * window.std(ddof=0)
    high = window.mean() + model.width * window.std(ddof=0)
    expected = (close - low) / (high - low)
    found = model.features(bars)["percent_b"]
    wide = (high - low > 1e-6).to_numpy()
    assert np.isnan(found[: model.span - 1]).all()
    assert np.allclose(found[wide], expected[wide], rtol=0, atol=1e-9)
    assert (found[model.span - 1 :][~wide[model.span - 1 :]] == 0.5).all()


def test_percent_b_of_a_flat_price_is_in_the_middle() -> None:
    assert set(Bollinger().features({"close": np.full(60, 0.3)})["percent_b"][19:]) == {0.5}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("bars", MARKETS, ids=["walk", "tick"])
def test_it_equals_the_rule_applied_session_by_session(model: Bollinger, bars: Bars) -> None:
    place = model.features(bars)["percent_b"]
    long = held(place < 0, place >= 0.5, model.max_hold)
    short = held(place > 1, place <= 0.5, model.max_hold)
    found = opinions(model, percent_b=place)
    assert np.array_equal(found, long - short)
    assert {-1.0, 0.0, 1.0} == set(found)


def test_it_buys_below_the_band_and_exits_at_the_middle_and_shorts_mirror_it() -> None:
    places = [0.5, 0.0, -0.01, 0.3, 0.49, 0.5, 0.9, 1.0, 1.01, 0.51, 0.5, 0.4]
    assert opinions(Bollinger(), percent_b=places) == [0, 0, 1, 1, 1, 0, 0, 0, -1, -1, 0, 0]


def test_a_signal_without_an_exit_lasts_exactly_max_hold_sessions() -> None:
    for model in MODELS:
        assert sum(opinions(model, percent_b=[-0.1] + [0.2] * 60)) == model.max_hold
        assert sum(opinions(model, percent_b=[1.1] + [0.8] * 60)) == -model.max_hold


@pytest.mark.parametrize("fault", [{"span": 1}, {"width": 0.0}, {"max_hold": 1}])
def test_parameters_without_a_band_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need span >= 2, width > 0 and max_hold >= 2"):
        Bollinger(**fault)
