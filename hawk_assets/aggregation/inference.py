"""How sure one can be of a Sharpe ratio, and of the difference between two.

Reference: Oliver Ledoit and Michael Wolf, Robust performance hypothesis testing with the Sharpe
ratio, Journal of Empirical Finance 15, 2008 (the delta method over means and mean squares, with a
covariance that is robust to autocorrelation). Here with the kernel and the lags of Whitney Newey
and Kenneth West, 1987 and 1994: a simple rule in place of their automatic one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hawk_assets.core.model import Array
from hawk_assets.core.sessions import BARS_PER_YEAR


@dataclass(frozen=True)
class Estimate:
    """:param value: annualised
    :param standard_error: annualised
    """

    value: float
    standard_error: float

    @property
    def p_value(self) -> float:
        """Of the hypothesis that the value is 0, two-sided, by the normal distribution."""
        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        return math.erfc(abs(self.value) / self.standard_error / math.sqrt(2.0))


def sharpe_ratio(returns: Array) -> Estimate:
    """:param returns: daily, shape ``(n_obs,)``, not constant"""
    return _of(returns[:, None], np.ones(1))


def sharpe_difference(returns: Array, others: Array) -> Estimate:
    """The Sharpe ratio of one less that of the other, on the same days.

    :param returns: daily, shape ``(n_obs,)``, not constant
    :param others: likewise
    """
    if np.array_equal(returns, others):
        return Estimate(0.0, 0.0)
    return _of(np.column_stack([returns, others]), np.array([1.0, -1.0]))


def _of(returns: Array, signs: Array) -> Estimate:
    """A sum of Sharpe ratios.

    :param returns: shape ``(n_obs, n_series)``
    :param signs: shape ``(n_series,)``
    """
    mean, square = returns.mean(axis=0), (returns**2).mean(axis=0)
    variance = square - mean**2
    gradient = np.concatenate([signs * square, signs * -mean / 2.0]) / np.tile(variance**1.5, 2)
    draws = np.hstack([returns - mean, returns**2 - square])
    spread = float(gradient @ long_run_covariance(draws) @ gradient) / len(returns)
    year = math.sqrt(BARS_PER_YEAR)
    return Estimate(
        year * float(signs @ (mean / np.sqrt(variance))), year * math.sqrt(max(spread, 0.0))
    )


def long_run_covariance(draws: Array) -> Array:
    """The covariance of root n times the mean of draws that may be autocorrelated.

    :param draws: shape ``(n_obs, n)``, of mean 0
    :return: shape ``(n, n)``; Bartlett's kernel over ``4 (n_obs / 100)^(2/9)`` lags
    """
    n_obs = len(draws)
    lags = int(4.0 * (n_obs / 100.0) ** (2.0 / 9.0))
    total = draws.T @ draws
    for lag in range(1, min(lags, n_obs - 1) + 1):
        cross = draws[lag:].T @ draws[:-lag]
        total = total + (1.0 - lag / (lags + 1.0)) * (cross + cross.T)
    return np.asarray(total / n_obs, dtype=np.float64)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several hypotheses at once, such that one false finding among all is as rare.

    Reference: Sture Holm, A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6, 1979.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted
