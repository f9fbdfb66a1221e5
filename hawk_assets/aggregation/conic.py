"""A convex program as plain data, and its solution. No solver, and nothing of portfolios."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hawk_assets.core.types import Array

Cone = tuple[Literal["zero", "nonnegative"], int]
"""Kind and number of rows. ``zero``: the rows of s are 0; ``nonnegative``: they are >= 0."""

NameGroup = tuple[str, Sequence[object] | None]
"""Names of adjacent variables or rows: a label and its members; None for a label alone.

``("cap", ("ema_8_21", "rsi_14"))`` names ``cap[ema_8_21]`` and ``cap[rsi_14]``, and
``("budget", None)`` names ``budget``. Most names are never read, so :func:`list_names` builds them
on demand.
"""


@dataclass(frozen=True, eq=False)
class ConicProgram:
    """Minimise ``1/2 x'Px + q'x`` subject to ``Ax + s = b``, s in the product of ``cones``.

    :param name: of the objective
    :param P: shape ``(n, n)``, symmetric and positive semidefinite
    :param q: shape ``(n,)``
    :param A: shape ``(m, n)``
    :param b: shape ``(m,)``
    :param cones: in the order of the rows of A; their sizes sum to m
    :param variables: names of the n variables, in order
    :param rows: names of the m rows, in order
    :raises ValueError: the number of names differs from the number of variables or rows
    """

    name: str
    P: Array
    q: Array
    A: Array
    b: Array
    cones: tuple[Cone, ...]
    variables: tuple[NameGroup, ...]
    rows: tuple[NameGroup, ...]

    def __post_init__(self) -> None:
        for what, groups, size in (
            ("variables", self.variables, len(self.q)),
            ("rows", self.rows, len(self.b)),
        ):
            count = sum(1 if members is None else len(members) for _, members in groups)
            if count != size:
                raise ValueError(f"{self.name}: {size} {what}, but {count} names")


@dataclass(frozen=True, eq=False)
class Solution:
    """The result of a backend.

    :param x: shape ``(n,)``; meaningless unless ``status`` is ``Solved``
    :param status: the backend's own status; ``Solved`` for an optimum
    :param objective: value of the objective at x
    :param dual: shape ``(m,)``, the multipliers z of the rows: ``Px + q + A'z = 0``
    :param solver: the backend's name
    """

    x: Array
    status: str
    objective: float
    dual: Array
    solver: str


Solve = Callable[[ConicProgram], Solution]
"""A backend."""


def list_names(groups: Iterable[NameGroup]) -> list[str]:
    """One name per variable or row: ``cap[ema_8_21]``, ``budget``."""
    return [
        name
        for label, members in groups
        for name in ([label] if members is None else [f"{label}[{one}]" for one in members])
    ]
