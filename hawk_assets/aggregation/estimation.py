"""Estimates of the models' returns, from a sample of daily returns."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hawk_assets.core.types import Array

SESSIONS_PER_MONTH = 21


@dataclass(frozen=True, eq=False)
class Estimates:
    """:param mean: shape ``(n_models,)``, a fraction per session
    :param covariance: shape ``(n_models, n_models)``, per session
    :param scenarios: the returns themselves, shape ``(n_obs, n_models)``
    :param probability: of each scenario, shape ``(n_obs,)``, summing to 1
    """

    mean: Array
    covariance: Array
    scenarios: Array
    probability: Array

    @cached_property
    def shrunk_mean(self) -> Array:
        """The mean for objectives that depend on it most; see :func:`bayes_stein`."""
        return bayes_stein(
            self.mean, self.covariance, 1.0 / float(self.probability @ self.probability)
        )


def estimate(returns: Array, half_life: float = 0.0) -> Estimates:
    """Mean and Ledoit-Wolf covariance.

    :param returns: shape ``(n_obs, n_models)``, simple daily returns, oldest first, no NaN
    :param half_life: months of 21 sessions after which a return counts half; 0: all count the same
    """
    age = np.arange(len(returns))[::-1] / SESSIONS_PER_MONTH
    probability = 0.5 ** (age / half_life) if half_life else np.ones(len(returns))
    probability /= probability.sum()
    mean = probability @ returns
    return Estimates(mean, ledoit_wolf(returns, probability), returns, probability)


def ledoit_wolf(returns: Array, probability: Array) -> Array:
    """Covariance shrunk towards the identity times the average variance.

    Positive definite also with fewer observations than models. Reference: Olivier Ledoit and
    Michael Wolf, A well-conditioned estimator for large-dimensional covariance matrices, Journal
    of Multivariate Analysis 88, 2004, extended here to unequal probabilities.

    :param returns: shape ``(n_obs, n_models)``, no NaN
    :param probability: shape ``(n_obs,)``, summing to 1
    :return: shape ``(n_models, n_models)``; with equal probabilities the divisor is ``n_obs``
    """
    n_models = returns.shape[1]
    centred = returns - probability @ returns
    weighted = probability[:, None] * centred
    sample = centred.T @ weighted
    target = np.trace(sample) / n_models * np.eye(n_models)
    distance = ((sample - target) ** 2).sum()
    sizes = np.einsum("ij,ij->i", centred, weighted)
    noise = (
        float(sizes @ sizes)
        - 2.0 * float((weighted.T @ weighted * sample).sum())
        + float(probability @ probability) * float((sample**2).sum())
    )
    shrinkage = min(noise / distance, 1.0) if distance > 0 else 0.0
    return np.asarray((1.0 - shrinkage) * sample + shrinkage * target, dtype=np.float64)


def bayes_stein(mean: Array, covariance: Array, n_obs: float) -> Array:
    """Means shrunk towards the mean of the minimum-variance portfolio.

    The less the means differ, the stronger the shrinkage.

    Reference: Philippe Jorion, Bayes-Stein estimation for portfolio analysis, Journal of Financial
    and Quantitative Analysis 21, 1986.

    :param mean: shape ``(n_models,)``
    :param covariance: shape ``(n_models, n_models)``; of a singular one the pseudo-inverse counts
    :param n_obs: observations behind the mean; with unequal probabilities their effective number
    """
    n = len(mean)
    sides = np.column_stack([np.ones(n), mean])
    try:
        inverse_ones, inverse_mean = np.linalg.solve(covariance, sides).T
    except np.linalg.LinAlgError:  # models that are one and the same
        inverse_ones, inverse_mean = np.linalg.lstsq(covariance, sides)[0].T
    centre = inverse_mean.sum() / inverse_ones.sum()
    distance = float((mean - centre) @ (inverse_mean - centre * inverse_ones))
    shrinkage = (n + 2) / (n + 2 + n_obs * distance)
    return np.asarray((1.0 - shrinkage) * mean + shrinkage * centre, dtype=np.float64)
