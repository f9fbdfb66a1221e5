"""Access to MOSEK: through a licence of this process, or through a server that has one.

A token server that accepts a connection and never answers blocks MOSEK's library for 20 s per call;
such an OptServer blocks it forever. Neither call can be interrupted. So each call runs in its own
thread, with a timeout.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from textwrap import shorten
from threading import Thread
from typing import Any, TypeVar

from hawk_assets.core.errors import SolverError

CONNECT_TIMEOUT = 5.0
"""Seconds to find a licence or to reach a server."""
SOLVE_TIMEOUT = 60.0
"""Seconds for one optimisation."""
_T = TypeVar("_T")


class MosekSession:
    """MOSEK in this process.

    The first use checks the licence out. It stays checked out until the process ends, so later
    solves do not request it again. A refusal is remembered too.

    :param server: ``http://host:port`` of an OptServer; None: a licence of this process
    """

    def __init__(self, server: str | None = None) -> None:
        self._server = server
        self._env: Any = None
        self._refusal: str | None = None

    def run(self, work: Callable[[Any], _T]) -> _T:
        """Call ``work`` with a new ``mosek.Task``.

        :raises SolverError: MOSEK cannot be used; the message is MOSEK's own code and text
        """
        if self._refusal is None:
            self._refusal = ""
            try:
                self._wait(self._open, CONNECT_TIMEOUT)
            except SolverError as error:
                self._refusal = str(error)
        if self._refusal:
            raise SolverError(self._refusal)
        return self._wait(lambda: self._with_task(work), SOLVE_TIMEOUT)

    def _open(self) -> None:
        import mosek

        if self._server:
            self._with_task(lambda task: task.optimize())
            return
        self._env = mosek.Env()
        try:
            for feature in (mosek.feature.pts, mosek.feature.pton):
                self._env.checkoutlicense(feature)
        except mosek.Error:
            # This error has only a code; the error of an optimisation also says where MOSEK looked.
            self._with_task(lambda task: task.optimize())
            raise

    def _with_task(self, work: Callable[[Any], _T]) -> _T:
        import mosek

        with self._env.Task() if self._env else mosek.Task() as task:
            if self._server:
                task.putoptserverhost(self._server)
            return work(task)

    def _wait(self, call: Callable[[], _T], seconds: float) -> _T:
        import mosek

        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        # Not an executor: at exit the process would wait for its threads.
        Thread(target=run, name="mosek", daemon=True).start()
        try:
            return future.result(seconds)
        except TimeoutError:
            self._refusal = f"no answer within {seconds:g} s"
            raise SolverError(self._refusal) from None
        except mosek.Error as error:
            raise SolverError(describe_error(error)) from None


@cache
def get_session(server: str | None = None) -> MosekSession:
    """The session of this process."""
    return MosekSession(server)


def describe_error(error: Any) -> str:
    """The name and number of a MOSEK error, and its description, in one line.

    :param error: a ``mosek.Error``
    """
    import mosek

    code = mosek.rescode(error.errno)
    text = error.msg or mosek.Env.getcodedesc(code)[1]
    # A server may refuse with a whole HTML page.
    text = shorten(text, 200, placeholder=" ...").rstrip(".")
    return f"{str(code).removeprefix('rescode.')} ({int(code)}): {text}"
