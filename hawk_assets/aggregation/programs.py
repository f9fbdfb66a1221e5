"""The objectives that need a solver, each stated as a convex problem over the same limits.

The first ``n_models`` variables are the weights, up to their scale. Data is scaled to size one:
an interior-point method measures its tolerances against it.
"""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem
from hawk_assets.aggregation.estimation import SESSIONS_PER_MONTH
from hawk_assets.aggregation.limits import Region, attainable_mean, region
from hawk_assets.aggregation.task import InfeasibleError, Task
from hawk_assets.core.model import Array


def max_sharpe(task: Task) -> ConicProblem:
    """Maximise mean over standard deviation.

    :raises InfeasibleError: no mix within the caps has a positive mean, so that the ratio has no
        maximum worth holding
    """
    return _largest_ratio("max_sharpe", task, task.estimates.mean, cost=0.0)


def max_sharpe_net(task: Task) -> ConicProblem:
    """Maximise mean less the cost of trading, over standard deviation.

    The cost of a rebalancing is spread over the sessions of a month; the mean is shrunk.

    :raises InfeasibleError: as for ``max_sharpe``; that the cost eats up every positive mean is for
        the solver to find out
    """
    cost = task.parameters.cost_bps * 1e-4 / SESSIONS_PER_MONTH
    return _largest_ratio("max_sharpe_net", task, task.estimates.shrunk_mean, cost)


def min_variance(task: Task) -> ConicProblem:
    """Minimise the variance, ``1/2 w'Cw``."""
    allowed = region(task.limits, task.held)
    return _over("min_variance", allowed, _scaled(task)[0], np.zeros(len(allowed.sold)))


def utility(task: Task) -> ConicProblem:
    """Minimise ``a/2 w'Cw - m'w``, a the risk aversion, m the shrunk mean."""
    allowed = region(task.limits, task.held)
    covariance, variance = _scaled(task)
    force = np.zeros(len(allowed.sold))
    force[: len(covariance)] = -task.estimates.shrunk_mean / (
        task.parameters.risk_aversion * variance
    )
    size = max(1.0, np.abs(force).max())
    return _over("utility", allowed, covariance / size, force / size)


def min_cvar(task: Task) -> ConicProblem:
    """Minimise the expected loss of the worst scenarios, the ``tail`` share of them.

    ``min a + p'u / tail`` subject to ``u >= -Rw - a``, ``u >= 0``. Reference: R. Tyrrell
    Rockafellar and Stanislav Uryasev, Optimization of conditional value-at-risk, Journal of Risk 2,
    2000.

    :return: variables of the limits, then a and the n_obs u, numbered as the scenarios of the
        estimates are; no quadratic term
    """
    allowed = region(task.limits, task.held)
    scenarios = task.estimates.scenarios / np.sqrt(_scaled(task)[1])
    n_obs, n = scenarios.shape
    width = len(allowed.sold)
    losses = np.zeros((2 * n_obs, width + 1 + n_obs))
    losses[:n_obs, :n] = -scenarios
    losses[:n_obs, width] = -1.0
    for half in (losses[:n_obs], losses[n_obs:]):
        np.fill_diagonal(half[:, width + 1 :], -1.0)
    grown = Region(
        np.pad(allowed.equal, ((0, 0), (0, 1 + n_obs))),
        allowed.one,
        np.vstack([np.pad(allowed.below, ((0, 0), (0, 1 + n_obs))), losses]),
        np.concatenate([allowed.bound, np.zeros(2 * n_obs)]),
        np.pad(allowed.sold, (0, 1 + n_obs)),
        (*allowed.variables, ("value_at_risk", None), ("excess", range(n_obs))),
        (*allowed.rows, ("loss", range(n_obs)), ("excess_floor", range(n_obs))),
    )
    force = np.zeros(width + 1 + n_obs)
    force[width], force[width + 1 :] = 1.0, task.estimates.probability / task.parameters.tail
    return _over("min_cvar", grown, np.zeros((0, 0)), force)


def _largest_ratio(name: str, task: Task, mean: Array, cost: float) -> ConicProblem:
    """Maximise ``(m'w - cost of turnover) / sqrt(w'Cw)``, as a quadratic program.

    With y = k w: ``min 1/2 y'Cy`` subject to ``m'y - cost >= 1`` and the limits times k; the
    weights are ``y / k``. Reference: A. Charnes and W. W. Cooper, Programming with linear
    fractional functionals, Naval Research Logistics Quarterly 9, 1962.

    :param cost: of a unit of absolute change, per session; a sale is half of a turnover
    :return: variables of the limits times k, then k
    """
    if task.limits.long_only and attainable_mean(mean, task.limits) <= 0:
        raise InfeasibleError("no mix has a positive mean")
    allowed = region(task.limits, task.held, count_sales=cost > 0)
    size = np.abs(mean).max()
    net = -2.0 * cost / size * allowed.sold
    net[: len(mean)] += mean / size
    ray = Region(
        np.hstack([allowed.equal, -allowed.one[:, None]]),
        np.zeros(len(allowed.one)),
        np.vstack([np.append(-net, 0.0), np.hstack([allowed.below, -allowed.bound[:, None]])]),
        np.append(-1.0, np.zeros(len(allowed.bound))),
        np.append(allowed.sold, 0.0),
        (*allowed.variables, ("scale", None)),
        (("net_mean", None), *allowed.rows),
    )
    return _over(name, ray, _scaled(task)[0], np.zeros(len(ray.sold)))


def _over(name: str, allowed: Region, curvature: Array, force: Array) -> ConicProblem:
    """Minimise a quadratic of the first variables over a region."""
    more: Any = (0, len(force) - len(curvature))
    return ConicProblem(
        name=name,
        P=np.pad(curvature, more),
        q=force,
        A=np.vstack([allowed.equal, allowed.below]),
        b=np.concatenate([allowed.one, allowed.bound]),
        cones=(("zero", len(allowed.one)), ("nonnegative", len(allowed.bound))),
        variables=allowed.variables,
        rows=(("budget", None), *allowed.rows),
    )


def _scaled(task: Task) -> tuple[Array, float]:
    """The covariance in units of the average variance, and that."""
    covariance = task.estimates.covariance
    variance = float(np.trace(covariance)) / len(covariance)
    return np.asarray(covariance / variance, dtype=np.float64), variance
