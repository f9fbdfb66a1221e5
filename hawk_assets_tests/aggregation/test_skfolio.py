"""The objectives against skfolio, an independent implementation on top of cvxpy.

Both use the same means and covariances, so that only the optimisation is compared. skfolio is asked
for standard deviations: for variances its own solutions are 1e-4 off. Where its weights are less
exact than ours, the values of the objective are compared: ours is never worse.
"""

import numpy as np
import pytest
from skfolio import RiskMeasure
from skfolio.distance import CovarianceDistance
from skfolio.moments import LedoitWolf, ShrunkMu, ShrunkMuMethods
from skfolio.optimization import (
    HierarchicalRiskParity,
    InverseVolatility,
    MeanRisk,
    ObjectiveFunction,
    RiskBudgeting,
)
from skfolio.prior import EmpiricalPrior

from hawk_assets.aggregation.estimation import estimate
from hawk_assets_tests.aggregation.samples import (
    build_problem,
    check_limits,
    optimise,
    returns,
)

TIGHT = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
SHRUNK = EmpiricalPrior(covariance_estimator=LedoitWolf())
CASES = [(6, 0.4), (20, 0.2), (20, 1.0)]


def ours(objective, sample, cap=1.0, **limits):
    problem = build_problem(estimate(sample), cap, **limits)
    return check_limits(optimise(objective, problem).weights, problem)


def theirs(sample, cap, **settings):
    model = MeanRisk(
        max_weights=cap,
        prior_estimator=SHRUNK,
        solver_params=TIGHT,
        raise_on_failure=True,
        **settings,
    )
    return model.fit(sample).weights_


def deviation(weights, sample):
    return np.sqrt(weights @ estimate(sample).covariance @ weights)


