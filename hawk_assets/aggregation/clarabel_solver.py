"""The Clarabel backend (interior point, one thread, bitwise repeatable)."""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem, Solution

GAP = 1e-9


def solve(problem: ConicProblem) -> Solution:
    """Solve a conic problem with Clarabel.

    :param problem: finite data
    :return: with Clarabel's own status: ``Solved``, ``PrimalInfeasible``, ``AlmostSolved``, ...
    """
    solution = build(problem).solve()
    return Solution(
        x=np.array(solution.x),
        status=str(solution.status),
        objective=float(solution.obj_val),
        dual=np.array(solution.z),
        solver="clarabel",
    )


def build(problem: ConicProblem) -> Any:
    """A ``clarabel.DefaultSolver`` of a conic problem."""
    import clarabel
    from scipy import sparse

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = GAP
    kinds = {"zero": clarabel.ZeroConeT, "nonnegative": clarabel.NonnegativeConeT}
    return clarabel.DefaultSolver(
        sparse.csc_matrix(np.triu(problem.P)),
        problem.q,
        sparse.csc_matrix(problem.A),
        problem.b,
        [kinds[kind](size) for kind, size in problem.cones],
        settings,
    )
