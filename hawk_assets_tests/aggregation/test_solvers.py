"""Which backend solves, and what is said when it is not the one that was asked for."""

import subprocess
import sys
from pathlib import Path

import mosek
import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.mosek_session import Session
from hawk_assets.aggregation.solvers import Solver, SolverSettings
from hawk_assets.core.errors import SettingsError, SolverError
from hawk_assets_tests.aggregation.problems import PROBLEMS
from hawk_assets_tests.aggregation.servers import (
    LICENCE,
    closed_port,
    refusing_optserver,
    silent_server,
)

PROBLEM, OTHER = PROBLEMS["max_sharpe-10-0"], PROBLEMS["min_variance-10-0"]
pytestmark = pytest.mark.usefixtures("unlicensed")


@pytest.fixture
def corrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "corrupted.lic"
    file.write_text("INCREMENT PTS MOSEKLM 11.0 permanent uncounted SIGN=nonsense\n")
    monkeypatch.setenv(LICENCE, str(file))
    return str(file)


def assert_clarabels(solver: Solver) -> None:
    found, expected = solver(PROBLEM), clarabel_solver.solve(PROBLEM)
    assert found.solver == "clarabel"
    np.testing.assert_array_equal(found.x, expected.x)


def test_no_solver_is_loaded_before_there_is_something_to_solve() -> None:
    code = (
        "import sys\n"
        "from hawk_assets.aggregation import solvers\n"
        "solvers.Solver(solvers.SolverSettings())\n"
        "print({'mosek', 'clarabel', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_clarabel_is_taken_without_asking_for_a_licence() -> None:
    with silent_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(LICENCE, f"{server.port}@127.0.0.1")
        solver = Solver(SolverSettings("clarabel", f"{server.port}@127.0.0.1"))
        assert_clarabels(solver)
        assert server.heard == []
    assert solver.fallbacks == []


def test_without_a_licence_clarabel_stands_in_and_says_why_once() -> None:
    solver = Solver(SolverSettings())
    assert_clarabels(solver)
    assert solver(OTHER).solver == "clarabel"
    (why,) = solver.fallbacks
    assert why.startswith("MOSEK cannot be used: err_missing_license_file (1008): ")
    assert why.endswith("(licence: none, MOSEKLM_LICENSE_FILE is not set)")


def test_a_corrupted_licence_file_is_recorded(corrupted: str) -> None:
    solver = Solver(SolverSettings(licence=corrupted))
    assert_clarabels(solver)
    (why,) = solver.fallbacks
    assert why.startswith("MOSEK cannot be used: err_flexlm (1014): ")
    assert why.endswith(f"(licence: {corrupted})")


def test_mosek_without_a_licence_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(SolverError) as caught:
        Solver(SolverSettings("mosek"))(PROBLEM)
    said = str(caught.value)
    for part in ("HAWK_SOLVER=mosek", LICENCE, "HAWK_OPTSERVER", "(1008)", "mosek/mosek.lic"):
        assert part in said


def test_mosek_with_a_corrupted_licence_is_an_error_that_names_the_file(corrupted: str) -> None:
    with pytest.raises(SolverError, match=rf"HAWK_SOLVER=mosek.*\(1014\).*licence: {corrupted}"):
        Solver(SolverSettings("mosek", corrupted))(PROBLEM)


def test_an_optserver_is_asked_before_clarabel_stands_in() -> None:
    with refusing_optserver() as server:
        address = f"http://127.0.0.1:{server.port}"
        solver = Solver(SolverSettings(server=address))
        assert_clarabels(solver)
        assert len(server.heard) == 1
    (why,) = solver.fallbacks
    assert "err_server_status (8002)" in why
    assert f"HAWK_OPTSERVER={address}" in why


def test_mosek_through_an_optserver_that_is_not_there_is_an_error_that_names_it() -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(SolverError, match=rf"\(8004\).*HAWK_OPTSERVER={address}: is it running"):
        Solver(SolverSettings("mosek", server=address))(PROBLEM)


def test_a_token_that_is_gone_costs_one_solve_and_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The licence was there when the process began; for these solves it is not."""
    monkeypatch.setattr(Session, "_open", lambda self: setattr(self, "_env", mosek.Env()))
    solver = Solver(SolverSettings(licence="27000@tokens"))
    assert_clarabels(solver)
    assert "err_missing_license_file (1008)" in solver.fallbacks[0]
    with pytest.raises(SolverError, match=r"HAWK_SOLVER=mosek.*\(1008\)"):
        Solver(SolverSettings("mosek", "27000@tokens"))(PROBLEM)


@pytest.mark.parametrize("name", ["MOSEK", "gurobi", " auto"])
def test_an_unknown_solver_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"HAWK_SOLVER='{name}'.*auto, mosek, clarabel"):
        SolverSettings(name)


@pytest.mark.parametrize(
    "address",
    ["host:30080", "http://host", "http://:30080", "https://host:30080", "http://host:x", "host"],
)
def test_what_is_no_address_of_an_optserver_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=rf"HAWK_OPTSERVER='{address}'.*http://host:30080"):
        SolverSettings(server=address)


def test_an_address_of_an_optserver_is_accepted() -> None:
    address = "http://solver.internal:30080"
    assert address in SolverSettings(server=address).access
