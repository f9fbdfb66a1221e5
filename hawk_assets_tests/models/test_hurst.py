import numpy as np
import pytest

from hawk_assets.core.model import Array
from hawk_assets.models.hurst import RANDOM_WALK, Hurst, hurst_exponent
from hawk_assets_tests.models.oracles import bars_of_walk, opinions

LENGTHS = sorted(RANDOM_WALK)


def regressed(price: Array) -> float:
    """The slope of log standard deviation on log lag, the slow way."""
    lags = np.arange(2, 21)
    spread = [np.std(price[lag:] - price[:-lag], ddof=0) for lag in lags]
    return float(np.polyfit(np.log(lags), np.log(spread), 1)[0])


@pytest.mark.parametrize("length", LENGTHS)
def test_it_is_the_slope_of_a_direct_regression_over_each_window(length: int) -> None:
    price = np.log(bars_of_walk(length + 300, seed=1)["close"])
    found = hurst_exponent(price, length)
    assert np.isnan(found[: length - 1]).all()
    for bar in range(length - 1, length + 300, 23):
        expected = regressed(price[bar - length + 1 : bar + 1])
        assert found[bar] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("length", LENGTHS)
def test_random_walks_have_the_mean_and_spread_that_the_model_uses(length: int) -> None:
    walks = np.random.default_rng(1).standard_normal((1000, length)).cumsum(axis=1)
    found = np.array([hurst_exponent(walk, length)[-1] for walk in walks])
    mean, spread = RANDOM_WALK[length]
    assert found.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(1000))
    assert found.std() == pytest.approx(spread, rel=4 / np.sqrt(2000))


def test_a_price_that_does_not_move_or_grows_steadily_has_no_exponent() -> None:
    steady = np.arange(600.0)
    price = np.concatenate([np.zeros(600), np.log(bars_of_walk(300, seed=1)["close"] / 100)])
    for still in (np.zeros(600), 3e-4 * steady, np.log(40.0) - 1e-3 * steady):
        assert np.isnan(hurst_exponent(still, 252)).all()
    found = hurst_exponent(price, 252)
    assert np.isnan(found[:600]).all()
    assert np.isfinite(found[640:]).all()


@pytest.mark.parametrize(("memory", "persistent"), [(0.5, True), (-0.5, False)])
def test_it_follows_the_month_where_returns_persist_and_fades_it_where_they_revert(
    memory: float, persistent: bool
) -> None:
    returns = 0.01 * np.random.default_rng(2).standard_normal(1500)
    for bar in range(1, len(returns)):
        returns[bar] += memory * returns[bar - 1]
    model = Hurst()
    states = model.features({"close": np.exp(np.cumsum(returns))})
    signal = np.array(opinions(model, **states, vol_63=np.full(1500, 0.011)))[model.warmup :]
    move = states["move"][model.warmup :]
    assert np.allclose(move, np.convolve(returns, np.ones(21), "valid")[-len(move) :])
    agrees = np.sign(signal) == np.sign(move)
    assert agrees.mean() > 0.95 if persistent else agrees.mean() < 0.05


def test_the_signal_is_evidence_times_move() -> None:
    mean, spread = RANDOM_WALK[504]
    hurst = mean + spread * np.array([0.0, 1.0, -1.0, 2.0, 9.0, -9.0, np.nan])
    move = 0.01 * np.sqrt(21) * np.array([1.0, 1.0, 1.0, -2.0, 9.0, 9.0, 1.0])
    found = opinions(Hurst(), hurst=hurst, move=move, vol_63=[0.01] * 7)
    assert np.allclose(found, [0, 0.25, -0.25, -1, 1, -1, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("fault", "message"), [({"length": 500}, "252, 504, 1008"), ({"move": 0}, "1 <= move")]
)
def test_parameters_without_a_known_random_walk_are_refused(
    fault: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Hurst(**fault)
