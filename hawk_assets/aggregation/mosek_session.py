"""The right to have MOSEK optimise: a licence of this process, or a server that has one.

A token server that accepts and never answers holds MOSEK's library for 20 s a call, an OptServer
that does so for ever, and neither call can be interrupted. So every call is made in a thread of
its own and waited for only so long.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from textwrap import shorten
from threading import Thread
from typing import Any, TypeVar

from hawk_assets.core.errors import SolverError

ANSWER = 5.0
"""Seconds that a licence or a server has to say that it is there."""
RESULT = 60.0
"""Seconds that an optimisation may take."""
_T = TypeVar("_T")


class Session:
    """MOSEK in this process.

    The licence is looked for at the first use. It stays checked out as long as the process runs, so
    that later solves do not ask for it again; a refusal is remembered as well.

    :param server: ``http://host:port`` of an OptServer; None: a licence of our own
    """

    def __init__(self, server: str | None = None) -> None:
        self._server = server
        self._env: Any = None
        self._refusal: str | None = None

    def run(self, work: Callable[[Any], _T]) -> _T:
        """Do something with a new Task.

        :param work: takes the Task
        :raises SolverError: why MOSEK does not optimise, in its own code and words
        """
        if self._refusal is None:
            self._refusal = ""
            try:
                self._wait(self._open, ANSWER)
            except SolverError as error:
                self._refusal = str(error)
        if self._refusal:
            raise SolverError(self._refusal)
        return self._wait(lambda: self._with_task(work), RESULT)

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
            # This error has a code only; that of an optimisation also says where MOSEK has looked.
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

        # Not an executor: the end of the process would wait for its threads.
        Thread(target=run, name="mosek", daemon=True).start()
        try:
            return future.result(seconds)
        except TimeoutError:
            self._refusal = f"no answer within {seconds:g} s"
            raise SolverError(self._refusal) from None
        except mosek.Error as error:
            raise SolverError(describe(error)) from None


@cache
def session(server: str | None = None) -> Session:
    """The one of this process."""
    return Session(server)


def describe(error: Any) -> str:
    """MOSEK's name and number of an error, and its description in one line.

    :param error: a ``mosek.Error``
    """
    import mosek

    code = mosek.rescode(error.errno)
    text = error.msg or mosek.Env.getcodedesc(code)[1]
    # A server that refuses may have sent a whole page.
    text = shorten(text, 200, placeholder=" ...").rstrip(".")
    return f"{str(code).removeprefix('rescode.')} ({int(code)}): {text}"
