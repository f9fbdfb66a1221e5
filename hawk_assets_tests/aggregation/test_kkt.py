from dataclasses import replace

import numpy as np
import pytest

from hawk_assets.aggregation.kkt import kkt_residual, most_violated_condition
from hawk_assets_tests.aggregation.conic_programs import OPTIMUM, PROJECTION


def test_the_optimum_has_no_residual():
    assert kkt_residual(PROJECTION, OPTIMUM) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OPTIMUM, x=np.array([0.25, 0.751])),
        replace(OPTIMUM, x=np.array([0.251, 0.749])),
        replace(OPTIMUM, x=np.array([0.249, 0.751])),
        replace(OPTIMUM, dual=np.array([-0.625, 0.0])),
        replace(OPTIMUM, dual=np.array([-0.75, 0.501])),
        replace(OPTIMUM, x=np.array([0.5, 0.5]), dual=np.array([-0.5, 0.0])),
        replace(OPTIMUM, x=np.array([0.0, 1.0]), dual=np.array([-1.0, 1.0])),
    ],
    ids=["equality", "above a limit", "short of it", "force", "multiplier", "outside", "slack"],
)
def test_a_violated_condition_shows_as_a_residual(wrong):
    assert kkt_residual(PROJECTION, wrong) > 1e-4


def test_a_negative_multiplier_shows_as_a_residual():
    # (1/4, 3/4) is stationary for x >= 1/4 too, but then it is not the optimum.
    flipped = replace(PROJECTION, A=np.array([[1.0, 1.0], [-1.0, 0.0]]), b=np.array([1.0, -0.25]))
    assert kkt_residual(flipped, replace(OPTIMUM, dual=np.array([-0.75, -0.5]))) > 0.1


def test_a_solution_with_a_nan_has_a_nan_as_residual():
    assert np.isnan(kkt_residual(PROJECTION, replace(OPTIMUM, x=np.array([np.nan, 0.75]))))


@pytest.mark.parametrize(
    ("wrong", "condition"),
    [
        (replace(OPTIMUM, x=np.array([0.25, 0.5]), dual=np.array([-0.5, 0.25])), "line"),
        (
            replace(OPTIMUM, x=np.array([0.5, 0.5]), dual=np.array([-0.5, 0.0])),
            "limit[x]",
        ),
        (
            replace(OPTIMUM, x=np.array([0.0, 1.0]), dual=np.array([-1.0, 1.0])),
            "duality gap",
        ),
        (replace(OPTIMUM, dual=np.array([-0.75, 0.4])), "derivative by x"),
        (replace(OPTIMUM, dual=np.array([0.0, -1.0])), "multiplier of limit[x]"),
        (replace(OPTIMUM, dual=np.array([np.nan, 0.5])), "derivative by x"),
    ],
)
def test_the_most_violated_condition_is_named(wrong, condition):
    assert most_violated_condition(PROJECTION, wrong) == condition
