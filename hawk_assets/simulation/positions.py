"""The maps of performance_timeseries: what is held at each close, and what a restart needs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from hawk_assets.core.schemas import POSITIONS, WAITING_ORDERS


def to_maps(wide: pd.DataFrame) -> "pd.Series[Any]":
    """Pack a wide table into one column.

    :param wide: dollars, or prices, shape ``(n_sessions, n_columns)``
    :return: per row the entries that are not 0 by name, exact; Arrow type ``POSITIONS``
    """
    values = wide.to_numpy(np.float64)
    rows, columns = np.nonzero(values)
    counts = np.bincount(rows, minlength=len(values))
    maps = pyarrow.MapArray.from_arrays(
        pyarrow.array(np.concatenate([[0], np.cumsum(counts)]), pyarrow.int32()),
        pyarrow.array(list(wide.columns), pyarrow.string()).take(pyarrow.array(columns)),
        pyarrow.array(values[rows, columns], pyarrow.float64()),
        POSITIONS,
    )
    return pd.Series(pd.arrays.ArrowExtensionArray(maps))


def to_queues(queues: Sequence[dict[str, list[float]]]) -> "pd.Series[Any]":
    """Orders that wait, by ticker, as one column of Arrow type ``WAITING_ORDERS``."""
    rows: list[Any] = (
        [list(queue.items()) for queue in queues] if any(queues) else [()] * len(queues)
    )
    maps = pyarrow.array(rows, WAITING_ORDERS)
    return pd.Series(pd.arrays.ArrowExtensionArray(maps))


def last_positions(timeseries: pd.DataFrame) -> dict[str, float]:
    """What is held at the last close of a performance_timeseries: dollars by ticker and ``cash``.

    :param timeseries: at least one row
    """
    return last_map(timeseries, "positions")


def last_map(timeseries: pd.DataFrame, column: str) -> dict[str, Any]:
    """A map of the last row; empty where the table has no such column.

    :param timeseries: at least one row; Arrow maps, or the lists of pairs to which pandas converts
        them
    """
    return dict(timeseries[column].iloc[-1]) if column in timeseries else {}
