"""The MOSEK backend (interior point, one thread), through its Task interface."""

from typing import Any

import numpy as np

from hawk_assets.aggregation.conic import ConicProgram, Solution, list_names
from hawk_assets.aggregation.mosek_session import describe_error, get_session
from hawk_assets.core.types import Array

GAP_TOLERANCE = 1e-9
QUADRATIC = "quadratic_term"
"""The name of the variable t and of its cone."""


def solve(program: ConicProgram, server: str | None = None) -> Solution:
    """Solve a conic program with MOSEK.

    :param program: data that MOSEK refuses, such as NaN, leads to a status, not to an error
    :param server: ``http://host:port`` of an OptServer; None: use a licence of this process
    :return: ``status`` as in :func:`translate_status`, or MOSEK's error or termination code
    :raises SolverError: MOSEK cannot be used, because of its licence or the server
    """
    return get_session(server).run(lambda task: optimise_task(program, task))


def optimise_task(program: ConicProgram, task: Any) -> Solution:
    """Fill a Task, optimise it, and read the solution.

    :param task: an empty ``mosek.Task``
    :raises mosek.Error: MOSEK cannot optimise
    """
    import mosek

    # MOSEK checks every number except those in cones.
    if not np.isfinite(program.P).all():
        return _unsolved(program, "P is not finite")
    try:
        build_task(program, task)
    except mosek.Error as error:
        return _unsolved(program, describe_error(error))
    ended = task.optimize()
    if not task.solutiondef(mosek.soltype.itr):
        return _unsolved(program, str(ended))
    return read_solution(program, task)


def build_task(program: ConicProgram, task: Any) -> None:
    """Fill an empty Task with a conic program.

    The variables are x and, for a quadratic objective, t >= 1/2 x'Px: (t, 1, Gx) with G'G = P is
    in the rotated quadratic cone. MOSEK cannot combine a quadratic objective with cones and cannot
    write one in its readable file format. A zero row becomes ``a'x = b``, a nonnegative row
    ``a'x <= b``. MOSEK treats entries of A below 1e-12 as 0. Variables and rows keep the names of
    the program, so that a file of the Task is readable. MOSEK reads names back from files only if
    they are ASCII without quotes, backslashes or line breaks.

    :param program: with a finite P
    :param task: an empty ``mosek.Task``
    :raises mosek.Error: data that MOSEK refuses, such as NaN
    """
    import mosek

    m, n = program.A.shape
    task.puttaskname(program.name)
    task.putintparam(mosek.iparam.num_threads, 1)
    task.putintparam(mosek.iparam.optimizer, mosek.optimizertype.intpnt)
    task.putintparam(mosek.iparam.intpnt_basis, mosek.basindtype.never)
    task.putdouparam(mosek.dparam.intpnt_co_tol_rel_gap, GAP_TOLERANCE)
    task.putdouparam(mosek.dparam.intpnt_tol_rel_gap, GAP_TOLERANCE)
    task.appendvars(n)
    task.putvarboundsliceconst(0, n, mosek.boundkey.fr, 0.0, 0.0)
    task.putcslice(0, n, program.q)
    task.appendcons(m)
    row, column = np.nonzero(program.A)
    task.putaijlist(row.astype(np.int32), column.astype(np.int32), program.A[row, column])
    kinds = {"zero": mosek.boundkey.fx, "nonnegative": mosek.boundkey.up}
    keys = [kinds[kind] for kind, size in program.cones for _ in range(size)]
    task.putconboundslice(0, m, keys, program.b, program.b)
    for j, name in enumerate(list_names(program.variables)):
        task.putvarname(j, name)
    for i, name in enumerate(list_names(program.rows)):
        task.putconname(i, name)
    if not program.P.any():
        return
    root = _factorise(program.P)
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


def translate_status(solution: Any, problem: Any) -> str:
    """MOSEK's status in the words of :class:`Solution`.

    :param solution: a ``mosek.solsta``
    :param problem: a ``mosek.prosta``
    :return: ``Solved`` for an optimum of a feasible problem; ``PrimalInfeasible`` or
        ``DualInfeasible`` if MOSEK has a certificate of that; else MOSEK's own names of both
    """
    import mosek

    known = {
        (mosek.solsta.optimal, mosek.prosta.prim_and_dual_feas): "Solved",
        (mosek.solsta.prim_infeas_cer, mosek.prosta.prim_infeas): "PrimalInfeasible",
        (mosek.solsta.dual_infeas_cer, mosek.prosta.dual_infeas): "DualInfeasible",
    }
    return known.get((solution, problem), f"{solution}, {problem}")


def read_solution(program: ConicProgram, task: Any) -> Solution:
    """The solution of an optimised Task.

    :param program: the program of the Task
    """
    import mosek

    interior = mosek.soltype.itr
    return Solution(
        x=np.array(task.getxxslice(interior, 0, len(program.q))),
        status=translate_status(task.getsolsta(interior), task.getprosta(interior)),
        objective=task.getprimalobj(interior),
        # MOSEK's multipliers of a minimisation belong to a'x >= b, so the sign changes.
        dual=-np.array(task.gety(interior)),
        solver="mosek",
    )


def _unsolved(program: ConicProgram, status: str) -> Solution:
    m, n = program.A.shape
    return Solution(np.full(n, np.nan), status, np.nan, np.full(m, np.nan), "mosek")


def _factorise(matrix: Array) -> Array:
    """G with ``G'G = matrix``, with as many rows as needed.

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
