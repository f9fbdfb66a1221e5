import numpy as np

from hawk_assets.aggregation.adjustments import carry_forward, limit_turnover, remove_residue
from hawk_assets_tests.aggregation.samples import single_limits


def test_the_residue_of_the_solver_is_removed():
    weights = remove_residue(
        np.array([0.4 + 1e-9, 0.4 - 1e-9, 0.2, 9e-7, -1e-10]) * 7, single_limits(5, 0.4)
    )
    np.testing.assert_allclose(weights, [0.4, 0.4, 0.2, 0.0, 0.0], atol=1e-6)
    assert weights[3] == weights[4] == 0.0
    assert weights.max() <= 0.4
    assert abs(weights.sum() - 1.0) < 1e-15


def test_a_small_weight_that_the_cap_requires_is_not_removed():
    weights = remove_residue(
        np.array([0.333333, 0.333333, 0.333333, 9e-7]), single_limits(4, 0.333333)
    )
    assert weights.max() <= 0.333333
    assert abs(weights.sum() - 1.0) < 1e-15


def test_the_residue_of_signed_weights_goes_to_a_model_with_weight():
    within = single_limits(5, 0.6, gross=1.8)
    weights = remove_residue(np.array([0.6 + 1e-9, 0.6, -0.4, 0.2, 9e-7]) * 3, within)
    assert weights[4] == 0.0
    assert np.abs(weights).max() <= 0.6
    assert abs(weights.sum() - 1.0) < 1e-15


def test_held_weights_are_scaled_to_sum_to_one():
    within = single_limits(3, 0.5)
    np.testing.assert_allclose(
        carry_forward(np.array([0.3, 0.2, 0.1]), within), [0.5, 1 / 3, 1 / 6]
    )
    assert carry_forward(np.zeros(3), within) is None


def test_signed_weights_are_held_within_the_limits_and_long_only_beyond_them():
    within = single_limits(3, 0.8, gross=1.5)
    held = np.array([0.7, 0.5, -0.2])
    np.testing.assert_allclose(carry_forward(held, within), held)
    np.testing.assert_allclose(
        carry_forward(held, single_limits(3, 0.8)), [0.7 / 1.2, 0.5 / 1.2, 0.0]
    )
    np.testing.assert_allclose(carry_forward(np.array([0.1, -0.4, 0.0]), within), [0.8, 0.1, 0.1])
    assert carry_forward(np.array([0.0, -0.4, 0.0]), within) is None


def test_a_change_beyond_the_turnover_limit_is_shortened():
    held, wanted = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    within = single_limits(2, turnover=0.1)
    np.testing.assert_allclose(limit_turnover(wanted, held, within), [0.9, 0.1])
    np.testing.assert_array_equal(limit_turnover(wanted, None, within), wanted)
    np.testing.assert_array_equal(
        limit_turnover(wanted, held, single_limits(2, turnover=0.6)), wanted
    )
    np.testing.assert_array_equal(limit_turnover(held, held, within), held)
