"""A container per run, with a health check. It needs dagster-docker."""

from dagster_docker import DockerRunLauncher

from hawk_assets.orchestration.instance.run_launchers import IgnoresCommandRuns


class WatchedDockerRunLauncher(IgnoresCommandRuns, DockerRunLauncher):
    """Dagster's launcher; it ignores runs of the ``hawk`` command."""
