import numpy as np
import pytest

from hawk_assets.aggregation.caps import water_fill
from hawk_assets_tests.aggregation.samples import family_limits


@pytest.mark.parametrize(
    ("families", "cap", "family_cap", "raised"),
    [
        ("abc", 0.4, 1.0, ""),
        ("ab", 0.4, 1.0, "cap raised to 0.5"),
        ("a", 0.4, 0.4, "cap raised to 1, family_cap raised to 1"),
        ("aab", 0.5, 0.4, "family_cap raised to 0.5"),
        ("aaaab", 0.3, 0.5, "family_cap raised to 0.7"),
        ("aaabbc", 0.2, 0.4, ""),
    ],
)
def test_caps_too_low_to_invest_fully_are_raised_to_the_feasible_minimum(
    families, cap, family_cap, raised
):
    within = family_limits(families, cap=cap, family_cap=family_cap)
    assert within.raised == raised
    weights = water_fill(np.ones(len(families)), within)
    assert abs(weights.sum() - 1.0) < 1e-15
    assert weights.max() <= within.cap + 1e-15
    assert np.bincount(within.family, weights).max() <= within.family_cap + 1e-12
