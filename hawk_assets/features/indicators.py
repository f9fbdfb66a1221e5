"""Indicators of one ticker's valid bars: arrays in, arrays of the same length out.

TA-Lib gets no NaN inside a series, because bars with a hole are dropped before: one NaN would
freeze its RSI at 0 for ever. Every parameter is passed explicitly, because defaults changed between
releases.
"""

import numpy as np
import talib

from hawk_assets.core.model import Array

_START_ERROR = 1e3
_FORGOTTEN = 1e-9
_NO_WIDTH = 1e-9


def recursive_warmup(first_value: int, alpha: float) -> int:
    """Bars after which the start of a recursive filter no longer influences its values.

    :param first_value: index of the indicator's first value (TA-Lib's lookback)
    :param alpha: the filter's step: 2/(n+1) for an EMA, 1/n for Wilder's averages
    :return: bars until an error of 1000 times today's value, at the start, has decayed to 1e-9 of
        that value
    """
    return first_value + int(np.ceil(np.log(_FORGOTTEN / _START_ERROR) / np.log1p(-alpha)))


def ema(close: Array, span: int) -> Array:
    """Exponential moving average, alpha ``2/(span+1)``, seeded with the mean of the first ``span``.

    NaN for the first ``span - 1`` bars.
    """
    return np.asarray(talib.EMA(close, timeperiod=span), dtype=np.float64)


def sma(close: Array, span: int) -> Array:
    """Mean of the last ``span`` values; NaN for the first ``span - 1`` bars."""
    return np.asarray(talib.SMA(close, timeperiod=span), dtype=np.float64)


def highest(values: Array, span: int) -> Array:
    """Largest of the last ``span`` values; NaN for the first ``span - 1`` bars."""
    return np.asarray(talib.MAX(values, timeperiod=span), dtype=np.float64)


def lowest(values: Array, span: int) -> Array:
    """Smallest of the last ``span`` values; NaN for the first ``span - 1`` bars."""
    return np.asarray(talib.MIN(values, timeperiod=span), dtype=np.float64)


def rsi(close: Array, span: int) -> Array:
    """Relative strength index in [0, 100] with Wilder's averages, 50 where nothing has moved.

    TA-Lib returns 0, oversold for ever, where gains and losses have both decayed to 0.
    Source: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978.

    :return: NaN for the first ``span`` bars
    """
    values = np.asarray(talib.RSI(close, timeperiod=span), dtype=np.float64)
    moves = np.diff(close, prepend=close[:1])
    only_losses = (
        (np.maximum.accumulate(moves) <= 0) & (np.minimum.accumulate(moves) < 0)
        if len(close)
        else moves > 0
    )
    return np.where((values == 0) & ~only_losses, 50.0, values)


def relative_gap(value: Array, reference: Array) -> Array:
    """``value / reference - 1`` to 12 decimals, so that equal levels compare as equal."""
    return np.asarray(np.round(value / reference - 1.0, 12), dtype=np.float64)


def past_return(close: Array, start: int, stop: int) -> Array:
    """Log return from ``start`` to ``stop`` bars back; NaN for the first ``start`` bars."""
    out = np.full(len(close), np.nan)
    price = np.log(close)
    if len(close) > start:
        out[start:] = price[start - stop : len(price) - stop] - price[: len(price) - start]
    return out


def percent_b(close: Array, span: int, width: float) -> Array:
    """Where the close is within its Bollinger band: 0 at the lower edge, 1 at the upper edge.

    The band is the mean of ``span`` closes plus and minus ``width`` population standard deviations.
    Rounded to 12 decimals, so that a close on an edge compares as equal to it. Each value depends
    only on its own ``span`` closes, bit for bit.
    Source: John Bollinger, Bollinger on Bollinger Bands, 2001.

    :return: NaN for the first ``span - 1`` bars; 0.5 where the band has no width
    """
    out = np.full(len(close), np.nan)
    if len(close) < span:
        return out
    windows = np.lib.stride_tricks.sliding_window_view(close, span)
    middle, half = windows.mean(axis=1), width * windows.std(axis=1)
    flat = half <= _NO_WIDTH * middle
    place = (close[span - 1 :] - middle + half) / np.where(flat, 1.0, 2 * half)
    out[span - 1 :] = np.where(flat, 0.5, np.round(place, 12))
    return out


def percent_of_range(value: Array, low: Array, high: Array) -> Array:
    """Where a value is within a range, in points: 0 at its low, 100 at its high.

    :return: 50 where the range has no width; NaN where any argument is NaN
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = 100 * (value - low) / (high - low)
    return np.where(high == low, 50.0, percent)
