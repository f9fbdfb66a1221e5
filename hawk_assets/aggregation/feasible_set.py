"""The limits as linear constraints, for the convex programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from hawk_assets.aggregation.conic import NameGroup
from hawk_assets.aggregation.limits import Limits
from hawk_assets.core.types import Array


@dataclass(frozen=True, eq=False)
class FeasibleSet:
    """All weights within the limits: ``a_eq x = b_eq`` and ``a_ub x <= b_ub``.

    ``x`` holds the weights, then the amounts sold of the weights held, then the short amounts. For
    weights that sum to 1 the one-sided turnover is the sum of what is sold, and the gross exposure
    is 1 plus twice the sum of what is short.

    :param sold: shape ``(n_variables,)``, 1 for an amount sold, else 0
    :param variables: the names of x
    :param rows: the names of the rows of ``a_ub``; the row of ``a_eq`` is the budget
    """

    a_eq: Array
    b_eq: Array
    a_ub: Array
    b_ub: Array
    sold: Array
    variables: tuple[NameGroup, ...]
    rows: tuple[NameGroup, ...]


def build_feasible_set(
    limits: Limits, held: Array | None, count_sales: bool = False
) -> FeasibleSet:
    """The constraints of the limits.

    :param held: weights within the limits, from which turnover is counted; None to ignore turnover
    :param count_sales: add the amounts sold even if turnover has no limit
    """
    n = len(limits.family)
    counted = np.zeros(n, dtype=bool)
    if held is not None and (count_sales or limits.turnover < 1.0):
        # A model that is not held and cannot be short has nothing to sell.
        counted[:] = (held != 0) | (not limits.long_only)
    eye, n_sold, n_short = np.eye(n), counted.sum(), 0 if limits.long_only else n
    sales, shorts, width = slice(n, n + n_sold), slice(n + n_sold, None), n + n_sold + n_short
    rows: list[Array] = []
    bounds: list[Array] = []
    names: list[NameGroup] = []
    models, sellers = limits.models, tuple(compress(limits.models, counted))

    def add(
        label: str,
        members: Sequence[str] | None,
        bound: float | Array,
        weights: Array,
        sold: Array | None = None,
        short: Array | None = None,
    ) -> None:
        row = np.zeros((len(weights), width))
        row[:, :n] = weights
        if sold is not None:
            row[:, sales] = sold
        if short is not None:
            row[:, shorts] = short
        names.append((label, members))
        rows.append(row)
        bounds.append(np.broadcast_to(np.asarray(bound, dtype=np.float64), len(weights)))

    add("cap", models, limits.cap, eye)
    add("floor", models, 0.0 if limits.long_only else limits.cap, -eye)
    sizes = np.bincount(limits.family)
    crowded = np.flatnonzero(sizes * limits.cap > limits.family_cap)
    if len(crowded):
        member = (limits.family == crowded[:, None]).astype(np.float64)
        add(
            "family",
            [limits.families[j] for j in crowded],
            limits.family_cap,
            member,
            short=None if limits.long_only else 2.0 * member,
        )
    if n_short:
        add("short", models, 0.0, -eye, short=-eye)
        add("short_floor", models, 0.0, 0.0 * eye, short=-eye)
        add("gross", None, limits.gross - 1.0, np.zeros((1, n)), short=np.full((1, n), 2.0))
    if n_sold:
        assert held is not None
        add("sold", sellers, -held[counted], -eye[counted], sold=-np.eye(n_sold))
        add("sold_floor", sellers, 0.0, 0.0 * eye[counted], sold=-np.eye(n_sold))
        if limits.turnover < 1.0:
            add("turnover", None, limits.turnover, np.zeros((1, n)), sold=np.ones((1, n_sold)))
    budget, sold = np.zeros((1, width)), np.zeros(width)
    budget[0, :n] = 1.0
    sold[sales] = 1.0
    return FeasibleSet(
        budget,
        np.ones(1),
        np.vstack(rows),
        np.concatenate(bounds),
        sold,
        (("weight", models), ("sold", sellers), ("short", models if n_short else ())),
        tuple(names),
    )


def find_largest_mean(mean: Array, limits: Limits) -> float:
    """The largest mean of any long-only weights within the caps: the best models first.

    :param mean: shape ``(n_models,)``
    """
    left, room = 1.0, np.full(limits.family.max() + 1, limits.family_cap)
    total = 0.0
    for j in np.argsort(-mean, kind="stable"):
        weight = min(left, limits.cap, room[limits.family[j]])
        left, room[limits.family[j]] = left - weight, room[limits.family[j]] - weight
        total += weight * mean[j]
    return float(total)
