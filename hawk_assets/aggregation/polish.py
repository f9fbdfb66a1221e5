"""The last digits of a quadratic program's solution, which an interior-point method leaves open."""

from dataclasses import replace

import numpy as np

from hawk_assets.aggregation.conic import ConicProgram, Solution
from hawk_assets.aggregation.kkt import equality_rows, kkt_residual

REGULARISATION = 1e-9
REFINEMENTS = 2


def polish(program: ConicProgram, solution: Solution, residual: float) -> Solution:
    """Solve a quadratic program exactly on the rows that bind at a solution.

    An interior-point method stops within about 1e-6 of the weights, and at a slightly different
    point when the last digits of its data change. By then it has found which rows bind. Given
    those rows, the optimum is the solution of linear equations. Reference: Bartolomeo Stellato,
    Goran Banjac, Paul Goulart, Alberto Bemporad and Stephen Boyd, OSQP: an operator splitting
    solver for quadratic programs, Mathematical Programming Computation 12, 2020, section 5.4.

    :param solution: ``Solved``
    :param residual: the KKT residual of ``solution``
    :return: the solution with the smaller KKT residual of the two
    """
    from scipy.linalg import lu_factor, lu_solve

    n = len(program.q)
    binding = equality_rows(program) | (solution.dual > program.b - program.A @ solution.x)
    rows = program.A[binding]
    exact = np.zeros((n + len(rows), n + len(rows)))
    exact[:n, :n], exact[:n, n:], exact[n:, :n] = program.P, rows.T, rows
    right = np.concatenate([-program.q, program.b[binding]])
    # Dependent rows make the equations singular; a small multiple of the identity prevents that.
    regular = exact.copy()
    np.einsum("ii->i", regular)[:] += np.where(
        np.arange(len(exact)) < n, REGULARISATION, -REGULARISATION
    )
    factors = lu_factor(regular, overwrite_a=True, check_finite=False)
    point = lu_solve(factors, right, check_finite=False)
    for _ in range(REFINEMENTS):
        point = point + lu_solve(factors, right - exact @ point, check_finite=False)
    dual = np.zeros(len(program.b))
    dual[binding] = point[n:]
    x = point[:n]
    refined = replace(
        solution, x=x, dual=dual, objective=float(x @ program.P @ x / 2.0 + program.q @ x)
    )
    return refined if kkt_residual(program, refined) < residual else solution
