import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.model import TradingModel
from hawk_assets.models.cross_momentum import CrossSectionalMomentum
from hawk_assets.models.momentum import TimeSeriesMomentum
from hawk_assets_tests.models.oracles import (
    bars_of_walk,
    opinions,
    spread_on_a_random_walk,
    unit_of,
)


@pytest.mark.parametrize("kind", [TimeSeriesMomentum, CrossSectionalMomentum])
@pytest.mark.parametrize(("start", "stop"), [(252, 21), (10, 0)])
def test_the_return_is_that_between_two_past_closes(
    kind: type[TradingModel], start: int, stop: int
) -> None:
    close = bars_of_walk(400, seed=1)["close"]
    price = pd.Series(np.log(close))
    found = kind(start, stop).features({"close": close})["past_return"]
    assert np.allclose(
        found, price.shift(stop) - price.shift(start), rtol=0, atol=1e-14, equal_nan=True
    )
    assert np.isnan(found[:start]).all()
    assert np.isfinite(found[start:]).all()


def test_the_scale_is_that_of_the_sum_of_independent_returns() -> None:
    model = TimeSeriesMomentum()
    assert unit_of(model, "past_return") == pytest.approx(np.sqrt(231))
    assert spread_on_a_random_walk(model, "past_return") == pytest.approx(np.sqrt(231), rel=0.1)


def test_it_follows_the_past_year() -> None:
    deviation = 0.01 * np.sqrt(231)
    returns = deviation * np.array([-3, -2, -1, 0, 0.5, 2, 5])
    found = opinions(TimeSeriesMomentum(), past_return=returns, vol_63=[0.01] * 7)
    assert np.allclose(found, [-1, -1, -0.5, 0, 0.25, 1, 1])


@pytest.mark.parametrize("kind", [TimeSeriesMomentum, CrossSectionalMomentum])
@pytest.mark.parametrize("span", [(21, 21), (252, -1)])
def test_a_return_that_ends_before_it_starts_is_refused(
    kind: type[TradingModel], span: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="need 0 <= stop < start"):
        kind(*span)
