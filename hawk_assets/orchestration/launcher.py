"""Runs as processes of a code server, watched: a run whose process is gone is no run in progress.

Dagster's launcher leaves that to the code server. When that dies as well, the run stays "started"
for ever, and what it was to make is waited for.
"""

import socket

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from hawk_assets.orchestration.home import HOST, PROCESS, is_alive


class WatchedRunLauncher(DefaultRunLauncher):
    """For code servers on the machine of the daemon; elsewhere a container per run is watched."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        process = self._process(run)
        if process is None or is_alive(process):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"its process, {process}, is gone")

    def _process(self, run: dg.DagsterRun) -> int | None:
        """The process of a run; None where it is on another machine, or has not said."""
        if PROCESS in run.tags:
            return int(run.tags[PROCESS]) if run.tags[HOST] == socket.gethostname() else None
        for log in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            data = log.get_dagster_event().engine_event_data
            if "pid" in data.metadata:
                return int(str(data.metadata["pid"].value))
        return None
