"""From a convex program to weights: solve, check, refine, and remove the solver's residue."""

from dataclasses import dataclass, replace

import numpy as np

from hawk_assets.aggregation.adjustments import remove_residue
from hawk_assets.aggregation.conic import ConicProgram, Solve
from hawk_assets.aggregation.kkt import kkt_residual, most_violated_condition
from hawk_assets.aggregation.polish import polish
from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.aggregation.programs import min_cvar
from hawk_assets.core.types import Array

KKT_TOLERANCE = 1e-6
SOLVED = "Solved"
NO_SOLVER = "none"
NO_POSITIVE_MEAN = "infeasible: no mix within reach has a positive mean after costs"
INITIAL_SCENARIOS = 3.0
"""The number of scenarios that ``min_cvar`` starts with, as a multiple of those in the tail."""
LOSS_TOLERANCE = 1e-7
"""How far a scenario's loss may exceed the threshold, in standard deviations."""


@dataclass(frozen=True, eq=False)
class OptimisationResult:
    """:param weights: shape ``(n_models,)``; None if there is no solution
    :param status: ``Solved``, or why there is no solution
    :param solver: the solver that was called, or ``none``
    """

    weights: Array | None
    status: str
    solver: str = NO_SOLVER


def solve_program(
    program: ConicProgram, problem: AllocationProblem, solve: Solve
) -> tuple[OptimisationResult, Array]:
    """The weights of a convex program, and all of its variables as the solver returned them.

    :param program: its first ``n_models`` variables are the weights, up to their scale
    """
    solution = solve(program)
    if solution.status != SOLVED:
        # Only a ratio can be infeasible: the limits alone always leave some weights.
        status = NO_POSITIVE_MEAN if solution.status == "PrimalInfeasible" else solution.status
        return OptimisationResult(None, status, solution.solver), solution.x
    residual = kkt_residual(program, solution)
    if not residual <= KKT_TOLERANCE:
        worst = most_violated_condition(program, solution)
        status = f"rejected: KKT residual {residual:.1e} ({worst})"
        return OptimisationResult(None, status, solution.solver), solution.x
    if program.P.any():
        solution = polish(program, solution, residual)
    weights = remove_residue(solution.x[: len(problem.limits.family)], problem.limits)
    return OptimisationResult(weights, SOLVED, solution.solver), solution.x


def solve_min_cvar(problem: AllocationProblem, solve: Solve) -> OptimisationResult:
    """The weights of ``min_cvar``, found on a few scenarios.

    The first program holds the worst scenarios of the held weights. While other scenarios lose
    more than its threshold, they are added and the program is solved again. A scenario that loses
    no more than the threshold has no effect on the optimum, so the last program has the solution
    of the full one, in a tenth of the time.
    """
    scenarios, probability = problem.estimates.scenarios, problem.estimates.probability
    n_obs, n = scenarios.shape
    start = np.full(n, 1.0 / n) if problem.held is None else problem.held
    order = (scenarios @ start).argsort(kind="stable")
    used = np.zeros(n_obs, dtype=bool)
    share = min(INITIAL_SCENARIOS * problem.parameters.tail, 1.0)
    used[order[: int(np.ceil(share * n_obs))]] = True
    while True:
        part = replace(problem.estimates, scenarios=scenarios[used], probability=probability[used])
        result, x = solve_program(min_cvar(replace(problem, estimates=part)), problem, solve)
        if result.weights is None:
            return result
        unit = np.sqrt(np.trace(problem.estimates.covariance) / n)
        losses = -scenarios @ x[:n] / unit - x[len(x) - 1 - used.sum()]
        worse = (losses > LOSS_TOLERANCE) & ~used
        if not worse.any():
            return result
        used |= worse
