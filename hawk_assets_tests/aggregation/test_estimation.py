import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from hawk_assets.aggregation.estimation import estimate, ledoit_wolf
from hawk_assets_tests.aggregation.samples import returns


@pytest.mark.parametrize(("n_obs", "n_models"), [(756, 20), (252, 6), (20, 60), (300, 1), (2, 3)])
def test_ledoit_wolf_equals_scikit_learn(n_obs, n_models):
    sample = returns(n_obs, n_models)
    expected, _ = sklearn_ledoit_wolf(sample)
    np.testing.assert_allclose(ledoit_wolf(sample), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(ledoit_wolf(100 * sample), 1e4 * expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_independent_noise_is_shrunk_as_by_scikit_learn_but_never_beyond_the_target(seed):
    sample = np.random.default_rng(seed).normal(size=(30, 10))
    expected, _ = sklearn_ledoit_wolf(sample)
    np.testing.assert_allclose(ledoit_wolf(sample), expected, rtol=0, atol=1e-14)


def test_fewer_observations_than_models_still_give_a_positive_definite_matrix():
    assert np.linalg.eigvalsh(ledoit_wolf(returns(20, 60))).min() > 0


def test_a_sample_that_is_the_target_stays_as_it_is():
    sample = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    np.testing.assert_array_equal(ledoit_wolf(sample), 0.5 * np.eye(2))


def test_the_mean_is_the_sample_mean_of_each_model():
    sample = returns(300, 4)
    expected = [sum(column) / 300 for column in sample.T]
    np.testing.assert_allclose(estimate(sample).mean, expected, rtol=1e-10)
