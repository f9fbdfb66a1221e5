"""From states to signals: scaling a score, and holding a signal for a limited time."""

import numpy as np
import pandas as pd

from hawk_assets.core.types import Signal


def scaled_signal(score: pd.DataFrame, scale: pd.DataFrame) -> Signal:
    """``clip(z / 2, -1, 1)`` for ``z = score / scale``.

    :param score: shape ``(n_sessions, n_tickers)``
    :param scale: the score's standard deviation under a random walk, same shape
    :return: the same shape; NaN where the scale is 0 or either is NaN
    """
    return (score / scale.where(scale > 0) / 2.0).clip(-1.0, 1.0)


def latch(enter: pd.DataFrame, leave: pd.DataFrame, max_hold: int) -> Signal:
    """1 from an entry until an exit, at most ``max_hold`` sessions after the latest entry; else 0.

    The latest event decides; an exit beats an entry of the same session. So the memory is exactly
    ``max_hold - 1`` sessions. A limit counted from the first entry would need all of the past.

    :param enter: True where the entry condition holds, shape ``(n_sessions, n_tickers)``
    :param leave: True where the exit condition holds, same shape
    :param max_hold: sessions, at least 2
    :return: the same shape, 0.0 or 1.0
    """
    events = np.where(leave, 0.0, np.where(enter, 1.0, np.nan))
    frame = pd.DataFrame(events, index=enter.index, columns=enter.columns)
    return frame.ffill(limit=max_hold - 1).fillna(0.0)
