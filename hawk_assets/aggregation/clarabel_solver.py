"""The Clarabel backend: interior point, one thread, repeatable in every bit."""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProgram, Solution
from hawk_assets.core.types import Array

GAP_TOLERANCE = 1e-9


def solve(program: ConicProgram) -> Solution:
    """Solve a conic program with Clarabel.

    :param program: finite data
    :return: with Clarabel's own status: ``Solved``, ``PrimalInfeasible``, ``AlmostSolved``, ...
    """
    solution = build_solver(program).solve()
    return Solution(
        x=np.array(solution.x),
        status=str(solution.status),
        objective=float(solution.obj_val),
        dual=np.array(solution.z),
        solver="clarabel",
    )


def build_solver(program: ConicProgram) -> Any:
    """A ``clarabel.DefaultSolver`` for a conic program."""
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = GAP_TOLERANCE
    kinds = {"zero": clarabel.ZeroConeT, "nonnegative": clarabel.NonnegativeConeT}
    return clarabel.DefaultSolver(
        _to_sparse(np.triu(program.P)),
        program.q,
        _to_sparse(program.A),
        program.b,
        [kinds[kind](size) for kind, size in program.cones],
        settings,
    )


def _to_sparse(matrix: Array) -> Any:
    """A ``scipy.sparse.csc_matrix`` of the entries that are not 0."""
    from scipy import sparse

    # Takes a third of the time of csc_matrix(matrix), which builds coordinates first.
    by_column = np.ascontiguousarray(matrix.T)
    used = by_column != 0
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    rows = np.broadcast_to(np.arange(matrix.shape[0]), used.shape)[used]
    return sparse.csc_matrix((by_column[used], rows, starts), shape=matrix.shape)
