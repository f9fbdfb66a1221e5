"""Runs as processes of a code server, watched: a run whose process is gone is no run in progress.

Dagster's launcher leaves that to the code server. When that dies as well, the run stays "started"
for ever, and what it was to make is waited for.
"""

import socket

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, RunLauncher, WorkerStatus

from hawk_assets.orchestration.instance.dagster_home import HOST, PROCESS, is_alive


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """For code servers on the machine of the daemon; elsewhere a container per run is watched.

    A run is not given up before its code server is there again: Dagster retries a failed run at
    once, with the help of that server, or never.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if PROCESS in run.tags:
            return health_of_command(run)
        process = self._process(run)
        return _health(None if process and not self._can_be_retried(run) else process)

    def _process(self, run: dg.DagsterRun) -> int | None:
        """The process of a run; None where it has not said."""
        for log in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            metadata = log.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata:
                return int(str(metadata["pid"].value))
        return None

    def _can_be_retried(self, run: dg.DagsterRun) -> bool:
        server = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        try:
            if server:
                server.ping("")
        except DagsterUserCodeUnreachableError:
            return False
        return True


class CommandApart(RunLauncher):
    """For a launcher of containers, to stand before it: a run of the ``hawk`` command has none.

    Dagster's launchers take a run without a container for dead. They would fail a ``hawk backfill``
    on the same instance with the next look at it, under way.
    """

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if PROCESS in run.tags:
            return health_of_command(run)
        return super().check_run_worker_health(run)


def health_of_command(run: dg.DagsterRun) -> CheckRunHealthResult:
    """Of a run of the ``hawk`` command, which no launcher has launched.

    Elsewhere, in another pod say, nobody here can tell: it counts as running.
    """
    here = run.tags[HOST] == socket.gethostname()
    return _health(int(run.tags[PROCESS]) if here else None)


def _health(process: int | None) -> CheckRunHealthResult:
    """:param process: None where it is not known, or not on this machine"""
    if process is None or is_alive(process):
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    return CheckRunHealthResult(WorkerStatus.FAILED, f"its process, {process}, is gone")
