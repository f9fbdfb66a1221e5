from dataclasses import replace

import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.conic import (
    ConicProblem,
    Solution,
    kkt_residual,
    most_violated,
    names,
)

# The point of the line x + y = 1, x <= 1/4, closest to the origin: (1/4, 3/4).
PROBLEM = ConicProblem(
    name="projection",
    P=np.eye(2),
    q=np.zeros(2),
    A=np.array([[1.0, 1.0], [1.0, 0.0]]),
    b=np.array([1.0, 0.25]),
    cones=(("zero", 1), ("nonnegative", 1)),
    variables=(("x", None), ("y", None)),
    rows=(("line", None), ("limit", ("x",))),
)
OPTIMUM = Solution(
    x=np.array([0.25, 0.75]),
    status="Solved",
    objective=0.3125,
    dual=np.array([-0.75, 0.5]),
    solver="by hand",
)


def test_clarabel_finds_the_optimum_and_its_multipliers():
    found = clarabel_solver.solve(PROBLEM)
    assert found.status == "Solved"
    np.testing.assert_allclose(found.x, OPTIMUM.x, atol=1e-8)
    np.testing.assert_allclose(found.dual, OPTIMUM.dual, atol=1e-8)
    assert found.objective == pytest.approx(0.3125, abs=1e-8)


def test_clarabel_reads_the_whole_of_a_dense_matrix_and_the_linear_term():
    coupled = replace(PROBLEM, P=np.array([[2.0, 0.5], [0.5, 1.0]]), q=np.array([0.1, -0.3]))
    found = clarabel_solver.solve(replace(coupled, b=np.array([1.0, 9.0])))
    # By hand: minimise along (x, 1 - x): 2x - 0.35 = 0 after the terms are collected.
    np.testing.assert_allclose(found.x, [0.05, 0.95], atol=1e-8)


def test_clarabel_says_that_a_problem_has_no_solution():
    impossible = replace(
        PROBLEM,
        A=np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        b=np.array([1.0, 0.25, 0.25]),
        cones=(("zero", 1), ("nonnegative", 2)),
        rows=(("line", None), ("limit", ("x", "y"))),
    )
    assert clarabel_solver.solve(impossible).status == "PrimalInfeasible"


def test_clarabel_repeats_itself_bit_for_bit():
    first, second = clarabel_solver.solve(PROBLEM), clarabel_solver.solve(PROBLEM)
    assert first.x.tobytes() == second.x.tobytes()


def test_the_optimum_leaves_no_residual():
    assert kkt_residual(PROBLEM, OPTIMUM) == 0.0


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
    assert kkt_residual(PROBLEM, wrong) > 1e-4


def test_a_negative_multiplier_shows_as_a_residual():
    # (1/4, 3/4) is stationary for x >= 1/4 too, but then it is not the optimum.
    flipped = replace(PROBLEM, A=np.array([[1.0, 1.0], [-1.0, 0.0]]), b=np.array([1.0, -0.25]))
    assert kkt_residual(flipped, replace(OPTIMUM, dual=np.array([-0.75, -0.5]))) > 0.1


def test_a_solution_with_a_hole_has_no_residual_at_all():
    assert np.isnan(kkt_residual(PROBLEM, replace(OPTIMUM, x=np.array([np.nan, 0.75]))))


def test_names_are_written_out_in_order():
    blocks = (("budget", None), ("cap", ("ema_8_21", "rsi_14")), ("short", ()), ("loss", range(2)))
    assert names(blocks) == ["budget", "cap[ema_8_21]", "cap[rsi_14]", "loss[0]", "loss[1]"]


@pytest.mark.parametrize("blocks", [(), (("x", None),), (("x", range(3)),)])
@pytest.mark.parametrize("what", ["variables", "rows"])
def test_a_problem_has_a_name_for_each_variable_and_row(what, blocks):
    with pytest.raises(ValueError, match=f"projection: 2 {what}, but . names of them"):
        replace(PROBLEM, **{what: blocks})


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (replace(OPTIMUM, x=np.array([0.25, 0.5]), dual=np.array([-0.5, 0.25])), "line"),
        (replace(OPTIMUM, x=np.array([0.5, 0.5]), dual=np.array([-0.5, 0.0])), "limit[x]"),
        (replace(OPTIMUM, x=np.array([0.0, 1.0]), dual=np.array([-1.0, 1.0])), "duality gap"),
        (replace(OPTIMUM, dual=np.array([-0.75, 0.4])), "derivative by x"),
        (replace(OPTIMUM, dual=np.array([0.0, -1.0])), "multiplier of limit[x]"),
        (replace(OPTIMUM, dual=np.array([np.nan, 0.5])), "derivative by x"),
    ],
)
def test_what_is_violated_most_is_named(wrong, place):
    assert most_violated(PROBLEM, wrong) == place
