from dataclasses import replace

import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.conic import ConicProgram
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.kkt import kkt_residual
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.polish import polish
from hawk_assets_tests.aggregation.samples import build_problem, returns


def refine(program, solution):
    return polish(program, solution, kkt_residual(program, solution))


QUADRATIC = [name for name in PROGRAMS if name != "min_cvar"]


def build_program(objective, n=20, seed=0, **limits):
    held = np.random.default_rng(seed).dirichlet(np.ones(n))
    problem = build_problem(
        estimate(returns(504, n, seed)), max(0.2, held.max()), held=held, **limits
    )
    return PROGRAMS[objective](problem)


@pytest.mark.parametrize("objective", QUADRATIC)
@pytest.mark.parametrize("seed", range(3))
def test_a_polished_solution_meets_every_condition_to_the_last_digits(objective, seed):
    program = build_program(objective, seed=seed)
    rough = clarabel_solver.solve(program)
    exact = refine(program, rough)
    assert kkt_residual(program, exact) < 1e-12 < kkt_residual(program, rough)
    np.testing.assert_allclose(exact.x, rough.x, atol=1e-4 * np.abs(rough.x).max())
    assert exact.objective == pytest.approx(
        exact.x @ program.P @ exact.x / 2 + program.q @ exact.x, rel=1e-12
    )
    assert (exact.status, exact.solver) == ("Solved", "clarabel")


def test_a_rougher_solution_leads_to_the_same_point():
    """The last digits of the solver do not reach the weights."""
    program = build_program("max_sharpe_net")
    rough = clarabel_solver.solve(program)
    noise = np.random.default_rng(1).normal(0.0, 1e-7, len(rough.x))
    exact = refine(program, rough)
    other = refine(program, replace(rough, x=rough.x + noise))
    np.testing.assert_allclose(other.x, exact.x, rtol=0, atol=1e-11 * np.abs(exact.x).max())


def test_dependent_rows_are_handled():
    program = ConicProgram(
        name="twice",
        P=np.eye(2),
        q=np.zeros(2),
        A=np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 0.0], [1.0, 0.0]]),
        b=np.array([1.0, 2.0, 0.25, 0.25]),
        cones=(("zero", 2), ("nonnegative", 2)),
        variables=(("x", range(2)),),
        rows=(("line", range(2)), ("limit", range(2))),
    )
    exact = refine(program, clarabel_solver.solve(program))
    np.testing.assert_allclose(exact.x, [0.25, 0.75], rtol=0, atol=1e-12)


def test_a_wrong_guess_of_the_binding_rows_leaves_the_solution_as_it_is():
    program = build_program("max_sharpe")
    rough = clarabel_solver.solve(program)
    wrong = replace(rough, dual=np.roll(rough.dual, 3))
    assert refine(program, wrong) is wrong
