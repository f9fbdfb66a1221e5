"""The weights of one month: those of the objective, or of a fallback when it has no solution."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hawk_assets.aggregation.adjustments import carry_forward
from hawk_assets.aggregation.caps import water_fill
from hawk_assets.aggregation.conic import Solve
from hawk_assets.aggregation.eligibility import EligibleSample
from hawk_assets.aggregation.limits import Limits, build_limits
from hawk_assets.aggregation.objectives import optimise_weights
from hawk_assets.aggregation.optimisation import NO_SOLVER, SOLVED
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.core.types import Array

FALLBACKS = ("min_variance", "inverse_vol")


@dataclass(frozen=True, eq=False)
class Allocation:
    """:param weights: of all models, shape ``(n_models,)``
    :param fallback: the objective, or the fallback that replaces it
    :param status: ``Solved``, or why the objective has no solution; then the raised caps
    :param solver: the solver that found the weights; ``none`` if no solver was needed
    """

    weights: Array
    fallback: str
    status: str
    solver: str = NO_SOLVER


def allocate(
    objective: str,
    sample: EligibleSample,
    held: Array,
    families: Mapping[str, str],
    parameters: AggregationParameters,
    solve: Solve,
) -> Allocation:
    """The weights of one month.

    When the objective has no solution, the first of these that exists replaces it: the held
    weights, minimum variance, inverse volatility, equal weight.

    :param held: the weights of the month before, shape ``(n_models,)``, all 0 if there are none
    :param families: the family of each model by its name, in the order of the weights
    """
    eligible = sample.eligible
    weights = np.zeros(len(eligible))
    if not eligible.any():
        weights[:] = 1.0 / len(weights)
        return Allocation(weights, "equal_weight", sample.status)
    chosen = {m: f for (m, f), e in zip(families.items(), eligible, strict=True) if e}
    limits = build_limits(chosen, parameters)
    found = _allocate_eligible(
        objective, sample, carry_forward(held[eligible], limits), limits, parameters, solve
    )
    weights[eligible] = found.weights
    status = f"{found.status}; {limits.raised}" if limits.raised else found.status
    return Allocation(weights, found.fallback, status, found.solver)


def _allocate_eligible(
    objective: str,
    sample: EligibleSample,
    held: Array | None,
    limits: Limits,
    parameters: AggregationParameters,
    solve: Solve,
) -> Allocation:
    """The weights of the eligible models."""
    equal = water_fill(np.ones(len(limits.family)), limits)
    if sample.estimates is None:
        if objective == "equal_weight":
            return Allocation(equal, objective, SOLVED)
        if held is not None:
            return Allocation(held, "previous_weights", sample.status)
        return Allocation(equal, "equal_weight", sample.status)
    problem = AllocationProblem(sample.estimates, limits, held, parameters)
    wanted = optimise_weights(objective, problem, solve)
    if wanted.weights is not None:
        return Allocation(wanted.weights, objective, wanted.status, wanted.solver)
    if held is not None:
        return Allocation(held, "previous_weights", wanted.status)
    for fallback in FALLBACKS:
        found = optimise_weights(fallback, problem, solve)
        if found.weights is not None:
            return Allocation(found.weights, fallback, wanted.status, found.solver)
    return Allocation(equal, "equal_weight", wanted.status)
