"""A Kubernetes job per run, with a health check. It needs dagster-k8s."""

from dagster_k8s import K8sRunLauncher

from hawk_assets.orchestration.instance.run_launchers import IgnoresCommandRuns


class WatchedK8sRunLauncher(IgnoresCommandRuns, K8sRunLauncher):
    """Dagster's launcher; it ignores runs of the ``hawk`` command."""
