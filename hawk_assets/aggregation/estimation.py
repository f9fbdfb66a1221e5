"""What the objectives are told about the models' returns, estimated from a sample of them."""

from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array


@dataclass(frozen=True, eq=False)
class Estimates:
    """:param mean: shape ``(n_models,)``, a fraction per session
    :param covariance: shape ``(n_models, n_models)``, per session
    """

    mean: Array
    covariance: Array


def estimate(returns: Array) -> Estimates:
    """Sample mean and Ledoit-Wolf covariance.

    :param returns: shape ``(n_obs, n_models)``, simple daily returns, no NaN
    """
    return Estimates(returns.mean(axis=0), ledoit_wolf(returns))


def ledoit_wolf(returns: Array) -> Array:
    """Covariance shrunk towards the identity times the average variance.

    Positive definite also with fewer observations than models. Reference: Olivier Ledoit and
    Michael Wolf, A well-conditioned estimator for large-dimensional covariance matrices, Journal
    of Multivariate Analysis 88, 2004.

    :param returns: shape ``(n_obs, n_models)``, no NaN
    :return: shape ``(n_models, n_models)``; divisor ``n_obs``
    """
    n_obs, n_models = returns.shape
    centred = returns - returns.mean(axis=0)
    sample = centred.T @ centred / n_obs
    target = np.trace(sample) / n_models * np.eye(n_models)
    distance = ((sample - target) ** 2).sum()
    noise = (((centred**2).sum(axis=1) ** 2).mean() - (sample**2).sum()) / n_obs
    shrinkage = min(noise / distance, 1.0) if distance > 0 else 0.0
    return np.asarray((1.0 - shrinkage) * sample + shrinkage * target, dtype=np.float64)
