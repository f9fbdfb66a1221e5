"""The limits of the weights of one month's models: what they are, not how they are applied."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.types import Array, Indices

ROUNDING = 1e-12
"""By how much a sum of weights may exceed a cap because of rounding."""


@dataclass(frozen=True, eq=False)
class Limits:
    """Limits of ``n_models`` weights that sum to 1; see AggregationParameters for each of them.

    :param cap: at least ``1 / n_models``
    :param family_cap: high enough that all families together can be fully invested
    :param models: the names of the models
    :param families: the names of the families, each once
    :param family: each model's family as a position in ``families``, shape ``(n_models,)``
    :param raised: which caps were too low to invest fully and their values now; empty if none
    """

    cap: float
    family_cap: float
    models: tuple[str, ...]
    families: tuple[str, ...]
    family: Indices
    gross: float = 1.0
    turnover: float = 1.0
    raised: str = ""

    @property
    def long_only(self) -> bool:
        return self.gross == 1.0


def build_limits(families: Mapping[str, str], parameters: AggregationParameters) -> Limits:
    """The limits of these models. Caps too low to invest fully are raised to the feasible minimum.

    :param families: the family of each model by its name, in the order of the weights; at least
        one model
    """
    names, family = np.unique(np.array([*families.values()], dtype=str), return_inverse=True)
    cap = max(parameters.cap, 1.0 / len(family))
    capacity = np.sort(np.minimum(np.bincount(family) * cap, 1.0))
    family_cap = max(parameters.family_cap, _smallest_family_cap(capacity))
    raised = [
        f"{name} raised to {value:.4g}"
        for name, value, wanted in (
            ("cap", cap, parameters.cap),
            ("family_cap", family_cap, parameters.family_cap),
        )
        if value > wanted
    ]
    return Limits(
        cap,
        family_cap,
        tuple(families),
        tuple(names.tolist()),
        family,
        parameters.gross,
        parameters.turnover,
        ", ".join(raised),
    )


def _smallest_family_cap(capacity: Array) -> float:
    """The smallest cap with which the families can hold 1 in total.

    :param capacity: what each family can hold at most, ascending; sums to 1 or more up to rounding
    """
    below = np.concatenate([[0.0], np.cumsum(capacity)[:-1]])
    level = (1.0 - below) / np.arange(len(capacity), 0, -1)
    return float(level[np.argmax(level <= capacity + ROUNDING)])
