import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from hawk_assets.aggregation.estimation import bayes_stein, estimate
from hawk_assets_tests.aggregation.samples import returns


def ledoit_wolf(sample):
    return estimate(sample).covariance


@pytest.mark.parametrize(("n_obs", "n_models"), [(756, 20), (252, 6), (20, 60), (300, 1), (2, 3)])
def test_ledoit_wolf_equals_scikit_learn(n_obs, n_models):
    sample = returns(n_obs, n_models)
    expected, _ = sklearn_ledoit_wolf(sample)
    np.testing.assert_allclose(ledoit_wolf(sample), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(ledoit_wolf(100 * sample), 1e4 * expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_independent_noise_is_shrunk_as_by_scikit_learn(seed):
    sample = np.random.default_rng(seed).normal(size=(30, 10))
    expected, _ = sklearn_ledoit_wolf(sample)
    np.testing.assert_allclose(ledoit_wolf(sample), expected, rtol=0, atol=1e-14)


def test_fewer_observations_than_models_still_give_a_positive_definite_matrix():
    assert np.linalg.eigvalsh(ledoit_wolf(returns(20, 60))).min() > 0


def test_a_sample_equal_to_the_target_is_not_shrunk():
    sample = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    np.testing.assert_array_equal(ledoit_wolf(sample), 0.5 * np.eye(2))


def test_the_mean_is_the_sample_mean_of_each_model():
    sample = returns(300, 4)
    expected = [sum(column) / 300 for column in sample.T]
    np.testing.assert_allclose(estimate(sample).mean, expected, rtol=1e-10)


def test_a_return_one_half_life_ago_counts_half():
    estimates = estimate(returns(300, 3), half_life=2.0)
    assert estimates.probability.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(estimates.probability[:-42] * 2, estimates.probability[42:])
    weighted = np.average(estimates.scenarios, axis=0, weights=estimates.probability)
    np.testing.assert_allclose(estimates.mean, weighted)


def test_a_very_long_half_life_weighs_all_returns_the_same():
    sample = returns(300, 5)
    alike, long = estimate(sample), estimate(sample, half_life=1e9)
    np.testing.assert_allclose(long.covariance, alike.covariance, rtol=1e-6)
    np.testing.assert_allclose(long.mean, alike.mean, rtol=1e-6)


def test_a_weighted_covariance_is_shrunk_from_the_weighted_sample():
    sample = returns(600, 5)
    estimates = estimate(sample, half_life=6.0)
    plain = np.cov(sample.T, aweights=estimates.probability, ddof=0)
    off = ~np.eye(5, dtype=bool)
    ratio = (estimates.covariance / plain)[off]
    assert 0.8 < ratio[0] < 1.0
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)
    assert np.trace(estimates.covariance) == pytest.approx(np.trace(plain), rel=1e-10)


@pytest.mark.parametrize("half_life", [0.0, 6.0])
def test_the_shrinkage_is_close_to_the_best_possible(half_life):
    """The error of the estimate against the truth is close to that of the best shrinkage."""
    rng, truth = np.random.default_rng(0), np.diag(np.linspace(1.0, 3.0, 20))
    errors, best = [], []
    for _ in range(20):
        sample = rng.normal(size=(250, 20)) @ np.sqrt(truth)
        estimates = estimate(sample, half_life)
        plain = np.cov(sample.T, aweights=estimates.probability, ddof=0)
        target = np.trace(plain) / 20 * np.eye(20)
        shrunk = [(1 - s) * plain + s * target for s in np.linspace(0, 1, 101)]
        errors.append(((estimates.covariance - truth) ** 2).sum())
        best.append(min(((s - truth) ** 2).sum() for s in shrunk))
    assert np.mean(errors) < 1.1 * np.mean(best)


def test_means_are_shrunk_as_computed_by_hand():
    # Minimum variance weighs 4/5 and 1/5, so that the centre is 2.
    mean, covariance = np.array([1.0, 6.0]), np.diag([1.0, 4.0])
    distance = (1.0 - 2.0) ** 2 / 1.0 + (6.0 - 2.0) ** 2 / 4.0
    kept = 100 * distance / (4 + 100 * distance)
    expected = [2.0 - kept, 2.0 + 4.0 * kept]
    np.testing.assert_allclose(bayes_stein(mean, covariance, 100.0), expected, rtol=1e-12)


def test_equal_means_are_the_centre_and_means_of_many_days_are_not_shrunk():
    mean, covariance = np.array([1.0, 6.0]), np.diag([1.0, 4.0])
    np.testing.assert_allclose(bayes_stein(mean, covariance, 1e12), mean, rtol=1e-10)
    np.testing.assert_allclose(bayes_stein(mean, covariance, 0.0), [2.0, 2.0], rtol=1e-10)
    np.testing.assert_allclose(bayes_stein(np.ones(2), covariance, 9.0), [1.0, 1.0], rtol=1e-10)
    np.testing.assert_allclose(bayes_stein(np.ones(1), np.eye(1), 9.0), [1.0], rtol=1e-10)


def test_the_shrunk_mean_counts_the_effective_number_of_observations():
    sample = returns(500, 4)
    for half_life, effective in ((0.0, 500.0), (3.0, None)):
        estimates = estimate(sample, half_life)
        n_obs = effective or 1.0 / (estimates.probability**2).sum()
        expected = bayes_stein(estimates.mean, estimates.covariance, n_obs)
        np.testing.assert_allclose(estimates.shrunk_mean, expected, rtol=1e-10)


def test_models_that_are_one_and_the_same_have_one_mean():
    covariance = np.array([[1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(bayes_stein(np.array([3.0, 3.0]), covariance, 9.0), [3.0, 3.0])
    assert np.isfinite(bayes_stein(np.array([1.0, 3.0]), covariance, 9.0)).all()
