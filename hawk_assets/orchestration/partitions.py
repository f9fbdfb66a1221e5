"""Months as partitions, and which months of an upstream a month reads."""

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import key_of, shift


def monthly(start: pd.Timestamp, end: pd.Timestamp | None) -> dg.MonthlyPartitionsDefinition:
    """One partition per month from ``start`` to the current month, which is still open.

    :param end: last month of a history that has ended, or None
    """
    if end is None:
        return dg.MonthlyPartitionsDefinition(key_of(start), end_offset=1, timezone="UTC")
    return dg.MonthlyPartitionsDefinition(
        key_of(start), end_date=key_of(shift(end, 1)), timezone="UTC"
    )


def month_window(first: int, last: int) -> dg.TimeWindowPartitionMapping:
    """Month m reads months ``m + first`` to ``m + last`` of the upstream.

    Months before the history starts do not exist and are not required.
    """
    return dg.TimeWindowPartitionMapping(
        start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=first < 0
    )


def months_of(keys: list[str]) -> pd.DatetimeIndex:
    """The months of partition keys, ascending."""
    return pd.DatetimeIndex(sorted(keys))
