"""Rounding to significant digits, so that stored states have no last bits that mean nothing."""

import numpy as np

from hawk_assets.core.types import Array

STATE_DIGITS = 10
_LOWEST_EXPONENT = -330
with np.errstate(over="ignore", under="ignore"):
    _POWERS = 10.0 ** np.arange(_LOWEST_EXPONENT, 351, dtype=np.float64)


def round_significant(values: Array, digits: int = STATE_DIGITS) -> Array:
    """Round each number to ``digits`` significant decimal digits.

    :param values: any shape; zeros, NaN and infinities are returned as they are
    :return: the same shape; each value depends on its own input only
    """
    values = np.asarray(values, dtype=np.float64)
    usable = np.isfinite(values) & (values != 0)
    exponent = np.floor(np.log10(np.abs(np.where(usable, values, 1.0)))).astype(np.intp)
    with np.errstate(invalid="ignore", over="ignore"):
        scale = _POWERS[digits - 1 - exponent - _LOWEST_EXPONENT]
        rounded = np.rint(values * scale) / scale
    return np.where(usable & np.isfinite(rounded), rounded, values)
