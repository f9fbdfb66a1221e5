from dataclasses import replace

import pytest

from hawk_assets.aggregation.conic import list_names
from hawk_assets_tests.aggregation.conic_programs import PROJECTION


def test_names_are_listed_in_order():
    groups = (("budget", None), ("cap", ("ema_8_21", "rsi_14")), ("short", ()), ("loss", range(2)))
    assert list_names(groups) == ["budget", "cap[ema_8_21]", "cap[rsi_14]", "loss[0]", "loss[1]"]


@pytest.mark.parametrize("groups", [(), (("x", None),), (("x", range(3)),)])
@pytest.mark.parametrize("what", ["variables", "rows"])
def test_a_program_has_a_name_for_each_variable_and_row(what, groups):
    with pytest.raises(ValueError, match=f"projection: 2 {what}, but . names"):
        replace(PROJECTION, **{what: groups})
