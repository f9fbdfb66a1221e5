"""A convex problem as data, its solution, and the check that one solves the other. No solver."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hawk_assets.core.model import Array

Cone = tuple[Literal["zero", "nonnegative"], int]
"""Kind and number of rows. ``zero``: the rows of s are 0; ``nonnegative``: they are >= 0."""

Block = tuple[str, Sequence[object] | None]
"""What adjacent variables or rows are: a word, and what each is of; None for one by itself.

``("cap", ("ema_8_21", "rsi_14"))`` are ``cap[ema_8_21]`` and ``cap[rsi_14]``, ``("budget", None)``
is ``budget``. Written out by :func:`names`, where somebody reads them.
"""


@dataclass(frozen=True, eq=False)
class ConicProblem:
    """Minimise ``1/2 x'Px + q'x`` subject to ``Ax + s = b``, s in the product of ``cones``.

    :param name: what is being solved
    :param P: shape ``(n, n)``, symmetric and positive semidefinite
    :param q: shape ``(n,)``
    :param A: shape ``(m, n)``
    :param b: shape ``(m,)``
    :param cones: in the order of the rows of A; their sizes sum to m
    :param variables: what the n variables are, in their order
    :param rows: what the m rows are, likewise
    :raises ValueError: more or fewer names than variables or rows
    """

    name: str
    P: Array
    q: Array
    A: Array
    b: Array
    cones: tuple[Cone, ...]
    variables: tuple[Block, ...]
    rows: tuple[Block, ...]

    def __post_init__(self) -> None:
        for what, blocks, size in (
            ("variables", self.variables, len(self.q)),
            ("rows", self.rows, len(self.b)),
        ):
            named = sum(1 if of is None else len(of) for _, of in blocks)
            if named != size:
                raise ValueError(f"{self.name}: {size} {what}, but {named} names of them")


@dataclass(frozen=True, eq=False)
class Solution:
    """What a backend returns.

    :param x: shape ``(n,)``; meaningless unless ``status`` is ``Solved``
    :param status: the backend's word; ``Solved`` for an optimum
    :param objective: value of the objective at x
    :param dual: shape ``(m,)``, the multipliers z of the rows: ``Px + q + A'z = 0``
    :param solver: the backend's name
    """

    x: Array
    status: str
    objective: float
    dual: Array
    solver: str


Solve = Callable[[ConicProblem], Solution]
"""A backend."""


def names(blocks: Iterable[Block]) -> list[str]:
    """One name per variable or row: ``cap[ema_8_21]``, ``budget``."""
    return [
        name
        for word, of in blocks
        for name in ([word] if of is None else [f"{word}[{one}]" for one in of])
    ]


def kkt_residual(problem: ConicProblem, solution: Solution) -> float:
    """How far a solution is from the conditions that make it optimal (Karush, Kuhn, Tucker).

    :return: the largest violation of primal feasibility, dual feasibility, stationarity and zero
        duality gap, each relative to the size of its terms; NaN when the solution has one
    """
    return float(_violations(problem, solution).max())


def most_violated(problem: ConicProblem, solution: Solution) -> str:
    """Where the largest violation is, the first of several; NaN is larger than any.

    :return: a row; else ``multiplier of`` a row, ``derivative by`` a variable, or ``duality gap``
    """
    rows = names(problem.rows)
    places = [
        *rows,
        *(f"multiplier of {row}" for row in rows),
        *(f"derivative by {variable}" for variable in names(problem.variables)),
        "duality gap",
    ]
    return places[_violations(problem, solution).argmax()]


def _violations(problem: ConicProblem, solution: Solution) -> Array:
    """Of each condition: m rows, m multipliers, n derivatives and the gap."""
    x, z = solution.x, solution.dual
    curvature, force, rows = problem.P @ x, problem.A.T @ z, problem.A @ x
    slack = problem.b - rows
    equality = np.repeat(
        [kind == "zero" for kind, _ in problem.cones], [size for _, size in problem.cones]
    )
    primal = np.where(equality, np.abs(slack), np.maximum(-slack, 0.0))
    sign = np.where(equality, 0.0, np.maximum(-z, 0.0))
    stationarity = np.abs(curvature + problem.q + force)
    quadratic = float(x @ curvature)
    gap = abs(quadratic + float(problem.q @ x) + float(problem.b @ z))
    row_size = 1.0 + max(np.abs(problem.b).max(), np.abs(rows).max())
    force_size = 1.0 + max(np.abs(curvature).max(), np.abs(problem.q).max(), np.abs(force).max())
    return np.concatenate(
        [primal / row_size, sign / force_size, stationarity / force_size, [gap / (1.0 + quadratic)]]
    )
