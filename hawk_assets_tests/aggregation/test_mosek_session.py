"""MOSEK's message for each state of a licence or a server, and the timeouts."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mosek
import pytest

from hawk_assets.aggregation import mosek_session
from hawk_assets.aggregation.mosek_session import MosekSession, get_session
from hawk_assets.core.errors import SolverError
from hawk_assets_tests.aggregation.servers import (
    LICENCE,
    closed_port,
    refusing_optserver,
    silent_server,
)

pytestmark = pytest.mark.usefixtures("unlicensed")


def optimise(task: Any) -> Any:
    return task.optimize()


def refusal(session: MosekSession, work: Callable[[Any], Any] = optimise) -> str:
    with pytest.raises(SolverError) as caught:
        session.run(work)
    return str(caught.value)


def unset(folder: Path) -> None:
    return None


def missing(folder: Path) -> str:
    return str(folder / "missing.lic")


def garbage(folder: Path) -> str:
    (folder / "garbage.lic").write_text("this is no licence\n")
    return str(folder / "garbage.lic")


def binary(folder: Path) -> str:
    (folder / "binary.lic").write_bytes(bytes(range(256)) * 8)
    return str(folder / "binary.lic")


def empty(folder: Path) -> str:
    (folder / "empty.lic").touch()
    return str(folder / "empty.lic")


def directory(folder: Path) -> str:
    garbage(folder)
    return str(folder)


def closed(folder: Path) -> str:
    return f"{closed_port()}@127.0.0.1"


STATES = {
    unset: ("err_missing_license_file (1008)", "mosek.lic"),
    missing: ("err_missing_license_file (1008)", "missing.lic"),
    garbage: ("err_flexlm (1014)", "garbage.lic"),
    binary: ("err_flexlm (1014)", "binary.lic"),
    empty: ("err_flexlm (1014)", "empty.lic"),
    directory: ("err_flexlm (1014)", "garbage.lic"),
    closed: ("err_license_cannot_connect (1021)", "license server"),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_an_invalid_licence_is_refused_with_moseks_code_and_the_path(
    state: Callable[[Path], str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value := state(tmp_path):
        monkeypatch.setenv(LICENCE, value)
    code, path = STATES[state]
    message = refusal(MosekSession())
    assert message.startswith(f"{code}: ")
    assert path in message
    assert "\n" not in message


def test_a_refusal_is_remembered_by_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = refusal(get_session())
    monkeypatch.setenv(LICENCE, garbage(tmp_path))
    assert refusal(get_session()) == first
    assert "garbage" in refusal(MosekSession())


def test_no_licence_is_requested_before_the_first_optimisation() -> None:
    with silent_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(LICENCE, f"{server.port}@127.0.0.1")
        MosekSession()
        assert server.received == []


def test_a_token_server_that_never_answers_costs_one_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mosek_session, "CONNECT_TIMEOUT", 0.5)
    with silent_server() as server:
        monkeypatch.setenv(LICENCE, f"{server.port}@127.0.0.1")
        session = MosekSession()
        assert refusal(session) == "no answer within 0.5 s"
        assert len(server.received) == 1
        assert refusal(session) == "no answer within 0.5 s"
        assert len(server.received) == 1


def test_a_token_server_that_never_answers_does_not_block_the_exit_of_the_process() -> None:
    """Without the timeout MOSEK's library waits 20 s, three times."""
    code = (
        "from hawk_assets.aggregation import mosek_session as m\n"
        "m.CONNECT_TIMEOUT = 0.5\n"
        "try: m.get_session().run(lambda task: None)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    with silent_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(LICENCE, f"{server.port}@127.0.0.1")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=40
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "SolverError no answer within 0.5 s\n"


def test_a_licence_lost_later_is_requested_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It exists when the process starts and is gone for a later solve."""
    monkeypatch.setattr(MosekSession, "_open", lambda self: setattr(self, "_env", mosek.Env()))
    lost = MosekSession()
    for _ in range(2):
        assert refusal(lost).startswith("err_missing_license_file (1008): ")
    assert lost.run(lambda task: task.getnumvar()) == 0


def test_an_optimisation_that_never_ends_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MosekSession, "_open", lambda self: None)
    monkeypatch.setattr(mosek_session, "SOLVE_TIMEOUT", 0.5)
    with silent_server() as server:
        remote = MosekSession(f"http://127.0.0.1:{server.port}")
        for _ in range(2):
            assert refusal(remote) == "no answer within 0.5 s"
        assert len(server.received) == 1


def test_an_optserver_is_called_without_a_licence() -> None:
    with refusing_optserver() as server:
        message = refusal(MosekSession(f"http://127.0.0.1:{server.port}"))
    assert message.startswith("err_server_status (8002): ")
    assert "503" in message
    assert len(message) < 250
    assert len(server.received) == 1


def test_an_optserver_receives_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MosekSession, "_open", lambda self: None)

    def named(task: Any) -> None:
        task.puttaskname("min_variance")
        task.appendvars(3)
        task.optimize()

    with refusing_optserver() as server:
        refusal(MosekSession(f"http://127.0.0.1:{server.port}"), named)
    file = tmp_path / "sent.task.zst"
    file.write_bytes(server.received[0])
    with mosek.Task() as task:
        task.readdata(str(file))
        assert (task.gettaskname(), task.getnumvar()) == ("min_variance", 3)


def test_an_unreachable_optserver_is_refused() -> None:
    message = refusal(MosekSession(f"http://127.0.0.1:{closed_port()}"))
    assert message.startswith("err_server_address (8004): ")


def test_an_optserver_that_never_answers_costs_one_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mosek_session, "CONNECT_TIMEOUT", 0.5)
    with silent_server() as server:
        remote = MosekSession(f"http://127.0.0.1:{server.port}")
        for _ in range(2):
            assert refusal(remote) == "no answer within 0.5 s"
        assert len(server.received) == 1


def test_an_error_of_another_kind_is_raised_as_it_is() -> None:
    opened = MosekSession()
    opened._refusal = ""
    with pytest.raises(ZeroDivisionError):
        opened.run(lambda task: 1 / 0)
