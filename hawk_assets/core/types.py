"""Names for the types that several stages share: arrays by what they hold, and table keys."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

Flags = NDArray[np.bool_]

Indices = NDArray[np.intp]
"""Positions in another array."""

Ids = NDArray[np.int64]
"""Numbers that only identify, such as storage ids of events."""

Dates = NDArray[np.datetime64]

Bars = Mapping[str, Array]
"""A ticker's market data by column, oldest first, each of shape ``(n_bars,)``."""

States = Mapping[str, pd.DataFrame]
"""A model's states by feature, each of shape ``(n_sessions, n_tickers)``."""

Signal = pd.DataFrame
"""A model's opinion, of shape ``(n_sessions, n_tickers)``, in [-1, 1]; NaN is no opinion."""

TableKey = tuple[str, ...]
"""The name of a stored table: its asset key, and its folder below the storage root."""
