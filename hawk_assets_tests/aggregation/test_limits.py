import numpy as np
import pytest

from hawk_assets.aggregation.limits import (
    attainable_mean,
    capped,
    cleaned,
    filled,
    limits_of,
    settled,
    slowed,
)
from hawk_assets.aggregation.parameters import AggregationParameters


def limits(families, **parameters):
    named = {f"m{j}": family for j, family in enumerate(families)}
    return limits_of(named, AggregationParameters(**parameters))


def singles(n, cap=1.0, **parameters):
    return limits([f"f{j}" for j in range(n)], cap=cap, **parameters)


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
def test_the_attainable_mean_fills_the_caps_with_the_best(mean, cap, expected):
    assert attainable_mean(np.array(mean), singles(len(mean), cap)) == pytest.approx(
        expected, abs=1e-15
    )


def test_the_attainable_mean_fills_a_family_no_further_than_its_cap():
    of_two = limits("aab", cap=0.4, family_cap=0.6)
    assert attainable_mean(np.array([3.0, 2.0, 1.0]), of_two) == pytest.approx(2.0)


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
    np.testing.assert_allclose(capped(np.array(shares), cap), expected, atol=1e-15)
    np.testing.assert_allclose(filled(np.array(shares), singles(len(shares), cap)), expected)


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
    weights = filled(np.array(shares, float), limits(families, cap=cap, family_cap=family_cap))
    np.testing.assert_allclose(weights, expected, atol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_the_filling_is_the_nearest_mix_within_the_caps(seed):
    """Kullback and Leibler's divergence grows in every direction that the caps allow."""
    rng = np.random.default_rng(seed)
    within = limits("aaabbcdd", cap=0.3, family_cap=0.35)
    shares = rng.dirichlet(np.full(8, 0.7)) + 1e-3
    weights = filled(shares, within)

    def divergence(w):
        return w @ np.log(np.maximum(w, 1e-300) / shares)

    for _ in range(200):
        other = filled(rng.dirichlet(np.full(8, 0.7)), within)
        moved = weights + 1e-3 * (other - weights)
        assert divergence(moved) >= divergence(weights) - 1e-12


@pytest.mark.parametrize(
    ("families", "cap", "family_cap", "lifted"),
    [
        ("abc", 0.4, 1.0, ""),
        ("ab", 0.4, 1.0, "cap lifted to 0.5"),
        ("a", 0.4, 0.4, "cap lifted to 1, family_cap lifted to 1"),
        ("aab", 0.5, 0.4, "family_cap lifted to 0.5"),
        ("aaaab", 0.3, 0.5, "family_cap lifted to 0.7"),
        ("aaabbc", 0.2, 0.4, ""),
    ],
)
def test_caps_that_the_models_cannot_fill_give_way_as_far_as_it_takes(
    families, cap, family_cap, lifted
):
    within = limits(families, cap=cap, family_cap=family_cap)
    assert within.lifted == lifted
    weights = filled(np.ones(len(families)), within)
    assert abs(weights.sum() - 1.0) < 1e-15
    assert weights.max() <= within.cap + 1e-15
    assert np.bincount(within.family, weights).max() <= within.family_cap + 1e-12


def test_the_residue_of_the_solver_is_swept_up():
    weights = cleaned(np.array([0.4 + 1e-9, 0.4 - 1e-9, 0.2, 9e-7, -1e-10]) * 7, singles(5, 0.4))
    np.testing.assert_allclose(weights, [0.4, 0.4, 0.2, 0.0, 0.0], atol=1e-6)
    assert weights[3] == weights[4] == 0.0
    assert weights.max() <= 0.4
    assert abs(weights.sum() - 1.0) < 1e-15


def test_a_sliver_that_the_cap_needs_is_not_swept_up():
    weights = cleaned(np.array([0.333333, 0.333333, 0.333333, 9e-7]), singles(4, 0.333333))
    assert weights.max() <= 0.333333
    assert abs(weights.sum() - 1.0) < 1e-15


def test_the_residue_of_signed_weights_goes_to_one_that_is_held():
    within = singles(5, 0.6, gross=1.8)
    weights = cleaned(np.array([0.6 + 1e-9, 0.6, -0.4, 0.2, 9e-7]) * 3, within)
    assert weights[4] == 0.0
    assert np.abs(weights).max() <= 0.6
    assert abs(weights.sum() - 1.0) < 1e-15


def test_weights_held_are_scaled_to_what_is_left_of_them():
    within = singles(3, 0.5)
    np.testing.assert_allclose(settled(np.array([0.3, 0.2, 0.1]), within), [0.5, 1 / 3, 1 / 6])
    assert settled(np.zeros(3), within) is None


def test_signed_weights_are_held_while_they_fit_and_long_only_after_that():
    within = singles(3, 0.8, gross=1.5)
    held = np.array([0.7, 0.5, -0.2])
    np.testing.assert_allclose(settled(held, within), held)
    np.testing.assert_allclose(settled(held, singles(3, 0.8)), [0.7 / 1.2, 0.5 / 1.2, 0.0])
    np.testing.assert_allclose(settled(np.array([0.1, -0.4, 0.0]), within), [0.8, 0.1, 0.1])
    assert settled(np.array([0.0, -0.4, 0.0]), within) is None


def test_a_change_beyond_the_turnover_limit_is_made_in_part():
    held, wanted = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    within = singles(2, turnover=0.1)
    np.testing.assert_allclose(slowed(wanted, held, within), [0.9, 0.1])
    np.testing.assert_array_equal(slowed(wanted, None, within), wanted)
    np.testing.assert_array_equal(slowed(wanted, held, singles(2, turnover=0.6)), wanted)
    np.testing.assert_array_equal(slowed(held, held, within), held)
