import numpy as np
import pytest

from hawk_assets.aggregation.feasible_set import find_largest_mean
from hawk_assets_tests.aggregation.samples import family_limits, single_limits


@pytest.mark.parametrize(
    ("mean", "cap", "expected"),
    [
        ([3.0, -1.0, -2.0], 0.4, 0.4 * 3 - 0.4 * 1 - 0.2 * 2),
        ([-1.0, 2.0], 0.5, 0.5),
        ([1.0, 2.0], 1.0, 2.0),
        ([1.0], 1.0, 1.0),
        ([-3.0, -1.0, -2.0], 1 / 3, -2.0),
    ],
)
def test_the_largest_mean_fills_the_caps_with_the_best(mean, cap, expected):
    assert find_largest_mean(np.array(mean), single_limits(len(mean), cap)) == pytest.approx(
        expected, abs=1e-15
    )


def test_the_largest_mean_fills_a_family_up_to_its_cap():
    of_two = family_limits("aab", cap=0.4, family_cap=0.6)
    assert find_largest_mean(np.array([3.0, 2.0, 1.0]), of_two) == pytest.approx(2.0)
