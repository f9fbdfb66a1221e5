import numpy as np
import pandas as pd
import pytest

from hawk_assets.models.sma_cross import SmaCross
from hawk_assets_tests.markets import random_walk


def scale_of(model: SmaCross) -> float:
    """The gap that the model treats as one standard deviation at volatility 1."""
    one = pd.DataFrame([[1.0]])
    return 1e-3 / (2.0 * model.signal({"sma_gap": one * 1e-3, "vol_63": one}).iat[0, 0])


@pytest.mark.parametrize("speed", [(2, 5), (50, 200)])
def test_the_scale_is_the_norm_of_the_response_to_one_return(speed: tuple[int, int]) -> None:
    model, step = SmaCross(*speed), 1e-4
    close = np.append(np.ones(model.slow), np.full(model.slow, 1.0 + step))
    response = model.features({"close": close})["sma_gap"][model.slow :] / step
    assert scale_of(model) == pytest.approx(np.linalg.norm(response), rel=1e-3)


def test_the_score_of_a_random_walk_has_unit_variance() -> None:
    model = SmaCross(10, 40)
    returns = np.random.default_rng(1).normal(0.0, 0.01, 100_000)
    close = np.exp(np.cumsum(returns))
    gap = model.features({"close": close})["sma_gap"][model.slow :]
    deviation = 0.01 * scale_of(model)
    assert gap.std() / deviation == pytest.approx(1.0, abs=0.05)


def test_the_gap_is_the_log_ratio_of_the_rolling_means() -> None:
    close = random_walk(1, 500, seed=2)["close"]
    expected = np.log(close.rolling(50).mean() / close.rolling(200).mean())
    gap = SmaCross(50, 200).features({"close": close.to_numpy()})["sma_gap"]
    assert np.allclose(gap, expected, rtol=0.0, atol=1e-12, equal_nan=True)


def test_a_flat_price_after_a_walk_has_no_gap_once_the_walk_is_forgotten() -> None:
    close = np.append(random_walk(1, 300, seed=2)["close"].to_numpy(), np.full(250, 77.7))
    assert (SmaCross(50, 200).features({"close": close})["sma_gap"][-50:] == 0.0).all()


@pytest.mark.parametrize("speed", [(1, 5), (5, 5), (200, 50)])
def test_spans_in_the_wrong_order_are_refused(speed: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"got {speed[0]} and {speed[1]}"):
        SmaCross(*speed)
