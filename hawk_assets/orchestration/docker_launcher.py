"""A container per run, watched; a module of its own, since it needs dagster-docker."""

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult
from dagster_docker import DockerRunLauncher

from hawk_assets.orchestration.home import PROCESS
from hawk_assets.orchestration.launcher import health_of_command


class WatchedDockerRunLauncher(DockerRunLauncher):
    """Dagster's takes every run without a container for dead.

    It would fail a ``hawk backfill`` on the same instance with the next look at it, under way.
    """

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if PROCESS in run.tags:
            return health_of_command(run)
        return super().check_run_worker_health(run)
