"""Hierarchical risk parity.

Reference: Marcos López de Prado, Building diversified portfolios that outperform out of sample,
Journal of Portfolio Management 42, 2016; here with Ward's linkage in place of his single one, and
leaves in the optimal order.
"""

import numpy as np
from numpy.typing import NDArray

from hawk_assets.aggregation.task import Task
from hawk_assets.core.model import Array


def hrp(task: Task) -> Array:
    """Shares that halve the row of leaves again and again, each half by its inverse variance."""
    covariance = task.estimates.covariance
    shares = np.ones(len(covariance))
    pieces = [_leaves(covariance)]
    while pieces:
        halves = [(p[: len(p) // 2], p[len(p) // 2 :]) for p in pieces if len(p) > 1]
        for left, right in halves:
            risk, other = _variance(covariance, left), _variance(covariance, right)
            shares[left] *= other / (risk + other)
            shares[right] *= risk / (risk + other)
        pieces = [half for pair in halves for half in pair]
    return shares


def _leaves(covariance: Array) -> NDArray[np.intp]:
    """The models in an order in which correlated ones are neighbours."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    n = len(covariance)
    if n == 1:
        return np.zeros(1, dtype=np.intp)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    distance = np.sqrt(np.clip(0.5 * (1.0 - correlation), 0.0, 1.0))
    tree = linkage(distance[np.triu_indices(n, 1)], method="ward", optimal_ordering=True)
    return np.asarray(leaves_list(tree), dtype=np.intp)


def _variance(covariance: Array, models: NDArray[np.intp]) -> float:
    """Of some models, weighted inversely to their variances."""
    part = covariance[np.ix_(models, models)]
    shares = 1.0 / np.diag(part)
    shares /= shares.sum()
    return float(shares @ part @ shares)
