"""The MOSEK backend (interior point, one thread), through its Task interface."""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem, Solution, names
from hawk_assets.aggregation.mosek_session import describe, session
from hawk_assets.core.model import Array

GAP = 1e-9
QUADRATIC = "quadratic_term"
"""The name of t, and of its cone."""


def solve(problem: ConicProblem, server: str | None = None) -> Solution:
    """Solve a conic problem with MOSEK.

    :param problem: what MOSEK refuses as data, such as NaN, is a status
    :param server: ``http://host:port`` of an OptServer; None: with a licence of this process
    :return: ``status`` as :func:`status_of` has it, or MOSEK's error or termination code
    :raises SolverError: MOSEK does not optimise, because of its licence or the server
    """
    return session(server).run(lambda task: optimise(problem, task))


def optimise(problem: ConicProblem, task: Any) -> Solution:
    """Build a Task, have it optimised, and read what was found.

    :param task: an empty ``mosek.Task``
    :raises mosek.Error: MOSEK does not optimise
    """
    import mosek

    # MOSEK looks at every number but those in cones.
    if not np.isfinite(problem.P).all():
        return _unsolved(problem, "P is not finite")
    try:
        build(problem, task)
    except mosek.Error as error:
        return _unsolved(problem, describe(error))
    ended = task.optimize()
    if not task.solutiondef(mosek.soltype.itr):
        return _unsolved(problem, str(ended))
    return solution_of(problem, task)


def build(problem: ConicProblem, task: Any) -> None:
    """Fill an empty Task with a conic problem.

    The variables are x and, for a quadratic objective, t >= 1/2 x'Px: (t, 1, Gx) with G'G = P is
    in the rotated quadratic cone. As an objective the quadratic term would go with no other cone,
    nor into MOSEK's readable file format. A zero row becomes ``a'x = b``, a nonnegative one
    ``a'x <= b``; in A, what is below 1e-12 is 0 for MOSEK. Variables and rows have the names of the
    statement, so that a file of the Task reads like it; from files MOSEK reads back only names of
    ASCII without quotes, backslashes or line breaks.

    :param problem: with a finite P
    :param task: an empty ``mosek.Task``
    :raises mosek.Error: data that MOSEK refuses, such as NaN
    """
    import mosek

    m, n = problem.A.shape
    task.puttaskname(problem.name)
    task.putintparam(mosek.iparam.num_threads, 1)
    task.putintparam(mosek.iparam.optimizer, mosek.optimizertype.intpnt)
    task.putintparam(mosek.iparam.intpnt_basis, mosek.basindtype.never)
    task.putdouparam(mosek.dparam.intpnt_co_tol_rel_gap, GAP)
    task.putdouparam(mosek.dparam.intpnt_tol_rel_gap, GAP)
    task.appendvars(n)
    task.putvarboundsliceconst(0, n, mosek.boundkey.fr, 0.0, 0.0)
    task.putcslice(0, n, problem.q)
    task.appendcons(m)
    row, column = np.nonzero(problem.A)
    task.putaijlist(row.astype(np.int32), column.astype(np.int32), problem.A[row, column])
    kinds = {"zero": mosek.boundkey.fx, "nonnegative": mosek.boundkey.up}
    keys = [kinds[kind] for kind, size in problem.cones for _ in range(size)]
    task.putconboundslice(0, m, keys, problem.b, problem.b)
    for j, name in enumerate(names(problem.variables)):
        task.putvarname(j, name)
    for i, name in enumerate(names(problem.rows)):
        task.putconname(i, name)
    if not problem.P.any():
        return
    root = _root(problem.P)
    task.appendvars(1)
    task.putvarbound(n, mosek.boundkey.fr, 0.0, 0.0)
    task.putcj(n, 1.0)
    task.putvarname(n, QUADRATIC)
    task.appendafes(2 + len(root))
    task.putafefentry(0, n, 1.0)
    task.putafeg(1, 1.0)
    row, column = np.nonzero(root)
    task.putafefentrylist(2 + row.astype(np.int64), column.astype(np.int32), root[row, column])
    cone = task.appendrquadraticconedomain(2 + len(root))
    task.appendacc(cone, np.arange(2 + len(root), dtype=np.int64), None)
    task.putaccname(0, QUADRATIC)


def status_of(solution: Any, problem: Any) -> str:
    """MOSEK's verdict in the words of :class:`Solution`.

    :param solution: a ``mosek.solsta``
    :param problem: a ``mosek.prosta``
    :return: ``Solved`` for an optimum of a feasible problem, ``PrimalInfeasible`` or
        ``DualInfeasible`` with a certificate of that; else MOSEK's own names of both
    """
    import mosek

    known = {
        (mosek.solsta.optimal, mosek.prosta.prim_and_dual_feas): "Solved",
        (mosek.solsta.prim_infeas_cer, mosek.prosta.prim_infeas): "PrimalInfeasible",
        (mosek.solsta.dual_infeas_cer, mosek.prosta.dual_infeas): "DualInfeasible",
    }
    return known.get((solution, problem), f"{solution}, {problem}")


def solution_of(problem: ConicProblem, task: Any) -> Solution:
    """What an optimised Task has found.

    :param problem: what the Task was built from
    """
    import mosek

    interior = mosek.soltype.itr
    return Solution(
        x=np.array(task.getxxslice(interior, 0, len(problem.q))),
        status=status_of(task.getsolsta(interior), task.getprosta(interior)),
        objective=task.getprimalobj(interior),
        # For MOSEK the multipliers of a minimum are those of a'x >= b.
        dual=-np.array(task.gety(interior)),
        solver="mosek",
    )


def _unsolved(problem: ConicProblem, status: str) -> Solution:
    m, n = problem.A.shape
    return Solution(np.full(n, np.nan), status, np.nan, np.full(m, np.nan), "mosek")


def _root(matrix: Array) -> Array:
    """G with ``G'G = matrix``, of as many rows as needed.

    :param matrix: symmetric and positive semidefinite, also singular
    """
    used = matrix.any(axis=0)
    block = matrix[np.ix_(used, used)]
    try:
        root = np.linalg.cholesky(block).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(block)
        kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
        root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    wide = np.zeros((len(root), len(matrix)))
    wide[:, used] = root
    return wide
