"""The check that a solution is optimal, by the conditions of Karush, Kuhn and Tucker."""

import numpy as np

from hawk_assets.aggregation.conic import ConicProgram, Solution, list_names
from hawk_assets.core.types import Array, Flags


def kkt_residual(program: ConicProgram, solution: Solution) -> float:
    """How far a solution is from optimal.

    :return: the largest violation of primal feasibility, dual feasibility, stationarity and zero
        duality gap, each relative to the size of its terms; NaN when the solution has one
    """
    return float(_violations(program, solution).max())


def most_violated_condition(program: ConicProgram, solution: Solution) -> str:
    """The name of the condition with the largest violation, the first of several; NaN counts most.

    :return: a row; else ``multiplier of`` a row, ``derivative by`` a variable, or ``duality gap``
    """
    rows = list_names(program.rows)
    conditions = [
        *rows,
        *(f"multiplier of {row}" for row in rows),
        *(f"derivative by {variable}" for variable in list_names(program.variables)),
        "duality gap",
    ]
    return conditions[_violations(program, solution).argmax()]


def equality_rows(program: ConicProgram) -> Flags:
    """Whether each row is an equality, shape ``(m,)``."""
    return np.repeat(
        [kind == "zero" for kind, _ in program.cones], [size for _, size in program.cones]
    )


def _violations(program: ConicProgram, solution: Solution) -> Array:
    """The violation of each condition: m rows, m multipliers, n derivatives and the gap."""
    x, z = solution.x, solution.dual
    curvature, force, rows = program.P @ x, program.A.T @ z, program.A @ x
    slack = program.b - rows
    equality = equality_rows(program)
    primal = np.where(equality, np.abs(slack), np.maximum(-slack, 0.0))
    sign = np.where(equality, 0.0, np.maximum(-z, 0.0))
    stationarity = np.abs(curvature + program.q + force)
    quadratic = float(x @ curvature)
    gap = abs(quadratic + float(program.q @ x) + float(program.b @ z))
    row_size = 1.0 + max(np.abs(program.b).max(), np.abs(rows).max())
    force_size = 1.0 + max(np.abs(curvature).max(), np.abs(program.q).max(), np.abs(force).max())
    return np.concatenate(
        [primal / row_size, sign / force_size, stationarity / force_size, [gap / (1.0 + quadratic)]]
    )
