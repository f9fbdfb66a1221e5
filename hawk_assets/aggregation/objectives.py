"""From an objective's name to weights.

A program needs a solver, a closed form does not. To add an objective, add a function to one of the
two tables here and a line to ``OBJECTIVES`` in ``parameters``.
"""

from collections.abc import Callable, Mapping

import numpy as np

from hawk_assets.aggregation.adjustments import limit_turnover
from hawk_assets.aggregation.caps import water_fill
from hawk_assets.aggregation.closed_forms import (
    equal_weight,
    inverse_vol,
    risk_budget,
    risk_parity,
)
from hawk_assets.aggregation.conic import ConicProgram, Solve
from hawk_assets.aggregation.hrp import hrp
from hawk_assets.aggregation.optimisation import (
    SOLVED,
    OptimisationResult,
    solve_min_cvar,
    solve_program,
)
from hawk_assets.aggregation.problem import AllocationProblem, InfeasibleError
from hawk_assets.aggregation.programs import (
    max_sharpe,
    max_sharpe_net,
    min_cvar,
    min_variance,
    utility,
)
from hawk_assets.core.types import Array

PROGRAMS: Mapping[str, Callable[[AllocationProblem], ConicProgram]] = {
    "max_sharpe": max_sharpe,
    "max_sharpe_net": max_sharpe_net,
    "min_variance": min_variance,
    "utility": utility,
    "min_cvar": min_cvar,
}
"""The first ``n_models`` variables of each program are the weights, up to their scale."""

CLOSED_FORMS: Mapping[str, Callable[[AllocationProblem], Array]] = {
    "risk_parity": risk_parity,
    "risk_budget": risk_budget,
    "hrp": hrp,
    "inverse_vol": inverse_vol,
    "equal_weight": equal_weight,
}
"""Each returns shares that are not negative; the caps are applied to them here."""


def optimise_weights(
    objective: str, problem: AllocationProblem, solve: Solve
) -> OptimisationResult:
    """The weights of an objective.

    :param objective: a name in ``PROGRAMS`` or ``CLOSED_FORMS``
    :param solve: the backend
    """
    estimates = problem.estimates
    if not (np.isfinite(estimates.mean).all() and np.isfinite(estimates.covariance).all()):
        return OptimisationResult(None, "the estimates are not finite")
    if objective in CLOSED_FORMS:
        shares = CLOSED_FORMS[objective](problem)
        if not np.isfinite(shares).all():
            return OptimisationResult(None, "not converged")
        weights = water_fill(shares, problem.limits)
        return OptimisationResult(limit_turnover(weights, problem.held, problem.limits), SOLVED)
    if objective == "min_cvar":
        return solve_min_cvar(problem, solve)
    try:
        return solve_program(PROGRAMS[objective](problem), problem, solve)[0]
    except InfeasibleError as error:
        return OptimisationResult(None, f"infeasible: {error}")
