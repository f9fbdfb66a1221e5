"""The objectives that need no solver: shares from the covariance alone, long only.

The caps are put on afterwards, so a share that is cut off does not change how the others compare.
"""

import numpy as np

from hawk_assets.aggregation.task import Task
from hawk_assets.core.model import Array

STEPS = 100
BALANCED = 1e-13


def equal_weight(task: Task) -> Array:
    """The same for every model."""
    return np.ones(len(task.limits.family))


def inverse_vol(task: Task) -> Array:
    """One over the standard deviation."""
    return np.asarray(1.0 / np.sqrt(np.diag(task.estimates.covariance)), dtype=np.float64)


def risk_parity(task: Task) -> Array:
    """Shares of which each contributes the same to the variance."""
    n = len(task.limits.family)
    return with_budgets(task.estimates.covariance, np.full(n, 1.0 / n))


def risk_budget(task: Task) -> Array:
    """Shares of which each family contributes the same to the variance, its models equally."""
    sizes = np.bincount(task.limits.family)
    return with_budgets(task.estimates.covariance, 1.0 / len(sizes) / sizes[task.limits.family])


def with_budgets(covariance: Array, budgets: Array) -> Array:
    """Shares x with ``x_i (Cx)_i / x'Cx = b_i``.

    Newton's method on ``1/2 y'Ry - b'log y``, R the correlations and x = y over the standard
    deviations. Reference: Florin Spinu, An algorithm for computing risk parity weights, 2013.

    :param covariance: shape ``(n_models, n_models)``, positive definite
    :param budgets: shape ``(n_models,)``, positive, summing to 1
    :return: shape ``(n_models,)``, of any sum; NaN where it does not converge
    """
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)

    def value(y: Array) -> float:
        return float(y @ correlation @ y) / 2.0 - float(budgets @ np.log(y))

    y = np.sqrt(budgets)
    y /= np.sqrt(y @ correlation @ y)
    for _ in range(STEPS):
        gradient = correlation @ y - budgets / y
        if np.abs(y * gradient).max() <= BALANCED:
            return np.asarray(y / deviation, dtype=np.float64)
        step = -np.linalg.solve(correlation + np.diag(budgets / y**2), gradient)
        slope = float(gradient @ step)
        length = min(1.0, 0.95 / max(float((-step / y).max()), 0.95))
        # Close to the optimum the descent drowns in rounding; the full step is safe there.
        while slope < -1e-12 and not value(y + length * step) <= value(y) + 1e-4 * length * slope:
            length /= 2.0
            if length < 1e-12:
                return np.full(len(y), np.nan)
        y = y + length * step
    return np.full(len(y), np.nan)
