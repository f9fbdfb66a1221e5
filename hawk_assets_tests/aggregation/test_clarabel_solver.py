from dataclasses import replace

import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets_tests.aggregation.conic_programs import OPTIMUM, PROJECTION


def test_clarabel_finds_the_optimum_and_its_multipliers():
    found = clarabel_solver.solve(PROJECTION)
    assert found.status == "Solved"
    np.testing.assert_allclose(found.x, OPTIMUM.x, atol=1e-8)
    np.testing.assert_allclose(found.dual, OPTIMUM.dual, atol=1e-8)
    assert found.objective == pytest.approx(0.3125, abs=1e-8)


def test_clarabel_uses_the_whole_of_a_dense_matrix_and_the_linear_term():
    coupled = replace(PROJECTION, P=np.array([[2.0, 0.5], [0.5, 1.0]]), q=np.array([0.1, -0.3]))
    found = clarabel_solver.solve(replace(coupled, b=np.array([1.0, 9.0])))
    # By hand: minimise along (x, 1 - x): 2x - 0.35 = 0 after the terms are collected.
    np.testing.assert_allclose(found.x, [0.05, 0.95], atol=1e-8)


def test_clarabel_reports_that_a_program_has_no_solution():
    impossible = replace(
        PROJECTION,
        A=np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        b=np.array([1.0, 0.25, 0.25]),
        cones=(("zero", 1), ("nonnegative", 2)),
        rows=(("line", None), ("limit", ("x", "y"))),
    )
    assert clarabel_solver.solve(impossible).status == "PrimalInfeasible"


def test_clarabel_repeats_itself_bit_for_bit():
    first, second = clarabel_solver.solve(PROJECTION), clarabel_solver.solve(PROJECTION)
    assert first.x.tobytes() == second.x.tobytes()
