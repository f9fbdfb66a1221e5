import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.sandwich_covariance import S_hac_simple

from hawk_assets.aggregation.inference import (
    SharpeEstimate,
    adjust_p_values,
    long_run_covariance,
    sharpe_difference,
    sharpe_ratio,
)


def noise(n_obs, seed=0, mean=5e-4, deviation=0.01):
    return np.random.default_rng(seed).normal(mean, deviation, n_obs)


def test_the_sharpe_ratio_is_annualised_from_daily_returns():
    sample = noise(1000)
    expected = sample.mean() / sample.std() * np.sqrt(252)
    assert sharpe_ratio(sample).value == pytest.approx(expected, rel=1e-9)


def test_the_error_of_independent_normal_returns_equals_the_formula_of_lo():
    """Andrew Lo, The statistics of Sharpe ratios, 2002: sqrt((1 + SR^2 / 2) / T)."""
    sample = noise(200_000, mean=5e-3)
    daily = sample.mean() / sample.std()
    expected = np.sqrt((1 + daily**2 / 2) / len(sample)) * np.sqrt(252)
    assert sharpe_ratio(sample).standard_error == pytest.approx(expected, rel=0.02)


def test_the_error_of_returns_that_trend_is_larger():
    shocks = noise(100_000)
    smooth = np.convolve(shocks, np.ones(5) / 5, mode="valid")
    grown = sharpe_ratio(smooth).standard_error / sharpe_ratio(shocks).standard_error
    # A moving average of five has the long-run variance of the shocks, a fifth of their variance.
    assert grown == pytest.approx(np.sqrt(5), rel=0.15)


def test_the_error_of_a_difference_equals_the_formula_of_memmel():
    """Christoph Memmel, Performance hypothesis testing with the Sharpe ratio, 2003, for normal
    returns: (2 - 2r + (a^2 + b^2 - 2 a b r^2) / 2) / T."""
    rng, n_obs, r = np.random.default_rng(0), 200_000, 0.7
    draws = rng.normal(size=(n_obs, 2)) @ np.linalg.cholesky([[1.0, r], [r, 1.0]]).T
    one, other = 0.01 * (draws + np.array([0.3, 0.1])).T
    a, b = one.mean() / one.std(), other.mean() / other.std()
    variance = (2 - 2 * r + (a**2 + b**2 - 2 * a * b * r**2) / 2) / n_obs
    found = sharpe_difference(one, other)
    assert found.value == pytest.approx((a - b) * np.sqrt(252), rel=1e-9)
    assert found.standard_error == pytest.approx(np.sqrt(252 * variance), rel=0.03)


def test_a_true_hypothesis_is_rejected_as_often_as_its_level():
    rng, rejected = np.random.default_rng(1), 0
    for _ in range(1000):
        shared = rng.standard_t(5, 750)
        one, other = (0.01 * (shared + rng.standard_t(5, 750)) + 4e-4 for _ in range(2))
        rejected += sharpe_difference(one, other).p_value < 0.05
    assert 30 <= rejected <= 75


def test_the_long_run_covariance_is_that_of_statsmodels():
    draws = np.random.default_rng(0).normal(size=(500, 3)).cumsum(axis=0)
    draws -= draws.mean(axis=0)
    expected = S_hac_simple(draws, nlags=int(4 * 5 ** (2 / 9))) / 500
    np.testing.assert_allclose(long_run_covariance(draws), expected, rtol=1e-12)


def test_a_series_does_not_differ_from_itself():
    sample = noise(500)
    found = sharpe_difference(sample, sample.copy())
    assert (found.value, found.standard_error, found.p_value) == (0.0, 0.0, 1.0)


def test_a_p_value_is_of_the_normal_distribution_and_two_sided():
    assert SharpeEstimate(1.959963984540054, 1.0).p_value == pytest.approx(0.05)
    assert SharpeEstimate(-1.959963984540054, 1.0).p_value == pytest.approx(0.05)


def test_p_values_are_adjusted_as_by_statsmodels():
    p_values = [0.01, 0.04, 0.03, 0.005, 0.9, 0.02]
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(adjust_p_values(p_values), expected, rtol=1e-12)
    assert adjust_p_values([]) == []
