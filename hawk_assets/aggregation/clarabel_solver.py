"""The Clarabel backend (interior point, one thread, bitwise repeatable)."""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem, Solution
from hawk_assets.core.model import Array

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

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = GAP
    kinds = {"zero": clarabel.ZeroConeT, "nonnegative": clarabel.NonnegativeConeT}
    return clarabel.DefaultSolver(
        _columns(np.triu(problem.P)),
        problem.q,
        _columns(problem.A),
        problem.b,
        [kinds[kind](size) for kind, size in problem.cones],
        settings,
    )


def _columns(matrix: Array) -> Any:
    """A ``scipy.sparse.csc_matrix`` of the entries that are not 0."""
    from scipy import sparse

    # In a third of the time of csc_matrix(matrix), which goes by way of coordinates.
    by_column = np.ascontiguousarray(matrix.T)
    used = by_column != 0
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    rows = np.broadcast_to(np.arange(matrix.shape[0]), used.shape)[used]
    return sparse.csc_matrix((by_column[used], rows, starts), shape=matrix.shape)
