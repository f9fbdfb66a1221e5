"""Runs as processes of a code server, watched: a run whose process is gone is no run in progress.

Dagster's launcher leaves that to the code server. When that dies as well, the run stays "started"
for ever, and what it was to make is waited for.
"""

import socket

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from hawk_assets.orchestration.home import HOST, PROCESS, is_alive


class WatchedRunLauncher(DefaultRunLauncher):
    """For code servers on the machine of the daemon; elsewhere a container per run is watched.

    A run is not given up before its code server is there again: Dagster retries a failed run at
    once, with the help of that server, or never.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        process = self._process(run)
        if process is None or is_alive(process) or not self._can_be_retried(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"its process, {process}, is gone")

    def _process(self, run: dg.DagsterRun) -> int | None:
        """The process of a run; None where it is on another machine, or has not said."""
        if PROCESS in run.tags:
            return int(run.tags[PROCESS]) if run.tags[HOST] == socket.gethostname() else None
        for log in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            metadata = log.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata:
                return int(str(metadata["pid"].value))
        return None

    def _can_be_retried(self, run: dg.DagsterRun) -> bool:
        server = self._get_grpc_client_for_termination(run.run_id)
        try:
            if server:
                server.ping("")
        except DagsterUserCodeUnreachableError:
            return False
        return True