@pytest.mark.parametrize(("n", "cap"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_max_sharpe(n, cap, seed):
    sample = returns(504, n, seed)
    found = ours("max_sharpe", sample, cap)
    expected = theirs(
        sample,
        cap,
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
        risk_measure=RiskMeasure.STANDARD_DEVIATION,
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    ratios = [w @ sample.mean(axis=0) / deviation(w, sample) for w in (found, expected)]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
    assert ratios[0] >= ratios[1] - 1e-9


@pytest.mark.parametrize(("n", "cap"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_min_variance(n, cap, seed):
    sample = returns(504, n, seed)
    found = ours("min_variance", sample, cap)
    expected = theirs(sample, cap, risk_measure=RiskMeasure.STANDARD_DEVIATION)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert deviation(found, sample) == pytest.approx(deviation(expected, sample), rel=1e-6)
    assert deviation(found, sample) <= deviation(expected, sample) * (1 + 1e-9)


@pytest.mark.parametrize(("n", "cap"), CASES)
def test_min_cvar(n, cap):
    sample = returns(504, n)
    found = ours("min_cvar", sample, cap)
    expected = theirs(sample, cap, risk_measure=RiskMeasure.CVAR)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    worst = [np.sort(-sample @ w)[::-1] for w in (found, expected)]
    count = np.clip(0.05 * 504 - np.arange(504), 0.0, 1.0)
    losses = [count @ w / count.sum() for w in worst]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] <= losses[1] * (1 + 1e-8)


def test_utility_of_a_mean_that_is_not_shrunk():
    """skfolio's risk is the whole variance, ours half of it."""
    sample = returns(504, 12)
    prior = EmpiricalPrior(
        covariance_estimator=LedoitWolf(),
        mu_estimator=ShrunkMu(
            covariance_estimator=LedoitWolf(),
            vol_weighted_target=True,
            method=ShrunkMuMethods.BAYES_STEIN,
        ),
    )
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_measure=RiskMeasure.VARIANCE,
        risk_aversion=2.5,
        max_weights=0.4,
        prior_estimator=prior,
        solver_params=TIGHT,
    ).fit(sample)
    shrunk = model.prior_estimator_.return_distribution_.mu
    np.testing.assert_allclose(estimate(sample).shrunk_mean, shrunk, rtol=1e-10)
    found = ours("utility", sample, 0.4, risk_aversion=5.0)
    np.testing.assert_allclose(found, model.weights_, atol=1e-4)

    def utility(w):
        return w @ shrunk - 2.5 * deviation(w, sample) ** 2

    assert utility(found) == pytest.approx(utility(model.weights_), rel=1e-6)
    assert utility(found) >= utility(model.weights_) - 1e-12


def test_max_sharpe_net():
    sample, held = returns(504, 12), np.full(12, 1 / 12)
    problem = build_problem(estimate(sample), 0.4, held=held, cost_bps=5.0)
    found = check_limits(optimise("max_sharpe_net", problem).weights, problem)
    cost = 5.0e-4 / 21
    shrunk = ShrunkMu(
        covariance_estimator=LedoitWolf(),
        vol_weighted_target=True,
        method=ShrunkMuMethods.BAYES_STEIN,
    )
    expected = (
        MeanRisk(
            objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
            risk_measure=RiskMeasure.STANDARD_DEVIATION,
            max_weights=0.4,
            transaction_costs=cost,
            previous_weights=held,
            prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf(), mu_estimator=shrunk),
            solver_params=TIGHT,
        )
        .fit(sample)
        .weights_
    )
    ratios = [
        (w @ problem.estimates.shrunk_mean - cost * np.abs(w - held).sum()) / deviation(w, sample)
        for w in (found, expected)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
    assert ratios[0] >= ratios[1] - 1e-9


def test_family_caps_equal_its_group_constraints():
    sample = returns(504, 8)
    sample[:, :3] += 4e-4
    families = ["ema", "ema", "ema", "rsi", "rsi", "sma", "macd", "hurst"]
    found = ours("max_sharpe", sample, 0.4, families=families, family_cap=0.3)
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
        risk_measure=RiskMeasure.STANDARD_DEVIATION,
        max_weights=0.4,
        groups=[families],
        linear_constraints=[f"{name} <= 0.3" for name in sorted(set(families))],
        prior_estimator=SHRUNK,
        solver_params=TIGHT,
    )
    np.testing.assert_allclose(found, model.fit(sample).weights_, atol=1e-4)


def test_shorts_equal_its_short_budget():
    sample = returns(504, 8)
    found = ours("max_sharpe", sample, 1.0, gross=1.2)
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
        risk_measure=RiskMeasure.STANDARD_DEVIATION,
        min_weights=-1.0,
        max_short=0.1,
        prior_estimator=SHRUNK,
        solver_params=TIGHT,
    )
    np.testing.assert_allclose(found, model.fit(sample).weights_, atol=1e-4)
    assert np.abs(found).sum() == pytest.approx(1.2, abs=1e-6)


@pytest.mark.parametrize("n", [6, 20])
def test_risk_parity(n):
    sample = returns(504, n)
    found = ours("risk_parity", sample)
    model = RiskBudgeting(
        risk_measure=RiskMeasure.STANDARD_DEVIATION, prior_estimator=SHRUNK, solver_params=TIGHT
    )
    np.testing.assert_allclose(found, model.fit(sample).weights_, atol=1e-4)


@pytest.mark.parametrize("n", [2, 3, 6, 20, 50])
@pytest.mark.parametrize("seed", range(3))
def test_hrp(n, seed):
    sample = returns(504, n, seed)
    model = HierarchicalRiskParity(
        prior_estimator=SHRUNK,
        distance_estimator=CovarianceDistance(covariance_estimator=LedoitWolf()),
    )
    expected = model.fit(sample).weights_
    np.testing.assert_allclose(ours("hrp", sample), expected, rtol=0, atol=1e-12)


def test_inverse_vol():
    sample = returns(504, 9)
    expected = InverseVolatility(prior_estimator=SHRUNK).fit(sample).weights_
    np.testing.assert_allclose(ours("inverse_vol", sample), expected, rtol=0, atol=1e-12)
