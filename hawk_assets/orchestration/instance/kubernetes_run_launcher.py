"""A Kubernetes job per run, watched; a module of its own, since it needs dagster-k8s."""

from dagster_k8s import K8sRunLauncher

from hawk_assets.orchestration.instance.run_launchers import CommandApart


class WatchedK8sRunLauncher(CommandApart, K8sRunLauncher):
    """Dagster's, which leaves runs of the ``hawk`` command alone."""
