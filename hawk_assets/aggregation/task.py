"""What an objective is asked: these estimates, within these limits, coming from those weights."""

from dataclasses import dataclass

from hawk_assets.aggregation.estimation import Estimates
from hawk_assets.aggregation.limits import Limits
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.model import Array


@dataclass(frozen=True, eq=False)
class Task:
    """The mix of ``n_models`` for one month.

    :param held: the previous weights, scaled to these models and within the limits; None where
        there are none
    :param parameters: for the constants of single objectives
    """

    estimates: Estimates
    limits: Limits
    held: Array | None
    parameters: AggregationParameters


class InfeasibleError(Exception):
    """No mix has what the objective asks for; seen by ``optimise`` only."""
