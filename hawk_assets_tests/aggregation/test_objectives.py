from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.estimation import Estimates, estimate
from hawk_assets.aggregation.objectives import (
    attainable_mean,
    capped,
    cleaned,
    inverse_vol,
    max_sharpe,
    min_variance,
    optimise,
)
from hawk_assets_tests.aggregation.samples import returns

CASES = [(2, 0.7), (6, 0.4), (10, 0.4), (20, 0.2), (20, 1.0), (50, 0.1)]


def exact_solution(p, equality, value, inequality, bound, active):
    """Minimise 1/2 x'Px, Ex = e, Gx <= g, by the active-set method from a first guess.

    Each round solves the optimality conditions of a guessed active set exactly; a guess whose
    point is feasible and whose multipliers are not negative is the optimum of a convex problem.
    """
    n = len(p)
    for _ in range(100):
        rows = np.vstack([equality, inequality[active]])
        zeros = np.zeros((len(rows), len(rows)))
        right = np.concatenate([np.zeros(n), value, bound[active]])
        point = np.linalg.solve(np.block([[p, rows.T], [rows, zeros]]), right)
        multiplier = np.zeros(len(bound))
        multiplier[active] = point[n + len(value) :]
        better = (active & (multiplier >= 0)) | (inequality @ point[:n] > bound + 1e-12)
        if (better == active).all():
            return point[:n]
        active = better
    raise AssertionError("the active set does not settle")


def guess(weights, cap):
    return np.concatenate([weights < 1e-5, weights > cap - 1e-5])


def exact_max_sharpe(estimates, cap, weights):
    n, mean = len(estimates.mean), estimates.mean * 1e4
    limits = np.vstack([-np.eye(n), np.eye(n) - cap])
    y = exact_solution(
        estimates.covariance * 1e4,
        mean[None],
        np.ones(1),
        limits,
        np.zeros(2 * n),
        guess(weights, cap),
    )
    return y / y.sum()


def exact_min_variance(estimates, cap, weights):
    n = len(estimates.mean)
    limits, bound = np.vstack([-np.eye(n), np.eye(n)]), np.repeat([0.0, cap], n)
    covariance, ones = estimates.covariance * 1e4, np.ones((1, n))
    return exact_solution(covariance, ones, np.ones(1), limits, bound, guess(weights, cap))


def slsqp(function, gradient, n, cap):
    found = minimize(
        function,
        np.full(n, 1.0 / n),
        jac=gradient,
        method="SLSQP",
        bounds=[(0.0, cap)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert found.success
    return found.x


def sharpe(weights, estimates):
    return weights @ estimates.mean / np.sqrt(weights @ estimates.covariance @ weights)


def solved(objective, estimates, cap):
    weights, status = optimise(objective, estimates, cap, clarabel_solver.solve)
    assert status == "Solved"
    assert abs(weights.sum() - 1.0) < 1e-12
    assert weights.min() >= 0
    assert weights.max() <= cap
    assert not ((weights > 0) & (weights < 1e-6)).any()
    return weights


@pytest.mark.parametrize(("n", "cap"), CASES)
@pytest.mark.parametrize("seed", range(5))
def test_max_sharpe_equals_the_exact_solution(n, cap, seed):
    estimates = estimate(returns(504, n, seed))
    weights = solved("max_sharpe", estimates, cap)
    exact = exact_max_sharpe(estimates, cap, weights)
    np.testing.assert_allclose(weights, exact, atol=1e-5)
    assert sharpe(weights, estimates) == pytest.approx(sharpe(exact, estimates), rel=1e-8)


@pytest.mark.parametrize(("n", "cap"), CASES[:4])
def test_max_sharpe_equals_a_search_over_the_ratio_itself(n, cap):
    estimates = estimate(returns(504, n))
    mean, covariance = estimates.mean, estimates.covariance

    def gradient(w):
        risk = np.sqrt(w @ covariance @ w)
        return -(mean - w @ mean / risk**2 * (covariance @ w)) / risk

    searched = slsqp(lambda w: -sharpe(w, estimates), gradient, n, cap)
    np.testing.assert_allclose(solved("max_sharpe", estimates, cap), searched, atol=1e-5)


@pytest.mark.parametrize(("n", "cap"), CASES)
@pytest.mark.parametrize("seed", range(5))
def test_min_variance_equals_the_exact_solution(n, cap, seed):
    estimates = estimate(returns(504, n, seed))
    weights = solved("min_variance", estimates, cap)
    np.testing.assert_allclose(weights, exact_min_variance(estimates, cap, weights), atol=1e-5)


@pytest.mark.parametrize(("n", "cap"), CASES[:4])
def test_min_variance_equals_a_search(n, cap):
    estimates = estimate(returns(504, n))
    covariance = 1e4 * estimates.covariance
    searched = slsqp(lambda w: w @ covariance @ w, lambda w: 2 * covariance @ w, n, cap)
    np.testing.assert_allclose(solved("min_variance", estimates, cap), searched, atol=1e-5)


def test_without_a_binding_limit_max_sharpe_is_the_tangency_portfolio():
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]]) * 1e-4
    mean = np.array([5.0, 6.0]) * 1e-4
    tangency = np.linalg.solve(covariance, mean)
    weights = solved("max_sharpe", Estimates(mean, covariance), 1.0)
    np.testing.assert_allclose(weights, tangency / tangency.sum(), atol=1e-7)


