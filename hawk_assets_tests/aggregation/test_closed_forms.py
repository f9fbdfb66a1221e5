import numpy as np
import pytest

from hawk_assets.aggregation.closed_forms import (
    equal_weight,
    inverse_vol,
    risk_budget,
    risk_parity,
    solve_risk_budgets,
)
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.hrp import hrp
from hawk_assets_tests.aggregation.samples import build_problem, moments, optimise, returns


def contributions(shares, covariance):
    weights = shares / shares.sum()
    return weights * (covariance @ weights) / (weights @ covariance @ weights)


def test_inverse_vol_is_proportional_to_one_over_the_deviation():
    problem = build_problem(moments(np.zeros(3), np.diag([1.0, 4.0, 16.0])))
    np.testing.assert_allclose(inverse_vol(problem), [1.0, 0.5, 0.25])
    np.testing.assert_allclose(
        optimise("inverse_vol", problem).weights, np.array([4.0, 2.0, 1.0]) / 7
    )


def test_equal_weight_is_the_same_for_all():
    np.testing.assert_array_equal(equal_weight(build_problem(moments(np.zeros(3), np.eye(3)))), 1.0)


@pytest.mark.parametrize("n", [1, 2, 5, 20, 200])
@pytest.mark.parametrize("seed", range(3))
def test_in_risk_parity_every_model_contributes_the_same(n, seed):
    problem = build_problem(estimate(returns(504, n, seed)))
    shares = risk_parity(problem)
    assert shares.min() > 0
    found = contributions(shares, problem.estimates.covariance)
    np.testing.assert_allclose(found, 1 / n, rtol=0, atol=1e-12)


def test_in_a_risk_budget_every_family_contributes_the_same():
    problem = build_problem(
        estimate(returns(504, 6)), families=["ema", "ema", "ema", "rsi", "rsi", "sma"]
    )
    found = contributions(risk_budget(problem), problem.estimates.covariance)
    np.testing.assert_allclose(found, [1 / 9] * 3 + [1 / 6] * 2 + [1 / 3], rtol=0, atol=1e-12)


def test_budgets_of_any_size_and_risks_of_any_scale_are_met():
    rng = np.random.default_rng(0)
    for seed in range(20):
        scale = np.exp(rng.normal(0.0, 3.0, 12))
        covariance = estimate(returns(504, 12, seed)).covariance * np.outer(scale, scale)
        budgets = rng.dirichlet(np.full(12, 0.2)) + 1e-6
        budgets /= budgets.sum()
        found = contributions(solve_risk_budgets(covariance, budgets), covariance)
        np.testing.assert_allclose(found, budgets, rtol=1e-6, atol=1e-12)


def test_budgets_of_hedging_models_are_met():
    covariance = np.array([[1.0, -0.999], [-0.999, 1.0]])
    found = contributions(solve_risk_budgets(covariance, np.array([0.9, 0.1])), covariance)
    np.testing.assert_allclose(found, [0.9, 0.1], atol=1e-10)


def test_risk_parity_without_correlation_is_inverse_volatility():
    problem = build_problem(moments(np.zeros(3), np.diag([1.0, 4.0, 16.0])))
    ratio = risk_parity(problem) / inverse_vol(problem)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)


def test_hrp_of_two_pairs_splits_between_the_pairs_first():
    """By hand: variances of the halves are 0.9 and 3.6, and twins share alike."""
    pair = np.array([[1.0, 0.8], [0.8, 1.0]])
    covariance = np.kron(np.diag([1.0, 4.0]), pair)
    shuffled = [2, 0, 3, 1]
    shares = hrp(build_problem(moments(np.zeros(4), covariance[np.ix_(shuffled, shuffled)])))
    np.testing.assert_allclose(shares, np.array([0.4, 0.4, 0.1, 0.1])[shuffled], atol=1e-15)


def test_hrp_of_one_model_is_that_model():
    np.testing.assert_array_equal(hrp(build_problem(moments([0.0], np.eye(1)))), [1.0])
