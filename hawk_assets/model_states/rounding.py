"""Rounding to significant digits: a stored state does not carry the last bits of its cut."""

import numpy as np

from hawk_assets.core.types import Array

STATE_DIGITS = 10
_LEAST = -330
with np.errstate(over="ignore", under="ignore"):
    _POWERS = 10.0 ** np.arange(_LEAST, 351, dtype=np.float64)


def round_significant(values: Array, digits: int = STATE_DIGITS) -> Array:
    """Round each number to ``digits`` significant decimal digits.

    :param values: any shape; zeros, NaN and infinities pass through
    :return: the same shape; equal inputs give equal outputs, whatever their neighbours
    """
    values = np.asarray(values, dtype=np.float64)
    usable = np.isfinite(values) & (values != 0)
    exponent = np.floor(np.log10(np.abs(np.where(usable, values, 1.0)))).astype(np.intp)
    with np.errstate(invalid="ignore", over="ignore"):
        scale = _POWERS[digits - 1 - exponent - _LEAST]
        rounded = np.rint(values * scale) / scale
    return np.where(usable & np.isfinite(rounded), rounded, values)
