from dataclasses import replace

import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.conic import ConicProblem, kkt_residual
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.polish import polished as polished_from
from hawk_assets_tests.aggregation.samples import returns, task


def polished(problem, solution):
    return polished_from(problem, solution, kkt_residual(problem, solution))


QUADRATIC = [name for name in PROGRAMS if name != "min_cvar"]


def stated(objective, n=20, seed=0, **limits):
    held = np.random.default_rng(seed).dirichlet(np.ones(n))
    asked = task(estimate(returns(504, n, seed)), max(0.2, held.max()), held=held, **limits)
    return PROGRAMS[objective](asked)


@pytest.mark.parametrize("objective", QUADRATIC)
@pytest.mark.parametrize("seed", range(3))
def test_the_polished_answer_meets_every_condition_to_the_last_digits(objective, seed):
    problem = stated(objective, seed=seed)
    rough = clarabel_solver.solve(problem)
    exact = polished(problem, rough)
    assert kkt_residual(problem, exact) < 1e-12 < kkt_residual(problem, rough)
    np.testing.assert_allclose(exact.x, rough.x, atol=1e-4 * np.abs(rough.x).max())
    assert exact.objective == pytest.approx(
        exact.x @ problem.P @ exact.x / 2 + problem.q @ exact.x, rel=1e-12
    )
    assert (exact.status, exact.solver) == ("Solved", "clarabel")


def test_a_rougher_answer_leads_to_the_same_point():
    """What the solver leaves open in the last digits does not reach the weights."""
    problem = stated("max_sharpe_net")
    rough = clarabel_solver.solve(problem)
    noise = np.random.default_rng(1).normal(0.0, 1e-7, len(rough.x))
    exact = polished(problem, rough)
    other = polished(problem, replace(rough, x=rough.x + noise))
    np.testing.assert_allclose(other.x, exact.x, rtol=0, atol=1e-11 * np.abs(exact.x).max())


def test_rows_that_say_the_same_twice_are_no_obstacle():
    problem = ConicProblem(
        name="twice",
        P=np.eye(2),
        q=np.zeros(2),
        A=np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 0.0], [1.0, 0.0]]),
        b=np.array([1.0, 2.0, 0.25, 0.25]),
        cones=(("zero", 2), ("nonnegative", 2)),
        variables=(("x", range(2)),),
        rows=(("line", range(2)), ("limit", range(2))),
    )
    exact = polished(problem, clarabel_solver.solve(problem))
    np.testing.assert_allclose(exact.x, [0.25, 0.75], rtol=0, atol=1e-12)


def test_a_wrong_guess_of_what_binds_does_no_harm():
    problem = stated("max_sharpe")
    rough = clarabel_solver.solve(problem)
    wrong = replace(rough, dual=np.roll(rough.dual, 3))
    assert polished(problem, wrong) is wrong
