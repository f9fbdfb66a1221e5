"""The objectives that need a solver, each as a convex program over the feasible set.

The first ``n_models`` variables are the weights, up to their scale. The data is scaled to size one,
because an interior-point method measures its tolerances against the size of its data.
"""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProgram
from hawk_assets.aggregation.estimation import SESSIONS_PER_MONTH
from hawk_assets.aggregation.feasible_set import (
    FeasibleSet,
    build_feasible_set,
    find_largest_mean,
)
from hawk_assets.aggregation.problem import AllocationProblem, InfeasibleError
from hawk_assets.core.types import Array


def max_sharpe(problem: AllocationProblem) -> ConicProgram:
    """Maximise mean over standard deviation.

    :raises InfeasibleError: no weights within the caps have a positive mean; the ratio then has no
        maximum worth holding
    """
    return _maximise_ratio("max_sharpe", problem, problem.estimates.mean, cost=0.0)


def max_sharpe_net(problem: AllocationProblem) -> ConicProgram:
    """Maximise mean less the cost of trading, over standard deviation.

    The cost of a rebalancing is spread over the sessions of a month. The mean is shrunk.

    :raises InfeasibleError: as for ``max_sharpe``; if only the cost makes every mean negative, the
        solver finds the program infeasible
    """
    cost = problem.parameters.cost_bps * 1e-4 / SESSIONS_PER_MONTH
    return _maximise_ratio("max_sharpe_net", problem, problem.estimates.shrunk_mean, cost)


def min_variance(problem: AllocationProblem) -> ConicProgram:
    """Minimise the variance, ``1/2 w'Cw``."""
    feasible = build_feasible_set(problem.limits, problem.held)
    curvature = _scale_covariance(problem)[0]
    return _minimise("min_variance", feasible, curvature, np.zeros(len(feasible.sold)))


def utility(problem: AllocationProblem) -> ConicProgram:
    """Minimise ``a/2 w'Cw - m'w``, with a the risk aversion and m the shrunk mean."""
    feasible = build_feasible_set(problem.limits, problem.held)
    covariance, variance = _scale_covariance(problem)
    linear = np.zeros(len(feasible.sold))
    linear[: len(covariance)] = -problem.estimates.shrunk_mean / (
        problem.parameters.risk_aversion * variance
    )
    size = max(1.0, np.abs(linear).max())
    return _minimise("utility", feasible, covariance / size, linear / size)


def min_cvar(problem: AllocationProblem) -> ConicProgram:
    """Minimise the expected loss of the worst scenarios, a share ``tail`` of them.

    ``min a + p'u / tail`` subject to ``u >= -Rw - a``, ``u >= 0``. Reference: R. Tyrrell
    Rockafellar and Stanislav Uryasev, Optimization of conditional value-at-risk, Journal of Risk 2,
    2000.

    :return: the variables of the feasible set, then a, then the n_obs u in the order of the
        scenarios; no quadratic term
    """
    feasible = build_feasible_set(problem.limits, problem.held)
    scenarios = problem.estimates.scenarios / np.sqrt(_scale_covariance(problem)[1])
    n_obs, n = scenarios.shape
    width = len(feasible.sold)
    losses = np.zeros((2 * n_obs, width + 1 + n_obs))
    losses[:n_obs, :n] = -scenarios
    losses[:n_obs, width] = -1.0
    for half in (losses[:n_obs], losses[n_obs:]):
        np.fill_diagonal(half[:, width + 1 :], -1.0)
    extended = FeasibleSet(
        np.pad(feasible.a_eq, ((0, 0), (0, 1 + n_obs))),
        feasible.b_eq,
        np.vstack([np.pad(feasible.a_ub, ((0, 0), (0, 1 + n_obs))), losses]),
        np.concatenate([feasible.b_ub, np.zeros(2 * n_obs)]),
        np.pad(feasible.sold, (0, 1 + n_obs)),
        (*feasible.variables, ("value_at_risk", None), ("excess", range(n_obs))),
        (*feasible.rows, ("loss", range(n_obs)), ("excess_floor", range(n_obs))),
    )
    linear = np.zeros(width + 1 + n_obs)
    linear[width] = 1.0
    linear[width + 1 :] = problem.estimates.probability / problem.parameters.tail
    return _minimise("min_cvar", extended, np.zeros((0, 0)), linear)


def _maximise_ratio(
    name: str, problem: AllocationProblem, mean: Array, cost: float
) -> ConicProgram:
    """Maximise ``(m'w - cost of turnover) / sqrt(w'Cw)``, as a quadratic program.

    With y = k w: ``min 1/2 y'Cy`` subject to ``m'y - cost >= 1`` and the limits times k; the
    weights are ``y / k``. Reference: A. Charnes and W. W. Cooper, Programming with linear
    fractional functionals, Naval Research Logistics Quarterly 9, 1962.

    :param cost: of a unit of absolute change, per session; the amount sold is half of the change
    :return: the variables of the feasible set times k, then k
    """
    if problem.limits.long_only and find_largest_mean(mean, problem.limits) <= 0:
        raise InfeasibleError("no mix has a positive mean")
    feasible = build_feasible_set(problem.limits, problem.held, count_sales=cost > 0)
    size = np.abs(mean).max()
    net = -2.0 * cost / size * feasible.sold
    net[: len(mean)] += mean / size
    scaled = FeasibleSet(
        np.hstack([feasible.a_eq, -feasible.b_eq[:, None]]),
        np.zeros(len(feasible.b_eq)),
        np.vstack([np.append(-net, 0.0), np.hstack([feasible.a_ub, -feasible.b_ub[:, None]])]),
        np.append(-1.0, np.zeros(len(feasible.b_ub))),
        np.append(feasible.sold, 0.0),
        (*feasible.variables, ("scale", None)),
        (("net_mean", None), *feasible.rows),
    )
    return _minimise(name, scaled, _scale_covariance(problem)[0], np.zeros(len(scaled.sold)))


def _minimise(name: str, feasible: FeasibleSet, curvature: Array, linear: Array) -> ConicProgram:
    """Minimise a quadratic function over a feasible set.

    :param curvature: of the first variables; the others have none
    :param linear: shape ``(n_variables,)``
    """
    padding: Any = (0, len(linear) - len(curvature))
    return ConicProgram(
        name=name,
        P=np.pad(curvature, padding),
        q=linear,
        A=np.vstack([feasible.a_eq, feasible.a_ub]),
        b=np.concatenate([feasible.b_eq, feasible.b_ub]),
        cones=(("zero", len(feasible.b_eq)), ("nonnegative", len(feasible.b_ub))),
        variables=feasible.variables,
        rows=(("budget", None), *feasible.rows),
    )


def _scale_covariance(problem: AllocationProblem) -> tuple[Array, float]:
    """The covariance in units of the average variance, and the average variance."""
    covariance = problem.estimates.covariance
    variance = float(np.trace(covariance)) / len(covariance)
    return np.asarray(covariance / variance, dtype=np.float64), variance