@pytest.mark.parametrize("objective", ["max_sharpe", "min_variance"])
def test_the_unit_of_the_returns_does_not_matter(objective):
    sample = returns(504, 10)
    weights = solved(objective, estimate(sample), 0.4)
    for unit in (1e-6, 1e6):
        scaled = solved(objective, estimate(sample * unit), 0.4)
        np.testing.assert_allclose(scaled, weights, atol=1e-7)


@pytest.mark.parametrize("objective", ["max_sharpe", "min_variance", "inverse_vol"])
def test_the_order_of_the_models_does_not_matter(objective):
    sample, order = returns(504, 12), np.random.default_rng(1).permutation(12)
    weights = solved(objective, estimate(sample), 0.3)
    reordered = solved(objective, estimate(sample[:, order]), 0.3)
    np.testing.assert_allclose(reordered, weights[order], atol=1e-9)


def test_duplicate_models_share_what_one_of_them_would_get():
    sample = returns(504, 4)
    once = solved("max_sharpe", Estimates(sample.mean(axis=0), np.cov(sample.T)), 1.0)
    twice = sample[:, [0, 0, 1, 1, 2, 2, 3, 3]]
    weights = solved("max_sharpe", Estimates(twice.mean(axis=0), np.cov(twice.T)), 1.0)
    np.testing.assert_allclose(weights[::2] + weights[1::2], once, atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "cap", "expected"),
    [
        ([3.0, -1.0, -2.0], 0.4, 0.4 * 3 - 0.4 * 1 - 0.2 * 2),
        ([-1.0, 2.0], 0.5, 0.5),
        ([1.0, 2.0], 1.0, 2.0),
        ([1.0], 1.0, 1.0),
        ([-3.0, -1.0, -2.0], 1 / 3, -2.0),
    ],
)
def test_the_attainable_mean_fills_the_caps_with_the_best(mean, cap, expected):
    assert attainable_mean(np.array(mean), cap) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("mean", "cap"), [([-1e-4, -2e-4, -3e-4], 1.0), ([1e-4, -5e-4, -6e-4], 0.4), ([0.0, 0.0], 0.5)]
)
def test_max_sharpe_asks_for_a_positive_mean_that_the_cap_allows(mean, cap):
    estimates = Estimates(np.array(mean), np.eye(len(mean)) * 1e-4)
    weights, status = optimise("max_sharpe", estimates, cap, clarabel_solver.solve)
    assert weights is None
    assert status == "infeasible: no mix has a positive mean"


