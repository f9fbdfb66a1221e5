"""Standard errors and p-values of Sharpe ratios and of their differences.

Reference: Oliver Ledoit and Michael Wolf, Robust performance hypothesis testing with the Sharpe
ratio, Journal of Empirical Finance 15, 2008: the delta method over means and mean squares, with a
covariance that is robust to autocorrelation. Instead of their automatic choice of lags, the kernel
and the rule for the lags are those of Whitney Newey and Kenneth West, 1987 and 1994.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hawk_assets.core.sessions import BARS_PER_YEAR
from hawk_assets.core.types import Array


@dataclass(frozen=True)
class SharpeEstimate:
    """:param value: annualised
    :param standard_error: annualised
    """

    value: float
    standard_error: float

    @property
    def p_value(self) -> float:
        """P-value of the hypothesis that the value is 0: two-sided, normal distribution."""
        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        return math.erfc(abs(self.value) / self.standard_error / math.sqrt(2.0))


def sharpe_ratio(returns: Array, sessions_per_year: float = BARS_PER_YEAR) -> SharpeEstimate:
    """:param returns: of each session, shape ``(n_obs,)``, not constant"""
    return _estimate_sum(returns[:, None], np.ones(1), sessions_per_year)


def sharpe_difference(
    returns: Array, others: Array, sessions_per_year: float = BARS_PER_YEAR
) -> SharpeEstimate:
    """The Sharpe ratio of ``returns`` less that of ``others``, on the same days.

    :param returns: of each session, shape ``(n_obs,)``, not constant
    :param others: the same
    """
    if np.array_equal(returns, others):
        return SharpeEstimate(0.0, 0.0)
    both, signs = np.column_stack([returns, others]), np.array([1.0, -1.0])
    return _estimate_sum(both, signs, sessions_per_year)


def _estimate_sum(returns: Array, signs: Array, sessions_per_year: float) -> SharpeEstimate:
    """The signed sum of Sharpe ratios.

    :param returns: shape ``(n_obs, n_series)``
    :param signs: shape ``(n_series,)``
    """
    mean, square = returns.mean(axis=0), (returns**2).mean(axis=0)
    variance = square - mean**2
    gradient = np.concatenate([signs * square, signs * -mean / 2.0]) / np.tile(variance**1.5, 2)
    draws = np.hstack([returns - mean, returns**2 - square])
    spread = float(gradient @ long_run_covariance(draws) @ gradient) / len(returns)
    year = math.sqrt(sessions_per_year)
    return SharpeEstimate(
        year * float(signs @ (mean / np.sqrt(variance))), year * math.sqrt(max(spread, 0.0))
    )


def long_run_covariance(draws: Array) -> Array:
    """The covariance of sqrt(n_obs) times the mean of draws, robust to autocorrelation.

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


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """P-values of several hypotheses, adjusted by Holm's method.

    Rejecting those below a level keeps the probability of any false rejection below that level.

    Reference: Sture Holm, A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6, 1979.
    """
    adjusted, smallest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        smallest = max(smallest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = smallest
    return adjusted
