"""From an interior-point method's answer to the problem's own, to the last digits."""

from dataclasses import replace

import numpy as np

from hawk_assets.aggregation.conic import ConicProblem, Solution, kkt_residual

DELTA = 1e-9
REFINEMENTS = 2


def polished(problem: ConicProblem, solution: Solution, residual: float) -> Solution:
    """The optimum of a quadratic program, solved exactly on the rows that bind.

    An interior-point method stops within 1e-6 or so of the weights, and elsewhere when its data
    moves in the last digits. Which rows bind it has found by then: on those the optimum is the
    solution of linear equations. Reference: Bartolomeo Stellato, Goran Banjac, Paul Goulart,
    Alberto Bemporad and Stephen Boyd, OSQP: an operator splitting solver for quadratic programs,
    Mathematical Programming Computation 12, 2020, section 5.4.

    :param solution: ``Solved``
    :param residual: how far it is from the conditions of optimality
    :return: the better of the two by these
    """
    from scipy.linalg import lu_factor, lu_solve

    n = len(problem.q)
    equality = np.repeat(
        [kind == "zero" for kind, _ in problem.cones], [size for _, size in problem.cones]
    )
    binding = equality | (solution.dual > problem.b - problem.A @ solution.x)
    rows = problem.A[binding]
    exact = np.zeros((n + len(rows), n + len(rows)))
    exact[:n, :n], exact[:n, n:], exact[n:, :n] = problem.P, rows.T, rows
    right = np.concatenate([-problem.q, problem.b[binding]])
    # Rows that say the same twice leave the equations singular; a trace of the identity does not.
    shifted = exact.copy()
    np.einsum("ii->i", shifted)[:] += np.where(np.arange(len(exact)) < n, DELTA, -DELTA)
    factors = lu_factor(shifted, overwrite_a=True, check_finite=False)
    point = lu_solve(factors, right, check_finite=False)
    for _ in range(REFINEMENTS):
        point = point + lu_solve(factors, right - exact @ point, check_finite=False)
    dual = np.zeros(len(problem.b))
    dual[binding] = point[n:]
    x = point[:n]
    better = replace(
        solution, x=x, dual=dual, objective=float(x @ problem.P @ x / 2.0 + problem.q @ x)
    )
    return better if kkt_residual(problem, better) < residual else solution
