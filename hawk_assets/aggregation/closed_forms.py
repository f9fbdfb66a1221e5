"""The objectives that need no solver: long-only shares from the covariance alone.

The caps are applied afterwards, so that a cap on one model does not change the proportions of the
others.
"""

import numpy as np

from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.core.types import Array

MAX_STEPS = 100
TOLERANCE = 1e-13
"""Largest difference between a contribution and its budget."""


def equal_weight(problem: AllocationProblem) -> Array:
    """The same share for every model."""
    return np.ones(len(problem.limits.family))


def inverse_vol(problem: AllocationProblem) -> Array:
    """One over the standard deviation."""
    return np.asarray(1.0 / np.sqrt(np.diag(problem.estimates.covariance)), dtype=np.float64)


def risk_parity(problem: AllocationProblem) -> Array:
    """Every model contributes the same to the variance."""
    n = len(problem.limits.family)
    return solve_risk_budgets(problem.estimates.covariance, np.full(n, 1.0 / n))


def risk_budget(problem: AllocationProblem) -> Array:
    """Every family contributes the same to the variance, shared equally by its models."""
    family = problem.limits.family
    sizes = np.bincount(family)
    return solve_risk_budgets(problem.estimates.covariance, 1.0 / len(sizes) / sizes[family])


def solve_risk_budgets(covariance: Array, budgets: Array) -> Array:
    """Shares x with ``x_i (Cx)_i / x'Cx = b_i``.

    Newton's method on ``1/2 y'Ry - b'log y``, with R the correlations and x = y over the standard
    deviations. Reference: Florin Spinu, An algorithm for computing risk parity weights, 2013.

    :param covariance: shape ``(n_models, n_models)``, positive definite
    :param budgets: shape ``(n_models,)``, positive, summing to 1
    :return: shape ``(n_models,)``, of any sum; NaN if it does not converge
    """
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)

    def value(y: Array) -> float:
        return float(y @ correlation @ y) / 2.0 - float(budgets @ np.log(y))

    y = np.sqrt(budgets)
    y /= np.sqrt(y @ correlation @ y)
    for _ in range(MAX_STEPS):
        gradient = correlation @ y - budgets / y
        if np.abs(y * gradient).max() <= TOLERANCE:
            return np.asarray(y / deviation, dtype=np.float64)
        step = -np.linalg.solve(correlation + np.diag(budgets / y**2), gradient)
        slope = float(gradient @ step)
        length = min(1.0, 0.95 / max(float((-step / y).max()), 0.95))
        # Close to the optimum, rounding hides the decrease; the full step is safe there.
        while slope < -1e-12 and not value(y + length * step) <= value(y) + 1e-4 * length * slope:
            length /= 2.0
            if length < 1e-12:
                return np.full(len(y), np.nan)
        y = y + length * step
    return np.full(len(y), np.nan)
