"""Weights adjusted to the limits: those held before, and those that an objective returns."""

import numpy as np

from hawk_assets.aggregation.caps import water_fill
from hawk_assets.aggregation.limits import Limits
from hawk_assets.core.types import Array

RESIDUE = 1e-6
"""A weight below this is the residue of an interior-point method, not a holding."""


def carry_forward(held: Array, limits: Limits) -> Array | None:
    """Held weights scaled to sum to 1 within the caps; None if nothing is held.

    Short weights are dropped when the scaled weights exceed a limit.

    :param held: shape ``(n_models,)``, of any sum
    """
    if not limits.long_only and held.sum() > 0:
        scaled = held / held.sum()
        size = np.abs(scaled)
        if (
            size.max() <= limits.cap + RESIDUE
            and size.sum() <= limits.gross + RESIDUE
            and np.bincount(limits.family, size).max() <= limits.family_cap + RESIDUE
        ):
            return np.asarray(scaled, dtype=np.float64)
    longs = np.maximum(held, 0.0)
    return water_fill(longs, limits) if longs.sum() > 0 else None


def limit_turnover(weights: Array, held: Array | None, limits: Limits) -> Array:
    """The point on the line from the held weights to ``weights`` that the turnover limit allows.

    :param weights: within all limits but turnover
    :param held: None where there are none; then turnover has no limit
    """
    if held is None:
        return weights
    change = np.abs(weights - held).sum() / 2.0
    step = min(limits.turnover / change, 1.0) if change > 0 else 1.0
    return np.asarray(held + step * (weights - held), dtype=np.float64) if step < 1 else weights


def remove_residue(solution: Array, limits: Limits) -> Array:
    """Weights from a solver's solution, without the residue of an interior-point method.

    :param solution: shape ``(n_models,)``, proportional to the weights up to the residue
    :return: sizes below 1e-6 are 0, the sum is 1 within 1e-12; long-only weights are within the
        caps, others within 1e-6 of them
    """
    shares = solution / solution.sum()
    if limits.long_only:
        return water_fill(np.where(shares < RESIDUE, 0.0, shares), limits)
    weights = np.clip(np.where(np.abs(shares) < RESIDUE, 0.0, shares), -limits.cap, limits.cap)
    roomiest = np.argmax(np.where(weights != 0, limits.cap - np.abs(weights), -1.0))
    weights[roomiest] += 1.0 - weights.sum()
    return np.asarray(weights, dtype=np.float64)
