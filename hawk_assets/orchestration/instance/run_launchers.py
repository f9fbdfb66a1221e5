"""Run launchers that notice when the process of a run has died.

Dagster's default launcher leaves this to the code server. When the code server dies as well, the
run stays "started" for ever, and its months are never requested again.
"""

import socket

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, RunLauncher, WorkerStatus

from hawk_assets.orchestration.instance.dagster_home import HOST, PROCESS, is_alive


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Runs as processes of a code server on the daemon's machine, with a health check.

    A run is not failed before its code server is back: Dagster retries a failed run at once,
    through that server, or never.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if PROCESS in run.tags:
            return check_command_run(run)
        process = self._process(run)
        return _check_process(None if process and not self._can_be_retried(run) else process)

    def _process(self, run: dg.DagsterRun) -> int | None:
        """The process of a run; None where the run has not reported it."""
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


class IgnoresCommandRuns(RunLauncher):
    """A mixin for launchers that start a container per run: runs of ``hawk`` have no container.

    Dagster's launchers declare a run without a container dead. They would fail a ``hawk backfill``
    on the same instance at the next health check, while it runs.
    """

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if PROCESS in run.tags:
            return check_command_run(run)
        return super().check_run_worker_health(run)


def check_command_run(run: dg.DagsterRun) -> CheckRunHealthResult:
    """The health of a run of the ``hawk`` command, which no launcher has started.

    Its process may be on another machine, such as another pod: then it counts as running.
    """
    here = run.tags[HOST] == socket.gethostname()
    return _check_process(int(run.tags[PROCESS]) if here else None)


def _check_process(process: int | None) -> CheckRunHealthResult:
    """:param process: None where it is unknown, or on another machine"""
    if process is None or is_alive(process):
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    return CheckRunHealthResult(WorkerStatus.FAILED, f"its process, {process}, has died")
