import pandas as pd
import pyarrow as pa
import pytest

from hawk_assets.core.schemas import POSITIONS
from hawk_assets.simulation.positions import last_positions, to_maps

WIDE = pd.DataFrame(
    {"AAA": [0.0, 1e6 / 3, 0.0], "BBB": [0.0, -0.1, 0.0], "cash": [1e6, 0.1 + 0.2, 0.0]}
)
DICTS = [{"cash": 1e6}, {"AAA": 1e6 / 3, "BBB": -0.1, "cash": 0.1 + 0.2}, {}]


def test_each_row_keeps_exactly_the_entries_that_are_not_zero():
    column = to_maps(WIDE)
    assert column.dtype == pd.ArrowDtype(POSITIONS)
    assert [dict(pairs) for pairs in column] == DICTS


def test_a_column_without_rows_still_has_its_type():
    assert to_maps(WIDE[:0]).dtype == pd.ArrowDtype(POSITIONS)


@pytest.mark.parametrize("row", range(3))
def test_the_last_row_is_read_from_arrow_maps_and_from_lists_of_pairs(row):
    column = to_maps(WIDE[: row + 1])
    assert last_positions(pd.DataFrame({"positions": column})) == DICTS[row]
    pairs = pa.array(column).to_pandas()
    assert pairs.dtype == object
    assert last_positions(pd.DataFrame({"positions": pairs})) == DICTS[row]
