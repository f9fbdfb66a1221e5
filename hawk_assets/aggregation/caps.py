"""Shares to long-only weights within the caps."""

import numpy as np

from hawk_assets.aggregation.limits import ROUNDING, Limits
from hawk_assets.core.types import Array


def water_fill(shares: Array, limits: Limits) -> Array:
    """Long-only weights proportional to ``shares`` within the caps, summing to 1.

    What a cap cuts off goes to the other models in proportion to their shares. When these are full,
    models without a share receive it equally. Of all weights within the caps, the result has the
    smallest relative entropy to the shares.

    :param shares: shape ``(n_models,)``, not negative
    """
    weights = np.zeros(len(shares))
    full = np.zeros(limits.family.max() + 1, dtype=bool)
    while True:
        free = ~full[limits.family]
        weights[free] = apply_cap(shares[free], limits.cap, 1.0 - limits.family_cap * full.sum())
        over = np.bincount(limits.family, weights) > limits.family_cap + ROUNDING
        if not (over & ~full).any():
            return weights
        for family in np.flatnonzero(over & ~full):
            members = limits.family == family
            weights[members] = apply_cap(shares[members], limits.cap, limits.family_cap)
        full |= over


def apply_cap(shares: Array, cap: float, total: float = 1.0) -> Array:
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
