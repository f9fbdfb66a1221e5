import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.model import Array
from hawk_assets.models.macd import Macd
from hawk_assets_tests.models.oracles import (
    bars_of_walk,
    opinions,
    spread_on_a_random_walk,
    unit_of,
)

MODELS = [Macd(), Macd(5, 13, 4)]


def average(values: Array, span: int) -> Array:
    """An exponential average seeded with the mean of the first ``span``, from there on."""
    seeded = np.append(values[:span].mean(), values[span:])
    return pd.Series(seeded).ewm(span=span, adjust=False).mean().to_numpy()


@pytest.mark.parametrize("model", MODELS)
def test_the_histogram_over_price_is_that_of_seeded_averages(model: Macd) -> None:
    close = bars_of_walk(400, seed=1)["close"]
    # The fast average starts later, so that both have their first value on the same bar.
    line = average(close[model.slow - model.fast :], model.fast) - average(close, model.slow)
    histogram = line[model.smooth - 1 :] - average(line, model.smooth)
    found = model.features({"close": close})["macd_histogram"]
    first = model.slow + model.smooth - 2
    assert np.isnan(found[:first]).all()
    assert np.allclose(found[first:], histogram / close[first:], rtol=0, atol=2e-12)


def test_after_its_warmup_it_does_not_depend_on_the_start_of_the_averages() -> None:
    model, close = Macd(), bars_of_walk(900, seed=2)["close"]
    series = pd.Series(close)
    line = series.ewm(span=12, adjust=False).mean() - series.ewm(span=26, adjust=False).mean()
    histogram = (line - line.ewm(span=9, adjust=False).mean()) / series
    found = model.features({"close": close})["macd_histogram"]
    assert np.allclose(found[model.warmup :], histogram[model.warmup :], rtol=0, atol=2e-12)
    assert not np.allclose(found[33:60], histogram[33:60], rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_the_scale_is_the_norm_of_the_response_to_one_return(model: Macd) -> None:
    step = 1e-5
    close = np.append(np.ones(100), np.full(40 * model.slow, 1.0 + step))
    response = model.features({"close": close})["macd_histogram"][100:] / step
    assert unit_of(model, "macd_histogram") == pytest.approx(np.linalg.norm(response), rel=1e-4)


def test_the_scale_of_the_usual_spans_is_0_3379() -> None:
    assert unit_of(Macd(), "macd_histogram") == pytest.approx(0.3379, abs=5e-5)


def test_the_score_of_a_random_walk_has_unit_variance() -> None:
    spread = spread_on_a_random_walk(Macd(), "macd_histogram")
    assert spread == pytest.approx(unit_of(Macd(), "macd_histogram"), rel=0.03)


def test_it_follows_the_histogram_and_is_zero_on_a_flat_price() -> None:
    signals = opinions(Macd(), macd_histogram=[-1, -1e-4, 0, 1e-4, 1], vol_63=[0.01] * 5)
    assert signals == sorted(signals)
    assert [signals[0], signals[2], signals[4]] == [-1, 0, 1]
    assert (Macd().features({"close": np.full(200, 0.3)})["macd_histogram"][33:] == 0).all()


@pytest.mark.parametrize("spans", [(26, 12, 9), (12, 12, 9), (1, 26, 9), (12, 26, 1)])
def test_unusable_spans_are_refused(spans: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="need 2 <= fast < slow and smooth >= 2"):
        Macd(*spans)
