"""From an objective's name to weights.

A program is a convex problem for a solver, a closed form needs none. To add an objective is to add
a function to one of the two tables and its line to the menu in ``parameters``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hawk_assets.aggregation.closed_forms import (
    equal_weight,
    inverse_vol,
    risk_budget,
    risk_parity,
)
from hawk_assets.aggregation.conic import ConicProblem, Solve, kkt_residual, most_violated
from hawk_assets.aggregation.hrp import hrp
from hawk_assets.aggregation.limits import cleaned, filled, slowed
from hawk_assets.aggregation.polish import polished
from hawk_assets.aggregation.programs import (
    max_sharpe,
    max_sharpe_net,
    min_cvar,
    min_variance,
    utility,
)
from hawk_assets.aggregation.task import InfeasibleError, Task
from hawk_assets.core.model import Array

KKT_TOLERANCE = 1e-6
SOLVED = "Solved"
NO_SOLVER = "none"
NOTHING_PAYS = "infeasible: no mix within reach has a positive mean after costs"
FIRST_LOOK = 3.0
"""Scenarios that ``min_cvar`` begins with, as a multiple of those in the tail."""
LOOKED_OVER = 1e-7
"""A loss by which a scenario may be worse than the threshold, in standard deviations."""

PROGRAMS: Mapping[str, Callable[[Task], ConicProblem]] = {
    "max_sharpe": max_sharpe,
    "max_sharpe_net": max_sharpe_net,
    "min_variance": min_variance,
    "utility": utility,
    "min_cvar": min_cvar,
}
"""Each problem's first ``n_models`` variables are the weights, up to their scale."""

CLOSED_FORMS: Mapping[str, Callable[[Task], Array]] = {
    "risk_parity": risk_parity,
    "risk_budget": risk_budget,
    "hrp": hrp,
    "inverse_vol": inverse_vol,
    "equal_weight": equal_weight,
}
"""Each gives shares that are not negative; the caps are put on them here."""


@dataclass(frozen=True, eq=False)
class Answer:
    """:param weights: shape ``(n_models,)``; None where there are none
    :param status: ``Solved``, or why there are none
    :param solver: who was asked, or ``none``
    """

    weights: Array | None
    status: str
    solver: str = NO_SOLVER


def optimise(objective: str, task: Task, solve: Solve) -> Answer:
    """The weights of an objective.

    :param objective: a name in ``PROGRAMS`` or ``CLOSED_FORMS``
    :param solve: the backend
    """
    estimates = task.estimates
    if not (np.isfinite(estimates.mean).all() and np.isfinite(estimates.covariance).all()):
        return Answer(None, "the estimates are not finite")
    if objective in CLOSED_FORMS:
        shares = CLOSED_FORMS[objective](task)
        if not np.isfinite(shares).all():
            return Answer(None, "not converged")
        weights = filled(shares, task.limits)
        return Answer(slowed(weights, task.held, task.limits), SOLVED)
    if objective == "min_cvar":
        return _on_the_worst(task, solve)
    try:
        return _solved(PROGRAMS[objective](task), task, solve)[0]
    except InfeasibleError as error:
        return Answer(None, f"infeasible: {error}")


def _solved(problem: ConicProblem, task: Task, solve: Solve) -> tuple[Answer, Array]:
    """The answer, and all variables of the problem."""
    solution = solve(problem)
    if solution.status != SOLVED:
        # Of all programs only a ratio can be infeasible: the limits always leave a mix.
        status = NOTHING_PAYS if solution.status == "PrimalInfeasible" else solution.status
        return Answer(None, status, solution.solver), solution.x
    residual = kkt_residual(problem, solution)
    if not residual <= KKT_TOLERANCE:
        where = most_violated(problem, solution)
        why = f"rejected: KKT residual {residual:.1e} ({where})"
        return Answer(None, why, solution.solver), solution.x
    if problem.P.any():
        solution = polished(problem, solution, residual)
    weights = cleaned(solution.x[: len(task.limits.family)], task.limits)
    return Answer(weights, SOLVED, solution.solver), solution.x


def _on_the_worst(task: Task, solve: Solve) -> Answer:
    """``min_cvar`` stated on few scenarios, those added that turn out worse than its threshold.

    A scenario that loses no more than the threshold has no part in the optimum, so that the last
    problem has the solution of the whole one, in a tenth of the time.
    """
    scenarios, probability = task.estimates.scenarios, task.estimates.probability
    n_obs, n = scenarios.shape
    guess = np.full(n, 1.0 / n) if task.held is None else task.held
    start = (scenarios @ guess).argsort(kind="stable")
    kept = np.zeros(n_obs, dtype=bool)
    kept[start[: int(np.ceil(min(FIRST_LOOK * task.parameters.tail, 1.0) * n_obs))]] = True
    while True:
        part = replace(task.estimates, scenarios=scenarios[kept], probability=probability[kept])
        answer, x = _solved(min_cvar(replace(task, estimates=part)), task, solve)
        if answer.weights is None:
            return answer
        unit = np.sqrt(np.trace(task.estimates.covariance) / n)
        losses = -scenarios @ x[:n] / unit - x[len(x) - 1 - kept.sum()]
        worse = (losses > LOOKED_OVER) & ~kept
        if not worse.any():
            return answer
        kept |= worse
