"""What weights have to keep to, stated once: as rows for the programs, as filling for the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from hawk_assets.aggregation.conic import Block
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.model import Array

DUST = 1e-6
"""A share below this is the residue of an interior-point method, not a holding."""
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Limits:
    """Of ``n_models`` weights that sum to 1; the parameters are those of AggregationParameters.

    :param cap: at least ``1 / n_models``
    :param family_cap: such that all families together can fill the book
    :param models: their names
    :param families: their families' names, each once
    :param family: each model's family as a position in these, shape ``(n_models,)``
    :param lifted: which caps were too low for the models at hand and what they are now; or empty
    """

    cap: float
    family_cap: float
    models: tuple[str, ...]
    families: tuple[str, ...]
    family: NDArray[np.intp]
    gross: float = 1.0
    turnover: float = 1.0
    lifted: str = ""

    @property
    def long_only(self) -> bool:
        return self.gross == 1.0


def limits_of(families: Mapping[str, str], parameters: AggregationParameters) -> Limits:
    """The limits of models at hand; caps that these cannot fill give way as far as it takes.

    :param families: of each model by its name, in the order of the weights, at least one
    """
    named, family = np.unique(np.array([*families.values()], dtype=str), return_inverse=True)
    cap = max(parameters.cap, 1.0 / len(family))
    capacity = np.sort(np.minimum(np.bincount(family) * cap, 1.0))
    family_cap = max(parameters.family_cap, _level(capacity))
    lifted = [
        f"{name} lifted to {now:.4g}"
        for name, now, asked in (
            ("cap", cap, parameters.cap),
            ("family_cap", family_cap, parameters.family_cap),
        )
        if now > asked
    ]
    return Limits(
        cap,
        family_cap,
        tuple(families),
        tuple(named.tolist()),
        family,
        parameters.gross,
        parameters.turnover,
        ", ".join(lifted),
    )


def _level(capacity: Array) -> float:
    """The lowest level at which vessels hold 1 in all.

    :param capacity: ascending, summing to 1 or more up to rounding
    """
    filled = np.concatenate([[0.0], np.cumsum(capacity)[:-1]])
    level = (1.0 - filled) / np.arange(len(capacity), 0, -1)
    return float(level[np.argmax(level <= capacity + ROUNDING)])


@dataclass(frozen=True, eq=False)
class Region:
    """The mixes allowed: ``equal x = one`` and ``below x <= bound``.

    ``x`` is the weights, then what is sold of the weights held, then what is short: with weights
    that sum to 1, the one-sided turnover is the sum of the one, and gross is 1 and twice the other.

    :param sold: shape ``(n_variables,)``, 1 for what is sold
    :param variables: what x is
    :param rows: what the rows of ``below`` are; that of ``equal`` is the budget
    """

    equal: Array
    one: Array
    below: Array
    bound: Array
    sold: Array
    variables: tuple[Block, ...]
    rows: tuple[Block, ...]


def region(limits: Limits, held: Array | None, count_sales: bool = False) -> Region:
    """The rows of the limits.

    :param held: weights within the limits, from which turnover counts; None where it does not
    :param count_sales: state what is sold though there is no limit to it
    """
    n = len(limits.family)
    counted = np.zeros(n, dtype=bool)
    if held is not None and (count_sales or limits.turnover < 1.0):
        # A model that is neither held nor can be short has nothing to sell.
        counted[:] = (held != 0) | (not limits.long_only)
    eye, n_sold, n_short = np.eye(n), counted.sum(), 0 if limits.long_only else n
    sales, shorts, width = slice(n, n + n_sold), slice(n + n_sold, None), n + n_sold + n_short
    rows: list[Array] = []
    bounds: list[Array] = []
    blocks: list[Block] = []
    models, sellers = limits.models, tuple(compress(limits.models, counted))

    def add(
        word: str,
        of: Sequence[str] | None,
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
        blocks.append((word, of))
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
    equal, sold = np.zeros((1, width)), np.zeros(width)
    equal[0, :n] = 1.0
    sold[sales] = 1.0
    return Region(
        equal,
        np.ones(1),
        np.vstack(rows),
        np.concatenate(bounds),
        sold,
        (("weight", models), ("sold", sellers), ("short", models if n_short else ())),
        tuple(blocks),
    )


def attainable_mean(mean: Array, limits: Limits) -> float:
    """The largest mean of any long-only mix: the caps filled with the best models first.

    :param mean: shape ``(n_models,)``
    """
    left, room = 1.0, np.full(limits.family.max() + 1, limits.family_cap)
    total = 0.0
    for j in np.argsort(-mean, kind="stable"):
        share = min(left, limits.cap, room[limits.family[j]])
        left, room[limits.family[j]] = left - share, room[limits.family[j]] - share
        total += share * mean[j]
    return float(total)


def filled(shares: Array, limits: Limits) -> Array:
    """Long-only weights proportional to ``shares`` within the caps, summing to 1.

    What a cap cuts off goes to the others in proportion; to those without a share, equally, when
    the others are full. Of all mixes within the caps this is the one nearest to the shares in
    relative entropy.

    :param shares: shape ``(n_models,)``, not negative
    """
    weights = np.zeros(len(shares))
    full = np.zeros(limits.family.max() + 1, dtype=bool)
    while True:
        free = ~full[limits.family]
        weights[free] = capped(shares[free], limits.cap, 1.0 - limits.family_cap * full.sum())
        over = np.bincount(limits.family, weights) > limits.family_cap + ROUNDING
        if not (over & ~full).any():
            return weights
        for number in np.flatnonzero(over & ~full):
            of_family = limits.family == number
            weights[of_family] = capped(shares[of_family], limits.cap, limits.family_cap)
        full |= over


def capped(shares: Array, cap: float, total: float = 1.0) -> Array:
    """Weights proportional to ``shares``, none above ``cap``, summing to ``total``.

    :param shares: shape ``(n_models,)``, not negative
    :param cap: at least ``total / n_models``
    """
    weights = np.full(len(shares), cap)
    free = np.ones(len(shares), dtype=bool)
    while free.any():
        left, whole = max(total - cap * np.count_nonzero(~free), 0.0), shares[free].sum()
        weights[free] = left * (1.0 / free.sum() if whole == 0 else shares[free] / whole)
        over = free & (weights > cap)
        weights[over] = cap
        free &= ~over
        if not over.any():
            break
    return weights


def settled(held: Array, limits: Limits) -> Array | None:
    """Weights held, scaled to 1 and within the caps; None where nothing is held.

    Short ones that do not fit any more are given up.

    :param held: shape ``(n_models,)``, of any sum
    """
    if not limits.long_only and held.sum() > 0:
        scaled = held / held.sum()
        size = np.abs(scaled)
        if (
            size.max() <= limits.cap + DUST
            and size.sum() <= limits.gross + DUST
            and np.bincount(limits.family, size).max() <= limits.family_cap + DUST
        ):
            return np.asarray(scaled, dtype=np.float64)
    longs = np.maximum(held, 0.0)
    return filled(longs, limits) if longs.sum() > 0 else None


def slowed(weights: Array, held: Array | None, limits: Limits) -> Array:
    """As far from the weights held towards others as the limit of turnover allows.

    :param weights: within the limits but for that one
    """
    if held is None:
        return weights
    change = np.abs(weights - held).sum() / 2.0
    reach = min(limits.turnover / change, 1.0) if change > 0 else 1.0
    return np.asarray(held + reach * (weights - held), dtype=np.float64) if reach < 1 else weights


def cleaned(solution: Array, limits: Limits) -> Array:
    """Weights without an interior-point method's residue.

    :param solution: shape ``(n_models,)``, proportional to the weights up to the residue
    :return: shares below 1e-6 set to 0, summing to 1 within 1e-12; long-only weights are within the
        caps, others within 1e-6 of them
    """
    shares = solution / solution.sum()
    if limits.long_only:
        return filled(np.where(shares < DUST, 0.0, shares), limits)
    weights = np.clip(np.where(np.abs(shares) < DUST, 0.0, shares), -limits.cap, limits.cap)
    roomy = np.argmax(np.where(weights != 0, limits.cap - np.abs(weights), -1.0))
    weights[roomy] += 1.0 - weights.sum()
    return np.asarray(weights, dtype=np.float64)
