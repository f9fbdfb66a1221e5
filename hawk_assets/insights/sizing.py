"""Sizing: each ticker's share of a model's portfolio, from its volatility.

Not here: the signal, which is the model's, and how it is held over holes (``builder``).
"""

import math
from dataclasses import dataclass

import numpy as np

from hawk_assets.core.errors import SettingsError
from hawk_assets.core.sessions import BARS_PER_YEAR
from hawk_assets.core.types import Array

MAX_HOLD = 252


@dataclass(frozen=True)
class SizingParameters:
    """How signals become weights, the same for every model.

    :param cap: the largest share of one ticker in a model's portfolio
    :param vol_floor: annualised volatility; a ticker below it is treated as having it
    :param hold_sessions: sessions for which the last signal replaces missing ones, at most 252
    :raises SettingsError: a value that cannot be used
    """

    cap: float = 0.10
    vol_floor: float = 0.05
    hold_sessions: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.cap <= 1:
            raise SettingsError(f"cap {self.cap}: a fraction above 0, at most 1")
        if not 0 < self.vol_floor < math.inf:
            raise SettingsError(f"vol_floor {self.vol_floor}: above 0")
        if not 0 <= self.hold_sessions <= MAX_HOLD:
            raise SettingsError(f"hold_sessions {self.hold_sessions}: from 0 to {MAX_HOLD}")


DEFAULT_SIZING = SizingParameters()


def inverse_volatility_budget(vol: Array, parameters: SizingParameters = DEFAULT_SIZING) -> Array:
    """Shares of one portfolio inverse to volatility, none above the cap (water-filling).

    :param vol: daily volatility, shape ``(n_dates, n_tickers)``; NaN where not ready
    :param parameters: cap and floor
    :return: the same shape; shares in [0, cap], 0 where not ready. They sum to 1, or to the cap
        times the number of ready tickers if that is less. Tickers that are not ready do not change
        the others, not even in the last bit.
    """
    cap, floor = parameters.cap, parameters.vol_floor
    inverse = np.nan_to_num(1.0 / np.maximum(vol * np.sqrt(BARS_PER_YEAR), floor), nan=0.0)
    ranked = -np.sort(-inverse, axis=1)
    rest = np.cumsum(ranked[:, ::-1], axis=1)[:, ::-1]
    left = 1.0 - cap * np.arange(vol.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        level = left / rest
        capped = (level * ranked > cap) & (rest > 0) & (left > 0)
        scale = np.where(
            capped.all(axis=1),
            np.inf,
            level[np.arange(len(vol)), capped.sum(axis=1) % vol.shape[1]],
        )
        shares = np.where(inverse > 0, np.minimum(cap, scale[:, None] * inverse), 0.0)
    return np.asarray(shares, dtype=np.float64)
