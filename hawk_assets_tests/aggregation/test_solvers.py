"""Which backend solves, and what is reported when it is not the one in the settings."""

import subprocess
import sys
from pathlib import Path

import mosek
import numpy as np
import pytest

from hawk_assets.aggregation import clarabel_solver
from hawk_assets.aggregation.mosek_session import MosekSession
from hawk_assets.aggregation.solvers import Solver, SolverSettings
from hawk_assets.core.errors import SettingsError, SolverError
from hawk_assets_tests.aggregation.conic_programs import CONIC_PROGRAMS
from hawk_assets_tests.aggregation.servers import (
    LICENCE,
    closed_port,
    refusing_optserver,
    silent_server,
)

PROBLEM, OTHER = CONIC_PROGRAMS["max_sharpe-10-0"], CONIC_PROGRAMS["min_variance-10-0"]
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


def test_no_solver_is_imported_before_the_first_program() -> None:
    code = (
        "import sys\n"
        "from hawk_assets.aggregation import solvers\n"
        "solvers.Solver(solvers.SolverSettings())\n"
        "print({'mosek', 'clarabel', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_clarabel_never_requests_a_licence() -> None:
    with silent_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(LICENCE, f"{server.port}@127.0.0.1")
        solver = Solver(SolverSettings("clarabel", f"{server.port}@127.0.0.1"))
        assert_clarabels(solver)
        assert server.received == []
    assert solver.mosek_failures == []


def test_without_a_licence_clarabel_replaces_mosek_and_records_why_once() -> None:
    solver = Solver(SolverSettings())
    assert_clarabels(solver)
    assert solver(OTHER).solver == "clarabel"
    (why,) = solver.mosek_failures
    assert why.startswith("MOSEK cannot be used: err_missing_license_file (1008): ")
    assert why.endswith("(licence: none, MOSEKLM_LICENSE_FILE is not set)")


def test_a_corrupted_licence_file_is_recorded(corrupted: str) -> None:
    solver = Solver(SolverSettings(licence=corrupted))
    assert_clarabels(solver)
    (why,) = solver.mosek_failures
    assert why.startswith("MOSEK cannot be used: err_flexlm (1014): ")
    assert why.endswith(f"(licence: {corrupted})")


def test_mosek_without_a_licence_is_an_error_that_names_the_settings() -> None:
    with pytest.raises(SolverError) as caught:
        Solver(SolverSettings("mosek"))(PROBLEM)
    said = str(caught.value)
    for part in ("HAWK_SOLVER=mosek", LICENCE, "HAWK_OPTSERVER", "(1008)", "mosek/mosek.lic"):
        assert part in said


def test_mosek_with_a_corrupted_licence_is_an_error_that_names_the_file(corrupted: str) -> None:
    with pytest.raises(SolverError, match=rf"HAWK_SOLVER=mosek.*\(1014\).*licence: {corrupted}"):
        Solver(SolverSettings("mosek", corrupted))(PROBLEM)


def test_an_optserver_is_called_before_clarabel_replaces_it() -> None:
    with refusing_optserver() as server:
        address = f"http://127.0.0.1:{server.port}"
        solver = Solver(SolverSettings(server=address))
        assert_clarabels(solver)
        assert len(server.received) == 1
    (why,) = solver.mosek_failures
    assert "err_server_status (8002)" in why
    assert f"HAWK_OPTSERVER={address}" in why


def test_mosek_with_an_unreachable_optserver_is_an_error_that_names_it() -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(SolverError, match=rf"\(8004\).*HAWK_OPTSERVER={address}: is it running"):
        Solver(SolverSettings("mosek", server=address))(PROBLEM)


def test_a_lost_token_fails_one_solve_and_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The licence exists when the process starts and is gone for these solves."""
    monkeypatch.setattr(MosekSession, "_open", lambda self: setattr(self, "_env", mosek.Env()))
    solver = Solver(SolverSettings(licence="27000@tokens"))
    assert_clarabels(solver)
    assert "err_missing_license_file (1008)" in solver.mosek_failures[0]
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
def test_an_invalid_address_of_an_optserver_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=rf"HAWK_OPTSERVER='{address}'.*http://host:30080"):
        SolverSettings(server=address)


def test_an_address_of_an_optserver_is_accepted() -> None:
    address = "http://solver.internal:30080"
    assert address in SolverSettings(server=address).mosek_access
