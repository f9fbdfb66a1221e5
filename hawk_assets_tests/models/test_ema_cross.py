import numpy as np
import pandas as pd
import pytest

from hawk_assets.models.ema_cross import EmaCross

SPEEDS = [(8, 21), (12, 26), (20, 50), (50, 200)]


def scale_of(model: EmaCross) -> float:
    """The gap that the model treats as one standard deviation at volatility 1."""
    one = pd.DataFrame([[1.0]])
    return 1e-3 / (2.0 * model.signal({"ema_gap": one * 1e-3, "vol_63": one}).iat[0, 0])


@pytest.mark.parametrize(
    ("speed", "expected"), list(zip(SPEEDS, [1.2106, 1.1374, 1.7937, 4.7437], strict=True))
)
def test_the_scale_is_the_norm_of_the_response_to_one_return(
    speed: tuple[int, int], expected: float
) -> None:
    model, step = EmaCross(*speed), 1e-6
    close = np.append(np.ones(model.slow), np.full(20 * model.slow, 1.0 + step))
    response = model.features({"close": close})["ema_gap"][model.slow :] / step
    assert scale_of(model) == pytest.approx(np.linalg.norm(response), rel=1e-5)
    assert scale_of(model) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("speed", SPEEDS[:3])
def test_the_score_of_a_random_walk_has_unit_variance(speed: tuple[int, int]) -> None:
    model = EmaCross(*speed)
    returns = np.random.default_rng(1).normal(0.0, 0.01, 100_000)
    close = np.exp(np.cumsum(returns))
    gap = model.features({"close": close})["ema_gap"][model.slow :]
    deviation = 0.01 * scale_of(model)
    assert gap.std() / deviation == pytest.approx(1.0, abs=0.05)


def test_the_scales_have_the_shape_of_the_published_forecast_scalars() -> None:
    # EWMAC 2/8 to 64/256: the factor that brings the mean absolute forecast to 10.
    speeds = {
        (2, 8): 10.6,
        (4, 16): 7.5,
        (8, 32): 5.3,
        (16, 64): 3.75,
        (32, 128): 2.65,
        (64, 256): 1.87,
    }
    mean_absolute = np.sqrt(2.0 / np.pi)
    ratios = [s * mean_absolute * scale_of(EmaCross(*n)) / 10.0 for n, s in speeds.items()]
    assert np.allclose(ratios, [0.827, 0.809, 0.804, 0.803, 0.802, 0.801], atol=1e-3)


def test_the_signal_follows_the_trend_and_is_zero_without_one() -> None:
    model = EmaCross(8, 21)
    one = pd.DataFrame([[1.0]])
    signals = [
        model.signal({"ema_gap": one * gap, "vol_63": one * 0.01}).iat[0, 0]
        for gap in (-1.0, -0.001, 0.0, 0.001, 1.0)
    ]
    assert signals == sorted(signals)
    assert [signals[0], signals[2], signals[4]] == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("speed", [(1, 5), (5, 5), (26, 12)])
def test_spans_in_the_wrong_order_are_refused(speed: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"got {speed[0]} and {speed[1]}"):
        EmaCross(*speed)
