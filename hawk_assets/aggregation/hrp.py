"""Hierarchical risk parity.

Reference: Marcos López de Prado, Building diversified portfolios that outperform out of sample,
Journal of Portfolio Management 42, 2016. This version uses Ward's linkage in place of single
linkage, and the optimal order of the leaves.
"""

import numpy as np

from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.core.types import Array, Indices


def hrp(problem: AllocationProblem) -> Array:
    """Split the ordered models in halves again and again, each half by its inverse variance."""
    covariance = problem.estimates.covariance
    shares = np.ones(len(covariance))
    pieces = [_order_models(covariance)]
    while pieces:
        halves = [(p[: len(p) // 2], p[len(p) // 2 :]) for p in pieces if len(p) > 1]
        for left, right in halves:
            risk, other = _cluster_variance(covariance, left), _cluster_variance(covariance, right)
            shares[left] *= other / (risk + other)
            shares[right] *= risk / (risk + other)
        pieces = [half for pair in halves for half in pair]
    return shares


def _order_models(covariance: Array) -> Indices:
    """The models in an order in which correlated models are neighbours."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    n = len(covariance)
    if n == 1:
        return np.zeros(1, dtype=np.intp)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    distance = np.sqrt(np.clip(0.5 * (1.0 - correlation), 0.0, 1.0))
    tree = linkage(distance[np.triu_indices(n, 1)], method="ward", optimal_ordering=True)
    return np.asarray(leaves_list(tree), dtype=np.intp)


def _cluster_variance(covariance: Array, models: Indices) -> float:
    """The variance of some models, weighted inversely to their own variances."""
    part = covariance[np.ix_(models, models)]
    shares = 1.0 / np.diag(part)
    shares /= shares.sum()
    return float(shares @ part @ shares)
