"""Synthetic returns of models for the tests of this folder: seeded and correlated."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.estimation import Estimates
from hawk_assets.aggregation.limits import Limits, build_limits
from hawk_assets.aggregation.objectives import optimise_weights
from hawk_assets.aggregation.optimisation import OptimisationResult
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.core.types import Array


def returns(n_obs: int, n_models: int, seed: int = 0, drift: float = 3e-4) -> Array:
    """Daily returns with two common factors, shape ``(n_obs, n_models)``."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(0.0, 0.006, (n_obs, 2)) @ rng.normal(0.0, 1.0, (2, n_models))
    own = rng.normal(0.0, 0.005, (n_obs, n_models))
    return np.asarray(factors + own + rng.normal(drift, 3e-4, n_models))


def performance(
    values: Array, last: str = "2023-12-29", names: list[str] | None = None
) -> dict[str, pd.DataFrame]:
    """One frame per column of ``values``, on the business days up to ``last``."""
    dates = pd.bdate_range(end=last, periods=len(values))
    names = names or [f"m{j:02d}" for j in range(values.shape[1])]
    return {
        name: pd.DataFrame({"date": dates, "daily_return": values[:, j]})
        for j, name in enumerate(names)
    }


def months(first: str, count: int = 1) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq="MS")


def moments(mean: Sequence[float] | Array, covariance: Array) -> Estimates:
    """Estimates with these moments, as from 252 equally likely days; their scenarios are zeros."""
    none = np.zeros((252, len(covariance)))
    return Estimates(np.asarray(mean, dtype=float), covariance, none, np.full(252, 1 / 252))


def build_problem(
    estimates: Estimates,
    cap: float = 1.0,
    families: Sequence[str] | None = None,
    held: Sequence[float] | Array | None = None,
    **constants: float,
) -> AllocationProblem:
    """The problem of models m00, m01, ...; by default each is a family of its own."""
    parameters = AggregationParameters(cap=cap, **constants)
    family = {f"m{j:02d}": families[j] if families else f"f{j}" for j in range(len(estimates.mean))}
    weights = None if held is None else np.asarray(held, dtype=float)
    return AllocationProblem(estimates, build_limits(family, parameters), weights, parameters)


def family_limits(families: Sequence[str], **parameters: float) -> Limits:
    """The limits of models m00, m01, ... of these families."""
    family = {f"m{j:02d}": name for j, name in enumerate(families)}
    return build_limits(family, AggregationParameters(**parameters))


def single_limits(n: int, cap: float = 1.0, **parameters: float) -> Limits:
    """The limits of n models, each a family of its own."""
    return family_limits([f"f{j}" for j in range(n)], cap=cap, **parameters)


def optimise(objective: str, problem: AllocationProblem) -> OptimisationResult:
    return optimise_weights(objective, problem, clarabel_solver.solve)


def check_limits(weights: Array, problem: AllocationProblem) -> Array:
    """Assert that the weights keep every limit of their problem."""
    limits = problem.limits
    tolerance = 0.0 if limits.long_only else 2e-6
    assert abs(weights.sum() - 1.0) < 1e-12
    assert np.abs(weights).max() <= limits.cap + tolerance
    assert np.abs(weights).sum() <= limits.gross + tolerance + 1e-12
    assert (
        np.bincount(limits.family, np.abs(weights)).max() <= limits.family_cap + tolerance + 1e-12
    )
    assert not ((weights != 0) & (np.abs(weights) < 1e-6)).any()
    if problem.held is not None:
        assert np.abs(weights - problem.held).sum() / 2 <= limits.turnover + 2e-6
    return weights
