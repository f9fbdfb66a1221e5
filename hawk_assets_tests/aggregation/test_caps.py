import numpy as np
import pytest

from hawk_assets.aggregation.caps import apply_cap, water_fill
from hawk_assets_tests.aggregation.samples import family_limits, single_limits


@pytest.mark.parametrize(
    ("shares", "cap", "expected"),
    [
        ([4.0, 2.0, 1.0, 1.0], 0.4, [0.4, 0.3, 0.15, 0.15]),
        ([9.0, 4.0, 1.0, 1.0], 0.4, [0.4, 0.4, 0.1, 0.1]),
        ([1.0, 0.0, 0.0], 0.4, [0.4, 0.3, 0.3]),
        ([5.0, 1.0], 0.5, [0.5, 0.5]),
        ([3.0, 1.0], 1.0, [0.75, 0.25]),
        ([7.0, 2.0, 1.0], 1 / 3, [1 / 3, 1 / 3, 1 / 3]),
        ([2.0], 1.0, [1.0]),
    ],
)
def test_what_the_cap_cuts_off_goes_to_the_others(shares, cap, expected):
    np.testing.assert_allclose(apply_cap(np.array(shares), cap), expected, atol=1e-15)
    np.testing.assert_allclose(
        water_fill(np.array(shares), single_limits(len(shares), cap)), expected
    )


@pytest.mark.parametrize(
    ("families", "shares", "cap", "family_cap", "expected"),
    [
        ("aab", [1, 1, 1], 1.0, 0.5, [0.25, 0.25, 0.5]),
        ("aabc", [3, 1, 2, 2], 1.0, 0.4, [0.3, 0.1, 0.3, 0.3]),
        ("aabc", [8, 1, 2, 2], 0.3, 0.4, [0.3, 0.1, 0.3, 0.3]),
        ("aabbc", [4, 4, 3, 3, 1], 1.0, 0.4, [0.2, 0.2, 0.2, 0.2, 0.2]),
        ("aabbc", [4, 4, 2, 2, 4], 1.0, 0.4, [0.2, 0.2, 0.15, 0.15, 0.3]),
        ("ab", [1, 1], 1.0, 1.0, [0.5, 0.5]),
    ],
)
def test_what_a_family_cap_cuts_off_goes_to_the_other_families(
    families, shares, cap, family_cap, expected
):
    weights = water_fill(
        np.array(shares, float), family_limits(families, cap=cap, family_cap=family_cap)
    )
    np.testing.assert_allclose(weights, expected, atol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_water_filling_has_the_smallest_relative_entropy_within_the_caps(seed):
    """The Kullback-Leibler divergence grows in every direction that the caps allow."""
    rng = np.random.default_rng(seed)
    within = family_limits("aaabbcdd", cap=0.3, family_cap=0.35)
    shares = rng.dirichlet(np.full(8, 0.7)) + 1e-3
    weights = water_fill(shares, within)

    def divergence(w):
        return w @ np.log(np.maximum(w, 1e-300) / shares)

    for _ in range(200):
        other = water_fill(rng.dirichlet(np.full(8, 0.7)), within)
        moved = weights + 1e-3 * (other - weights)
        assert divergence(moved) >= divergence(weights) - 1e-12
