"""The MOSEK backend as far as it runs without a licence: everything but MOSEK's own solve.

A Task is read back into a program with MOSEK's getters only. Clarabel's solution is given to
MOSEK's library, which computes its own primal and dual objectives and violations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import mosek
import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver, mosek_solver
from hawk_assets.aggregation.conic import ConicProgram, Solution, list_names
from hawk_assets.aggregation.kkt import kkt_residual
from hawk_assets.aggregation.mosek_session import get_session
from hawk_assets.core.errors import SolverError
from hawk_assets.core.types import Array
from hawk_assets_tests.aggregation.conic_programs import CONIC_PROGRAMS, LIMITED_PROGRAMS, MIXED

INTERIOR = mosek.soltype.itr
ALL_PROGRAMS = CONIC_PROGRAMS | LIMITED_PROGRAMS
each_program = pytest.mark.parametrize("program", ALL_PROGRAMS.values(), ids=list(ALL_PROGRAMS))


@contextmanager
def built(program: ConicProgram) -> Iterator[Any]:
    with mosek.Task() as task:
        mosek_solver.build_task(program, task)
        yield task


@contextmanager
def reread(task: Any, file: Path) -> Iterator[Any]:
    task.writedata(str(file))
    with mosek.Task() as other:
        other.readdata(str(file))
        yield other


def read_program(task: Any) -> ConicProgram:
    """The program of a Task, read with MOSEK's getters.

    :raises ValueError: the Task holds anything that is not such a program
    """
    n, m = task.getnumvar(), task.getnumcon()
    cost, rows = np.array(task.getc()), np.zeros((m, n))
    row, column, value = task.getatrip()
    rows[row, column] = value
    if set(task.getvarboundslice(0, n)[0]) != {mosek.boundkey.fr} or task.getcfix() != 0:
        raise ValueError("a variable is bounded, or the objective shifted")
    if task.getobjsense() != mosek.objsense.minimize or task.getnumqobjnz():
        raise ValueError("another kind of objective")
    keys, _, upper = task.getconboundslice(0, m)
    kinds = {mosek.boundkey.fx: "zero", mosek.boundkey.up: "nonnegative"}
    if set(keys) - set(kinds):
        raise ValueError("a row of another kind")
    cones = tuple((kinds[key], len(list(group))) for key, group in groupby(keys))
    variables = [task.getvarname(j) for j in range(n)]
    curvature = np.zeros((n, n))
    if task.getnumacc():
        curvature = _curvature(task)
        if [variables.pop(), task.getaccname(0)] != ["quadratic_term"] * 2:
            raise ValueError("another name of the bound or the cone")
        if cost[-1] <= 0 or rows[:, -1].any() or curvature[-1].any():
            raise ValueError("the last variable is not the bound of the quadratic term")
        curvature, cost, rows = cost[-1] * curvature[:-1, :-1], cost[:-1], rows[:, :-1]
    return ConicProgram(
        task.gettaskname(),
        curvature,
        cost,
        rows,
        np.array(upper),
        cones,
        tuple((name, None) for name in variables),
        tuple((task.getconname(i), None) for i in range(m)),
    )


def _curvature(task: Any) -> Array:
    """H of the only cone, ``t >= 1/2 x'Hx`` for the last variable t."""
    if task.getnumacc() != 1:
        raise ValueError("more than one cone")
    if task.getdomaintype(task.getaccdomain(0)) != mosek.domaintype.rquadratic_cone:
        raise ValueError("another kind of cone")
    if not np.array_equal(task.getaccafeidxlist(0), np.arange(task.getnumafe())):
        raise ValueError("another order in the cone")
    if np.any(task.getaccb(0)):
        raise ValueError("a shifted cone")
    factors, constants = _cone(task)
    if factors[0, :-1].any() or factors[1].any() or constants[0] or constants[2:].any():
        raise ValueError("other members of the cone than t, a constant and the root")
    # 2 (f t) g >= |Gx|^2 of the rotated cone.
    width = factors[0, -1] * constants[1]
    if width <= 0:
        raise ValueError("t or the constant is missing")
    return np.asarray(factors[2:].T @ factors[2:] / width)


def _cone(task: Any) -> tuple[Array, Array]:
    """F and g of the affine expressions."""
    factors = np.zeros((task.getnumafe(), task.getnumvar()))
    row, column, value = task.getafeftrip()
    factors[row, column] = value
    return factors, np.array(task.getafegslice(0, task.getnumafe()))


