"""Run launchers that notice when the process of a run has died.

Dagster's default launcher leaves this to the code server. When the code server dies as well, the
run stays "started" for ever, and its months are never requested again.
"""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, RunLauncher, WorkerStatus

from hawk_assets.orchestration.instance.run_owners import is_command_run, is_dead, lives_since


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Runs as processes of a code server on the daemon's machine, with a health check.

    A run is not failed before its code server is back: Dagster retries a failed run at once,
    through that server, or never.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        dead = is_dead(self._instance, run)
        if dead is None:
            dead = self._has_lost_its_process(run)
        if dead and not is_command_run(run) and not self._can_be_retried(run):
            dead = False
        return _health(dead)

    def _has_lost_its_process(self, run: dg.DagsterRun) -> bool:
        """Of a run without a lock: whether the process that it has reported is gone."""
        for log in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            metadata = log.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata:
                reported = datetime.fromtimestamp(log.timestamp, UTC)
                return not lives_since(int(str(metadata["pid"].value)), reported)
        return False

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
        if is_command_run(run):
            return _health(bool(is_dead(self._instance, run)))
        return super().check_run_worker_health(run)


def _health(dead: bool) -> CheckRunHealthResult:
    if not dead:
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    return CheckRunHealthResult(WorkerStatus.FAILED, "its process has died")
