import numpy as np
import pytest

from hawk_assets.core.model import Array
from hawk_assets.model_states.rounding import round_significant


def printed(values: Array) -> Array:
    """Python's own correctly rounded decimal conversion."""
    return np.array([float(f"{value:.10g}") for value in values])


def wide_range(low: float, high: float) -> Array:
    rng = np.random.default_rng(1)
    return rng.choice([-1.0, 1.0], 20_000) * 10.0 ** rng.uniform(low, high, 20_000)


def test_rounding_equals_printing_ten_digits() -> None:
    values = wide_range(-12, 9)
    assert np.array_equal(round_significant(values), printed(values))


def test_far_from_one_it_equals_printing_except_for_the_last_bit() -> None:
    values = wide_range(-60, 60)
    assert np.allclose(round_significant(values), printed(values), rtol=3e-16, atol=0.0)


def test_ties_differ_from_printing_by_one_unit_of_the_tenth_digit_at_most() -> None:
    ties = (np.random.default_rng(2).integers(10**9, 10**10, 5_000) + 0.5) / 1e9
    unit = 1e-9
    assert np.abs(round_significant(ties) - printed(ties)).max() <= 1.001 * unit
    assert np.abs(round_significant(ties) - ties).max() <= 0.501 * unit


def test_rounding_twice_is_rounding_once() -> None:
    once = round_significant(
        np.append(wide_range(-12, 9), 9.99999999999 * 10.0 ** np.arange(-8, 8))
    )
    assert np.array_equal(round_significant(once), once)


def test_noise_in_the_last_bits_disappears() -> None:
    values = round_significant(wide_range(-12, 9))
    assert np.array_equal(round_significant(values * (1 + 4e-16)), values)
    assert np.array_equal(round_significant(values * (1 - 4e-16)), values)


def test_a_number_is_rounded_independently_of_its_neighbours() -> None:
    values = wide_range(-12, 9)[:400]
    whole = round_significant(values)
    for start in range(0, 380, 7):
        for length in (1, 2, 3, 8, 21):
            part = round_significant(values[start : start + length])
            assert np.array_equal(part, whole[start : start + length])


@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324])
def test_what_cannot_be_rounded_is_returned_as_it_is(value: float) -> None:
    assert np.array_equal(round_significant(np.array([value, 1.0]))[:1], [value], equal_nan=True)