def equal(found: ConicProgram, expected: ConicProgram, tolerance: float) -> bool:
    """Equal in every number and name; P within a tolerance, because the Task holds its root."""
    return (
        (found.name, found.cones) == (expected.name, expected.cones)
        and list_names(found.variables) == list_names(expected.variables)
        and list_names(found.rows) == list_names(expected.rows)
        and all(np.array_equal(getattr(found, part), getattr(expected, part)) for part in "qAb")
        and found.P.shape == expected.P.shape
        and np.allclose(found.P, expected.P, rtol=0, atol=tolerance * np.abs(expected.P).max())
    )


def load(task: Any, solution: Solution) -> None:
    """Give a solution of the program, primal and dual, to a Task."""
    n, m, y = task.getnumvar(), task.getnumcon(), -solution.dual
    x, cone = solution.x, np.zeros(0)
    if task.getnumacc():
        factors, constants = _cone(task)
        root = factors[2:, :-1] @ x + constants[2:]
        half = root @ root / 2
        x, cone = np.append(x, half), np.concatenate([[1.0, half], -root])
    unknown, free = mosek.stakey.unk, np.zeros(n)
    task.putsolutionnew(
        INTERIOR,
        [unknown] * m,
        [unknown] * n,
        [],
        np.zeros(m),
        x,
        y,
        np.maximum(y, 0.0),
        np.maximum(-y, 0.0),
        free,
        free,
        free,
        cone,
    )
    row, column, value = task.getatrip()
    activity = np.zeros(m)
    np.add.at(activity, row, np.array(value) * x[column])
    task.putxc(INTERIOR, activity)


def certificate(task: Any, solution: Solution) -> float:
    """The largest relative error that MOSEK's library finds in a solution.

    The errors are the primal and dual violations, the gap between the two objectives, and the
    difference to the objective of the solution.
    """
    load(task, solution)
    primal, *violations, dual, a, b, c, d, e = task.getsolutioninfonew(INTERIOR)
    size = 1.0 + abs(solution.objective)
    faults = [*violations, a, b, c, d, e, primal - dual, primal - solution.objective]
    return float(np.max(np.abs(faults))) / size


@each_program
@pytest.mark.parametrize("format", ["jtask", "ptf"])
def test_a_task_written_and_read_holds_the_program(
    program: ConicProgram, format: str, tmp_path: Path
) -> None:
    with built(program) as task, reread(task, tmp_path / f"task.{format}") as other:
        assert equal(read_program(task), program, 1e-14)
        assert equal(read_program(other), read_program(task), 0.0)


@each_program
def test_mosek_finds_clarabels_solution_optimal(program: ConicProgram) -> None:
    solution = clarabel_solver.solve(program)
    assert solution.status == "Solved"
    with built(program) as task:
        assert certificate(task, solution) < 1e-7


@each_program
def test_a_solution_is_read_in_the_terms_of_the_program(program: ConicProgram) -> None:
    given = clarabel_solver.solve(program)
    with built(program) as task:
        load(task, given)
        found = mosek_solver.read_solution(program, task)
    np.testing.assert_array_equal(found.x, given.x)
    np.testing.assert_array_equal(found.dual, given.dual)
    assert found.objective == pytest.approx(given.objective, rel=1e-9, abs=1e-12)
    assert kkt_residual(program, found) < 1e-6
    assert (found.solver, found.status) == ("mosek", "solsta.unknown, prosta.unknown")


@each_program
def test_a_task_read_from_a_file_has_the_solution_of_the_program(
    program: ConicProgram, tmp_path: Path
) -> None:
    with built(program) as task, reread(task, tmp_path / "task.ptf") as other:
        found = clarabel_solver.solve(read_program(other))
    expected = clarabel_solver.solve(program)
    np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=1e-6)
    assert found.objective == pytest.approx(expected.objective, rel=1e-9, abs=1e-12)


M, N = MIXED.A.shape


def swapped(values: Array) -> Array:
    return values[[1, 0, *range(2, len(values))]]


def transposed(matrix: Array) -> Array:
    root = np.linalg.cholesky(matrix)
    return np.asarray(root.T @ root)


