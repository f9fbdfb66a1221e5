"""The weights of one month, and what is done when the objective has none."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hawk_assets.aggregation.conic import Solve
from hawk_assets.aggregation.eligibility import View
from hawk_assets.aggregation.limits import Limits, filled, limits_of, settled
from hawk_assets.aggregation.objectives import NO_SOLVER, SOLVED, optimise
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.task import Task
from hawk_assets.core.model import Array

FALLBACKS = ("min_variance", "inverse_vol")


@dataclass(frozen=True, eq=False)
class Choice:
    """:param weights: of all models, shape ``(n_models,)``
    :param fallback: the objective, or what replaces it
    :param status: ``Solved``, or why the objective was not
    :param solver: what the weights come from; ``none`` where nothing was solved
    """

    weights: Array
    fallback: str
    status: str
    solver: str = NO_SOLVER


def choose(
    objective: str,
    view: View,
    held: Array,
    families: Mapping[str, str],
    parameters: AggregationParameters,
    solve: Solve,
) -> Choice:
    """Down the ladder: the objective, weights held, minimum variance, inverse volatility, equal.

    :param held: the weights of the month before, shape ``(n_models,)``, all 0 if there are none
    :param families: of each model by its name, in the order of the weights
    """
    eligible = view.eligible
    weights = np.zeros(len(eligible))
    if not eligible.any():
        weights[:] = 1.0 / len(weights)
        return Choice(weights, "equal_weight", view.status)
    among = {m: f for (m, f), e in zip(families.items(), eligible, strict=True) if e}
    limits = limits_of(among, parameters)
    mix, fallback, status, solver = _descend(
        objective, view, settled(held[eligible], limits), limits, parameters, solve
    )
    weights[eligible] = mix
    return Choice(
        weights, fallback, f"{status}; {limits.lifted}" if limits.lifted else status, solver
    )


def _descend(
    objective: str,
    view: View,
    held: Array | None,
    limits: Limits,
    parameters: AggregationParameters,
    solve: Solve,
) -> tuple[Array, str, str, str]:
    equal = filled(np.ones(len(limits.family)), limits)
    if view.estimates is None:
        if objective == "equal_weight":
            return equal, objective, SOLVED, NO_SOLVER
        if held is not None:
            return held, "previous_weights", view.status, NO_SOLVER
        return equal, "equal_weight", view.status, NO_SOLVER
    task = Task(view.estimates, limits, held, parameters)
    answer = optimise(objective, task, solve)
    if answer.weights is not None:
        return answer.weights, objective, answer.status, answer.solver
    if held is not None:
        return held, "previous_weights", answer.status, NO_SOLVER
    for fallback in FALLBACKS:
        instead = optimise(fallback, task, solve)
        if instead.weights is not None:
            return instead.weights, fallback, answer.status, instead.solver
    return equal, "equal_weight", answer.status, NO_SOLVER
