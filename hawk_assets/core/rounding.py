"""Rounding to significant digits: a stored state does not carry the last bits of its cut."""

import numpy as np
from numpy.typing import NDArray

STATE_DIGITS = 10


def round_significant(
    values: NDArray[np.float64], digits: int = STATE_DIGITS
) -> NDArray[np.float64]:
    """Round each number to ``digits`` significant decimal digits.

    :param values: any shape; zeros, NaN and infinities pass through
    :return: the same shape; equal inputs give equal outputs, whatever their neighbours
    """
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** (digits - 1 - exponent)
        rounded = np.rint(values * scale) / scale
    return np.where(np.isfinite(rounded) & (values != 0), rounded, values)