WRONG_PROGRAMS = {
    "P halved": replace(MIXED, P=MIXED.P / 2),
    "P without what is beside the diagonal": replace(MIXED, P=np.diag(np.diag(MIXED.P))),
    "root transposed": replace(MIXED, P=transposed(MIXED.P)),
    "order of P reversed": replace(MIXED, P=MIXED.P[::-1, ::-1]),
    "q negated": replace(MIXED, q=-MIXED.q),
    "q missing": replace(MIXED, q=0 * MIXED.q),
    "order of q reversed": replace(MIXED, q=MIXED.q[::-1].copy()),
    "A negated": replace(MIXED, A=-MIXED.A),
    "columns of A reversed": replace(MIXED, A=MIXED.A[:, ::-1]),
    "rows of A swapped": replace(MIXED, A=swapped(MIXED.A)),
    "b negated": replace(MIXED, b=-MIXED.b),
    "entries of b swapped": replace(MIXED, b=swapped(MIXED.b)),
    "cones swapped": replace(MIXED, cones=MIXED.cones[::-1]),
    "equality as a limit": replace(MIXED, cones=(("nonnegative", M),)),
    "limits as equalities": replace(MIXED, cones=(("zero", M),)),
}
WRONG_TASKS: dict[str, Callable[[Any], None]] = {
    "half missing": lambda task: task.putcj(N, 2.0),
    "t not minimised": lambda task: task.putcj(N, 0.0),
    "maximised": lambda task: task.putobjsense(mosek.objsense.maximize),
    "t missing in the cone": lambda task: task.putafefentry(0, N, 0.0),
    "constant missing in the cone": lambda task: task.putafeg(1, 0.0),
    "constant in the place of t": lambda task: task.putafeg(0, 1.0),
    "a row of the root missing": lambda task: task.emptyafefrow(2),
    "cone not rotated": lambda task: task.putacc(
        0, task.appendquadraticconedomain(N + 2), np.arange(N + 2), None
    ),
    "equality missing": lambda task: task.putconbound(0, mosek.boundkey.fr, 0.0, 0.0),
    "limits turned round": lambda task: task.putconboundslice(
        1, M, [mosek.boundkey.lo] * (M - 1), MIXED.b[1:], MIXED.b[1:]
    ),
    "limits missing": lambda task: task.putconboundsliceconst(1, M, mosek.boundkey.fr, 0.0, 0.0),
    "variables left at zero": lambda task: task.putvarboundsliceconst(
        0, N, mosek.boundkey.fx, 0.0, 0.0
    ),
}


def holds(task: Any, program: ConicProgram) -> bool:
    try:
        return equal(read_program(task), program, 1e-14)
    except ValueError:
        return False


def assert_detected(task: Any) -> None:
    assert not holds(task, MIXED)
    assert certificate(task, clarabel_solver.solve(MIXED)) > 1e-4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda task: (task.putvarname(0, "weight[1]"), task.putvarname(1, "weight[0]")),
        lambda task: (task.putconname(1, "floor[1]"), task.putconname(2, "floor[0]")),
        lambda task: task.putvarname(3, ""),
        lambda task: task.putconname(M - 1, ""),
        lambda task: task.putvarname(N, "t"),
        lambda task: task.putaccname(0, ""),
    ],
    ids=["variables swapped", "rows swapped", "variable", "row", "bound", "cone"],
)
def test_a_wrong_name_is_detected(spoil: Callable[[Any], object]) -> None:
    with built(MIXED) as task:
        assert holds(task, MIXED)
        spoil(task)
        assert not holds(task, MIXED)


def test_a_readable_file_contains_the_names(tmp_path: Path) -> None:
    with built(LIMITED_PROGRAMS["limited-max_sharpe_net"]) as task:
        task.writedata(str(tmp_path / "task.ptf"))
    text = " ".join((tmp_path / "task.ptf").read_text().replace("'", "").split())
    assert "cap[m03] [-inf;0] + weight[m03] - 0.25 scale" in text
    assert "family[ema] [-inf;0] + weight[m00] + weight[m01] + weight[m02]" in text


@pytest.mark.parametrize("wrong", WRONG_PROGRAMS.values(), ids=list(WRONG_PROGRAMS))
def test_a_wrong_program_is_detected_twice(wrong: ConicProgram) -> None:
    with built(wrong) as task:
        assert_detected(task)


