import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, Kernel, RationalQuadratic
from statsmodels.nonparametric.kernel_regression import KernelReg

from hawk_assets.models.kernel_regression import KernelRegression
from hawk_assets_tests.models.oracles import (
    bars_of_walk,
    opinions,
    spread_on_a_random_walk,
    unit_of,
)

GAUSSIAN, RATIONAL = KernelRegression("gaussian"), KernelRegression("rational_quadratic")


@pytest.mark.filterwarnings("ignore:After 0.17:FutureWarning")
@pytest.mark.parametrize("model", [GAUSSIAN, KernelRegression("gaussian", 3.0, 21)])
def test_the_slope_is_that_of_the_nadaraya_watson_estimate_at_the_last_close(
    model: KernelRegression,
) -> None:
    bars = bars_of_walk(200, seed=1)
    slope, price = model.features(bars)["kernel_slope"], np.log(bars["close"])

    def estimate(bar: int) -> float:
        window = price[bar - model.length + 1 : bar + 1]
        time = np.arange(float(model.length))
        fitted = KernelReg(window, time, var_type="c", reg_type="lc", bw=[model.bandwidth])
        return float(fitted.fit(time[-1:])[0][0])

    assert np.isnan(slope[: model.length]).all()
    for bar in (model.length, 100, 150, 199):
        assert slope[bar] == pytest.approx(estimate(bar) - estimate(bar - 1), abs=1e-12)


@pytest.mark.parametrize(
    ("model", "kernel"),
    [
        (GAUSSIAN, RBF(8.0)),
        (RATIONAL, RationalQuadratic(8.0, alpha=1.0)),
        (
            KernelRegression("rational_quadratic", 5.0, 30, 8.0),
            RationalQuadratic(5.0, alpha=8.0),
        ),
    ],
)
def test_the_weights_are_the_kernel_of_the_age_in_bars(
    model: KernelRegression, kernel: Kernel
) -> None:
    expected = kernel(np.arange(float(model.length))[:, None], np.zeros((1, 1)))[:, 0]
    assert np.allclose(model.weights(), expected / expected.sum(), rtol=1e-13, atol=0)


def test_the_slope_is_the_weighted_mean_of_the_latest_returns() -> None:
    bars = bars_of_walk(200, seed=2)
    slope, returns = RATIONAL.features(bars)["kernel_slope"], np.diff(np.log(bars["close"]))
    for bar in (64, 100, 199):
        assert slope[bar] == pytest.approx(
            RATIONAL.weights() @ returns[bar - 64 : bar][::-1], abs=1e-15
        )


@pytest.mark.parametrize("model", [GAUSSIAN, RATIONAL])
def test_the_score_of_a_random_walk_has_unit_variance(model: KernelRegression) -> None:
    assert unit_of(model, "kernel_slope") == pytest.approx(np.sqrt((model.weights() ** 2).sum()))
    spread = spread_on_a_random_walk(model, "kernel_slope")
    assert spread == pytest.approx(unit_of(model, "kernel_slope"), rel=0.03)


def test_it_follows_the_slope() -> None:
    slopes, vol = [-1.0, -1e-4, 0.0, 1e-4, 1.0, np.nan], [0.01] * 6
    signals = opinions(GAUSSIAN, kernel_slope=slopes, vol_63=vol)
    assert [np.sign(s) for s in signals[:5]] == [-1, -1, 0, 1, 1]
    assert [signals[0], signals[4]] == [-1, 1]
    assert np.isnan(signals[5])
    assert np.isnan(opinions(GAUSSIAN, kernel_slope=[0.0], vol_63=[0.0])[0])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kernel": "triangular"}, "kernel must be gaussian or rational_quadratic"),
        ({"bandwidth": 0.0}, "bandwidth > 0"),
        ({"length": 1}, "length >= 2"),
        ({"alpha": -1.0}, "alpha > 0"),
    ],
)
def test_unusable_parameters_are_refused(fault: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KernelRegression(**{"kernel": "gaussian"} | fault)
