"""Which runs materialise some months of the tables of a stage."""

from collections.abc import Mapping, Sequence

import numpy as np

from hawk_assets.core.types import Flags, TableKey
from hawk_assets.orchestration.catalog import Table


def split_into_runs(
    tables: Sequence[Table], to_materialise: Mapping[TableKey, Flags], months: Sequence[str]
) -> dict[tuple[int, str, str], list[Table]]:
    """The tables of a stage that one run materialises, by order, first and last month.

    One run takes one unbroken range of months. A table is in the same run as the table of its stage
    that it reads; where their months differ, it is in a later one.
    """
    runs: dict[tuple[int, str, str], list[Table]] = {}
    own = {table.key for table in tables}
    for table in tables:
        flags = to_materialise[table.key]
        read = [u.key for u in table.upstreams if u.key in own - {table.key}]
        later = int(any((to_materialise[key] != flags).any() for key in read))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
        for begin, end in edges.reshape(-1, 2):
            runs.setdefault((later, months[begin], months[end - 1]), []).append(table)
    return runs