@pytest.mark.parametrize("spoil", WRONG_TASKS.values(), ids=list(WRONG_TASKS))
def test_a_wrong_cone_or_bound_is_detected_twice(
    spoil: Callable[[Any], None],
) -> None:
    with built(MIXED) as task:
        spoil(task)
        assert_detected(task)


def test_multipliers_of_the_wrong_sign_are_detected() -> None:
    solution = clarabel_solver.solve(MIXED)
    with built(MIXED) as task:
        assert certificate(task, replace(solution, dual=-solution.dual)) > 1e-2


def test_a_point_that_is_not_optimal_is_detected() -> None:
    solution = clarabel_solver.solve(MIXED)
    with built(MIXED) as task:
        assert certificate(task, replace(solution, x=solution.x * (1 + 1e-4))) > 1e-5


def test_the_task_has_the_tolerance_and_the_threads_of_clarabel() -> None:
    with built(MIXED) as task:
        assert task.getintparam(mosek.iparam.num_threads) == 1
        for gap in (mosek.dparam.intpnt_co_tol_rel_gap, mosek.dparam.intpnt_tol_rel_gap):
            assert task.getdouparam(gap) == clarabel_solver.GAP_TOLERANCE


@pytest.mark.filterwarnings("error")
def test_mosek_takes_the_arrays_without_a_copy() -> None:
    for program in ALL_PROGRAMS.values():
        with built(program):
            pass


@pytest.mark.parametrize("solution", mosek.solsta.values, ids=str)
@pytest.mark.parametrize("problem", mosek.prosta.values, ids=str)
def test_only_an_optimum_of_a_feasible_problem_is_solved(solution: Any, problem: Any) -> None:
    best = solution == mosek.solsta.optimal and problem == mosek.prosta.prim_and_dual_feas
    assert (mosek_solver.translate_status(solution, problem) == "Solved") == best


@pytest.mark.parametrize(
    ("solution", "problem", "word"),
    [
        ("prim_infeas_cer", "prim_infeas", "PrimalInfeasible"),
        ("dual_infeas_cer", "dual_infeas", "DualInfeasible"),
        ("unknown", "prim_and_dual_feas", "solsta.unknown, prosta.prim_and_dual_feas"),
        ("prim_illposed_cer", "ill_posed", "solsta.prim_illposed_cer, prosta.ill_posed"),
        ("optimal", "unknown", "solsta.optimal, prosta.unknown"),
    ],
)
def test_certificates_have_clarabels_words_and_other_statuses_moseks(
    solution: str, problem: str, word: str
) -> None:
    found = mosek_solver.translate_status(
        getattr(mosek.solsta, solution), getattr(mosek.prosta, problem)
    )
    assert found == word


@pytest.mark.parametrize("part", ["P", "q", "A", "b"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_is_not_finite_is_a_status(part: str, value: float) -> None:
    spoilt = getattr(MIXED, part).copy()
    spoilt.flat[0] = value
    with mosek.Task() as task:
        found = mosek_solver.optimise_task(replace(MIXED, **{part: spoilt}), task)
    assert found.status
    assert found.status != "Solved"
    assert found.solver == "mosek"
    assert np.isnan(found.x).all()


@pytest.fixture
def licensed() -> None:
    try:
        get_session().run(lambda task: None)
    except SolverError as error:
        pytest.skip(f"MOSEK cannot be used here: {error}")


@pytest.mark.parametrize("name", CONIC_PROGRAMS)
def test_with_a_licence_mosek_and_clarabel_agree(name: str, licensed: None) -> None:
    program = CONIC_PROGRAMS[name]
    found, expected = mosek_solver.solve(program), clarabel_solver.solve(program)
    assert (found.status, found.solver) == ("Solved", "mosek")
    assert kkt_residual(program, found) < 1e-6
    assert found.objective == pytest.approx(expected.objective, rel=1e-6, abs=1e-9)
    if "singular" not in name:
        np.testing.assert_allclose(found.x, expected.x, rtol=1e-4, atol=1e-4)


def test_with_a_licence_mosek_and_clarabel_agree_on_infeasibility(licensed: None) -> None:
    program = replace(MIXED, b=np.where(np.arange(M) > N, 0.05, MIXED.b))
    for solve in (mosek_solver.solve, clarabel_solver.solve):
        assert solve(program).status == "PrimalInfeasible"
