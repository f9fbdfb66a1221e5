import numpy as np
import pandas as pd
import pytest

from hawk_assets.models.reversal import ShortTermReversal
from hawk_assets_tests.models.oracles import (
    bars_of_walk,
    opinions,
    spread_on_a_random_walk,
    unit_of,
)


@pytest.mark.parametrize("span", [1, 5])
def test_it_fades_the_last_sessions_in_units_of_their_volatility(span: int) -> None:
    model, close = ShortTermReversal(span), bars_of_walk(300, seed=1)["close"]
    move = pd.Series(np.log(close)).diff(span)
    found = model.features({"close": close})["past_return"]
    assert np.allclose(found, move, rtol=0, atol=1e-14, equal_nan=True)
    signal = opinions(model, past_return=found, vol_63=np.full(300, 0.005))
    expected = (-move / 0.005 / np.sqrt(span) / 2).clip(-1, 1)
    assert np.allclose(signal, expected, rtol=0, atol=1e-12, equal_nan=True)
    assert {-1.0, 1.0} < set(signal)


def test_the_scale_is_that_of_the_sum_of_independent_returns() -> None:
    model = ShortTermReversal()
    assert unit_of(model, "past_return") == pytest.approx(-np.sqrt(5)), "it fades"
    assert spread_on_a_random_walk(model, "past_return") == pytest.approx(np.sqrt(5), rel=0.02)


def test_a_move_of_0_sessions_is_refused() -> None:
    with pytest.raises(ValueError, match="need span >= 1"):
        ShortTermReversal(0)
