"""The input of an objective: estimates, limits and the weights held before."""

from dataclasses import dataclass

from hawk_assets.aggregation.estimation import Estimates
from hawk_assets.aggregation.limits import Limits
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.types import Array


@dataclass(frozen=True, eq=False)
class AllocationProblem:
    """Find the weights of ``n_models`` models for one month.

    :param held: the previous weights, scaled to these models and within the limits; None where
        there are none
    :param parameters: for the constants of single objectives
    """

    estimates: Estimates
    limits: Limits
    held: Array | None
    parameters: AggregationParameters


class InfeasibleError(Exception):
    """No weights meet what the objective requires; caught in ``objectives``."""
