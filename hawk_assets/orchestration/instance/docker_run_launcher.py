"""A container per run, watched; a module of its own, since it needs dagster-docker."""

from dagster_docker import DockerRunLauncher

from hawk_assets.orchestration.instance.run_launchers import CommandApart


class WatchedDockerRunLauncher(CommandApart, DockerRunLauncher):
    """Dagster's, which leaves runs of the ``hawk`` command alone."""
