"""The objectives: what is sought in a mix of models, from estimates to weights.

A program is a convex problem for a solver, a closed form needs none. To add an objective is to add
a function to one of the two tables. Weights are shares of the book: long-only, fully invested,
none above the cap, which the caller keeps at ``1 / n_models`` or more.
"""

from collections.abc import Callable, Mapping

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem, Solve, kkt_residual
from hawk_assets.aggregation.estimation import Estimates
from hawk_assets.core.model import Array

DUST = 1e-6
"""A share below this is the residue of an interior-point method, not a holding."""
KKT_TOLERANCE = 1e-6
SOLVED = "Solved"


class InfeasibleError(Exception):
    """No mix has what the objective asks for; seen by ``optimise`` only."""


def attainable_mean(mean: Array, cap: float) -> float:
    """The largest mean of any mix: the caps filled with the best models first.

    :param mean: shape ``(n_models,)``
    """
    filled = np.clip(1.0 - cap * np.arange(len(mean)), 0.0, cap)
    return float(-np.sort(-mean) @ filled)


def max_sharpe(estimates: Estimates, cap: float) -> ConicProblem:
    """Maximise mean over standard deviation, as a quadratic program.

    ``min 1/2 y'Cy`` subject to ``m'y = 1``, ``1'y = k``, ``0 <= y <= cap k``; the weights are
    ``y / k``. Reference: A. Charnes and W. W. Cooper, Programming with linear fractional
    functionals, Naval Research Logistics Quarterly 9, 1962.

    :return: variables y and k; m and C scaled to size one
    :raises InfeasibleError: no mix within the cap has a positive mean, so that the ratio has no
        maximum worth holding
    """
    if attainable_mean(estimates.mean, cap) <= 0:
        raise InfeasibleError("no mix has a positive mean")
    n = len(estimates.mean)
    ones, eye = np.ones(n), np.eye(n)
    mean = estimates.mean / np.abs(estimates.mean).max()
    return ConicProblem(
        name="max_sharpe",
        P=np.pad(_scaled(estimates.covariance), (0, 1)),
        q=np.zeros(n + 1),
        A=np.column_stack(
            [
                np.vstack([mean, ones, -eye, eye]),
                np.concatenate([[0.0, -1.0], np.zeros(n), np.full(n, -cap)]),
            ]
        ),
        b=np.concatenate([[1.0], np.zeros(2 * n + 1)]),
        cones=(("zero", 2), ("nonnegative", 2 * n)),
    )


def min_variance(estimates: Estimates, cap: float) -> ConicProblem:
    """Minimise the variance: ``min 1/2 w'Cw`` subject to ``1'w = 1``, ``0 <= w <= cap``.

    :return: variables w; C scaled to size one
    """
    n = len(estimates.mean)
    return ConicProblem(
        name="min_variance",
        P=_scaled(estimates.covariance),
        q=np.zeros(n),
        A=np.vstack([np.ones(n), -np.eye(n), np.eye(n)]),
        b=np.concatenate([[1.0], np.zeros(n), np.full(n, cap)]),
        cones=(("zero", 1), ("nonnegative", 2 * n)),
    )


def inverse_vol(estimates: Estimates, cap: float) -> Array:
    """Shares proportional to one over the standard deviation."""
    return capped(1.0 / np.sqrt(np.diag(estimates.covariance)), cap)


PROGRAMS: Mapping[str, Callable[[Estimates, float], ConicProblem]] = {
    "max_sharpe": max_sharpe,
    "min_variance": min_variance,
}
"""Each problem's first ``n_models`` variables are the weights, up to their scale."""

CLOSED_FORMS: Mapping[str, Callable[[Estimates, float], Array]] = {
    "inverse_vol": inverse_vol,
}


def optimise(
    objective: str, estimates: Estimates, cap: float, solve: Solve
) -> tuple[Array | None, str]:
    """The weights of an objective.

    :param objective: a name in ``PROGRAMS`` or ``CLOSED_FORMS``
    :param estimates: of the models to be mixed
    :param cap: the largest weight, at least ``1 / n_models``
    :param solve: the backend
    :return: the weights, shape ``(n_models,)``, and ``Solved``; or None and why there are none
    """
    if objective in CLOSED_FORMS:
        weights = CLOSED_FORMS[objective](estimates, cap)
        return (weights, SOLVED) if np.isfinite(weights).all() else (None, "not finite")
    try:
        problem = PROGRAMS[objective](estimates, cap)
    except InfeasibleError as error:
        return None, f"infeasible: {error}"
    solution = solve(problem)
    if solution.status != SOLVED:
        return None, solution.status
    residual = kkt_residual(problem, solution)
    if not residual <= KKT_TOLERANCE:
        return None, f"rejected: KKT residual {residual:.1e}"
    return cleaned(solution.x[: len(estimates.mean)], cap), SOLVED


def cleaned(solution: Array, cap: float) -> Array:
    """Weights without an interior-point method's residue.

    :param solution: shape ``(n_models,)``, proportional to the weights up to the residue
    :return: shares below 1e-6 set to 0, summing to 1 within 1e-12, none above the cap
    """
    shares = solution / solution.sum()
    return capped(np.where(shares < DUST, 0.0, shares), cap)


def capped(shares: Array, cap: float) -> Array:
    """Weights proportional to ``shares``, none above ``cap``, summing to 1.

    What is cut off goes to the others in proportion; to those without a share, equally, when the
    others are full.

    :param shares: shape ``(n_models,)``, not negative
    :param cap: at least ``1 / n_models``
    """
    weights = np.full(len(shares), cap)
    free = np.ones(len(shares), dtype=bool)
    while free.any():
        left, total = max(1.0 - cap * np.count_nonzero(~free), 0.0), shares[free].sum()
        weights[free] = left * (1.0 / free.sum() if total == 0 else shares[free] / total)
        over = free & (weights > cap)
        weights[over] = cap
        free &= ~over
        if not over.any():
            break
    return weights


def _scaled(covariance: Array) -> Array:
    return np.asarray(covariance / (np.trace(covariance) / len(covariance)), dtype=np.float64)
