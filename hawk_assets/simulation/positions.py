"""The column ``positions`` of performance_timeseries: what is held at each close, as maps."""

from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow

from hawk_assets.core.schemas import POSITIONS


def to_maps(positions: pd.DataFrame) -> "pd.Series[Any]":
    """Pack a wide table into one column.

    :param positions: dollars, shape ``(n_sessions, n_tickers + 1)``, with a column ``cash``
    :return: per row the non-zero entries by name, exact; Arrow type ``POSITIONS``
    """
    values = positions.to_numpy(np.float64)
    rows, columns = np.nonzero(values)
    counts = np.bincount(rows, minlength=len(values))
    maps = pyarrow.MapArray.from_arrays(
        pyarrow.array(np.concatenate([[0], np.cumsum(counts)]), pyarrow.int32()),
        pyarrow.array(list(positions.columns), pyarrow.string()).take(pyarrow.array(columns)),
        pyarrow.array(values[rows, columns], pyarrow.float64()),
        POSITIONS,
    )
    return pd.Series(pd.arrays.ArrowExtensionArray(maps))


def last_positions(timeseries: pd.DataFrame) -> dict[str, float]:
    """What is held at the last close of a performance_timeseries.

    :param timeseries: at least one row; ``positions`` as Arrow maps, or as the lists of pairs to
        which pandas converts them
    :return: dollars by ticker and ``cash``
    """
    pairs = cast(list[tuple[str, float]], timeseries["positions"].iloc[-1])
    return dict(pairs)
