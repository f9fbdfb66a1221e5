"""A run whose process has died is failed and run again; any other is left alone."""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG, WILL_RETRY_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster_docker import DockerRunLauncher
from dagster_k8s.job import get_job_name_from_run_id

from hawk_assets.orchestration.instance.dagster_home import (
    HOST,
    INSTANCE_SETTINGS,
    PROCESS,
    run_tags,
)
from hawk_assets.orchestration.instance.docker_run_launcher import WatchedDockerRunLauncher
from hawk_assets_tests.doubles.kubernetes import Jobs, keeping_jobs
from hawk_assets_tests.postgres import free_port

THEIRS = "dagster_k8s", "K8sRunLauncher"
OURS = "hawk_assets.orchestration.instance.kubernetes_run_launcher", "WatchedK8sRunLauncher"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """On the settings that ``hawk dev`` runs on."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(INSTANCE_SETTINGS.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as it:
        yield it


@pytest.fixture
def cluster() -> Iterator[Jobs]:
    with keeping_jobs() as jobs:
        yield jobs


def instance_on(cluster: Jobs, folder: Path, module: str, launcher: str) -> dg.DagsterInstance:
    config = {
        "load_incluster_config": False,
        "kubeconfig_file": str(cluster.write_kubeconfig(folder / "kubeconfig")),
        "instance_config_map": "instance",
        "service_account_name": "hawk",
        "job_namespace": "hawk",
    }
    settings = {
        "run_launcher": {"module": module, "class": launcher, "config": config},
        "run_monitoring": {"enabled": True},
    }
    (folder / "dagster.yaml").write_text(json.dumps(settings))
    return dg.DagsterInstance.from_config(str(folder))


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    it = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield it
    it.kill()
    it.wait()


def started(
    instance: dg.DagsterInstance, process: int | None = None, tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    """A run under way, as its process has reported it."""
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags)
    if process:
        instance.report_engine_event(
            f"Started process for run (pid: {process}).", run, EngineEventData.in_process(process)
        )
    return run


def look(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """The run after Dagster's monitoring daemon has had its turn."""
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        list(execute_run_monitoring_iteration(workspace, logging.getLogger("quiet")))
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def test_a_run_is_failed_and_to_be_retried_when_its_process_is_gone(
    instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]"
) -> None:
    assert instance.run_monitoring_enabled
    run = started(instance, process.pid)
    assert look(instance, run).status == dg.DagsterRunStatus.STARTED
    end(process)
    found = look(instance, run)
    assert found.status == dg.DagsterRunStatus.FAILURE
    assert found.tags[WILL_RETRY_TAG] == "true"


def test_a_run_that_has_not_named_its_process_is_left_alone(instance: dg.DagsterInstance) -> None:
    assert look(instance, started(instance)).status == dg.DagsterRunStatus.STARTED


def test_a_run_is_not_given_up_before_its_code_server_is_back(
    instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]"
) -> None:
    """Without the server the retry fails, and there is no other."""
    nobody = json.dumps({"host": "127.0.0.1", "port": free_port()})
    run = started(instance, process.pid, {GRPC_INFO_TAG: nobody})
    end(process)
    assert look(instance, run).status == dg.DagsterRunStatus.STARTED


def test_a_run_of_a_living_command_is_left_alone(instance: dg.DagsterInstance) -> None:
    assert look(instance, started(instance, tags=run_tags() | {PROCESS: "1"})).status == (
        dg.DagsterRunStatus.STARTED
    )


def test_a_run_of_a_killed_command_is_failed(
    instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]"
) -> None:
    run = started(instance, tags=run_tags() | {PROCESS: str(process.pid)})
    end(process)
    assert look(instance, run).status == dg.DagsterRunStatus.FAILURE


def test_a_run_of_a_command_on_another_machine_is_left_alone(
    instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]"
) -> None:
    elsewhere = {HOST: f"not-{socket.gethostname()}", PROCESS: str(process.pid)}
    run = started(instance, tags=elsewhere)
    end(process)
    assert look(instance, run).status == dg.DagsterRunStatus.STARTED


def test_where_runs_have_containers_the_command_needs_none(instance: dg.DagsterInstance) -> None:
    command = started(instance, tags=run_tags() | {PROCESS: "1"})
    assert DockerRunLauncher().check_run_worker_health(command).status == WorkerStatus.NOT_FOUND
    launcher = WatchedDockerRunLauncher()
    assert launcher.check_run_worker_health(command).status == WorkerStatus.RUNNING
    without = started(instance)
    assert launcher.check_run_worker_health(without).status == WorkerStatus.NOT_FOUND


def test_where_runs_are_kubernetes_jobs_the_command_needs_none(
    tmp_path: Path, cluster: Jobs, process: "subprocess.Popen[bytes]"
) -> None:
    tags = run_tags() | {PROCESS: str(process.pid)}
    with instance_on(cluster, tmp_path, *THEIRS) as theirs:
        assert look(theirs, started(theirs, tags=tags)).status == dg.DagsterRunStatus.FAILURE
    asked = len(cluster.faults.log())
    with instance_on(cluster, tmp_path, *OURS) as ours:
        run = started(ours, tags=tags)
        assert look(ours, run).status == dg.DagsterRunStatus.STARTED
        assert len(cluster.faults.log()) == asked
        end(process)
        assert look(ours, run).status == dg.DagsterRunStatus.FAILURE


def test_a_run_of_a_command_in_another_pod_is_left_alone(tmp_path: Path, cluster: Jobs) -> None:
    elsewhere = {HOST: "hawk-7d9c5", PROCESS: "999999999"}
    with instance_on(cluster, tmp_path, *OURS) as ours:
        run = started(ours, tags=elsewhere)
        assert look(ours, run).status == dg.DagsterRunStatus.STARTED


def test_of_any_other_run_the_cluster_is_asked(tmp_path: Path, cluster: Jobs) -> None:
    with instance_on(cluster, tmp_path, *OURS) as ours:
        alive, dead, without = started(ours), started(ours), started(ours)
        for run, pods in ((alive, {"active": 1}), (dead, {"failed": 1})):
            cluster.created["hawk", get_job_name_from_run_id(run.run_id)] = {"status": pods}
        assert look(ours, alive).status == dg.DagsterRunStatus.STARTED
        assert look(ours, dead).status == dg.DagsterRunStatus.FAILURE
        assert look(ours, without).status == dg.DagsterRunStatus.FAILURE
    for run in (alive, dead, without):
        name = get_job_name_from_run_id(run.run_id)
        assert cluster.faults.log(f"GET /apis/batch/v1/namespaces/hawk/jobs/{name}/status")