def test_a_large_loser_does_not_turn_max_sharpe_around():
    estimates = Estimates(np.array([1e-4, 2e-4, -9e-4]), np.eye(3) * 1e-4)
    np.testing.assert_allclose(solved("max_sharpe", estimates, 0.7), [1 / 3, 2 / 3, 0.0], atol=1e-6)


def test_estimates_with_a_hole_are_not_solved():
    estimates = Estimates(np.array([1e-4, 2e-4]), np.full((2, 2), np.nan))
    for objective in ("max_sharpe", "min_variance", "inverse_vol"):
        weights, status = optimise(objective, estimates, 1.0, clarabel_solver.solve)
        assert weights is None
        assert status != "Solved"


def test_a_solution_that_is_not_optimal_is_rejected_whatever_its_status():
    estimates = estimate(returns(504, 5))

    def careless(problem):
        solution = clarabel_solver.solve(problem)
        return replace(solution, x=solution.x * (1 + 1e-4))

    weights, status = optimise("max_sharpe", estimates, 0.4, careless)
    assert weights is None
    assert status.startswith("rejected: KKT residual")


def test_the_statements_carry_the_cap_and_are_of_size_one():
    estimates = estimate(returns(504, 5) * 1e-3)
    for problem in (max_sharpe(estimates, 0.4), min_variance(estimates, 0.4)):
        assert sum(size for _, size in problem.cones) == len(problem.b) == len(problem.A)
        assert np.trace(problem.P) == pytest.approx(5.0)
        assert np.abs(problem.A).max() == 1.0


def test_inverse_vol_is_proportional_to_one_over_the_deviation():
    estimates = Estimates(np.zeros(3), np.diag([1.0, 4.0, 16.0]))
    np.testing.assert_allclose(inverse_vol(estimates, 1.0), np.array([4.0, 2.0, 1.0]) / 7)
    np.testing.assert_allclose(inverse_vol(estimates, 0.5), [0.5, 1 / 3, 1 / 6])


@pytest.mark.parametrize(
    ("shares", "cap", "expected"),
    [
        ([4.0, 2.0, 1.0, 1.0], 0.4, [0.4, 0.3, 0.15, 0.15]),
        ([9.0, 4.0, 1.0, 1.0], 0.4, [0.4, 0.4, 0.1, 0.1]),
        ([1.0, 0.0, 0.0], 0.4, [0.4, 0.3, 0.3]),
        ([5.0, 1.0], 0.5, [0.5, 0.5]),
        ([3.0, 1.0], 1.0, [0.75, 0.25]),
        ([7.0, 2.0, 1.0], 1 / 3, [1 / 3, 1 / 3, 1 / 3]),
        ([2.0], 1.0, [1.0]),
    ],
)
def test_what_the_cap_cuts_off_goes_to_the_others(shares, cap, expected):
    np.testing.assert_allclose(capped(np.array(shares), cap), expected, atol=1e-15)


def test_the_residue_of_the_solver_is_swept_up():
    weights = cleaned(np.array([0.4 + 1e-9, 0.4 - 1e-9, 0.2, 9e-7, -1e-10]) * 7, 0.4)
    np.testing.assert_allclose(weights, [0.4, 0.4, 0.2, 0.0, 0.0], atol=1e-6)
    assert weights[3] == weights[4] == 0.0
    assert weights.max() <= 0.4
    assert abs(weights.sum() - 1.0) < 1e-15


def test_a_sliver_that_the_cap_needs_is_not_swept_up():
    weights = cleaned(np.array([0.333333, 0.333333, 0.333333, 9e-7]), 0.333333)
    assert weights.max() <= 0.333333
    assert abs(weights.sum() - 1.0) < 1e-15
