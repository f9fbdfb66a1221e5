"""A run whose process has died is failed and run again; any other is left alone."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG, WILL_RETRY_TAG
from dagster._core.test_utils import create_run_for_test, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster_docker import DockerRunLauncher
from dagster_k8s.job import get_job_name_from_run_id

from hawk_assets.orchestration.instance.dagster_home import INSTANCE_SETTINGS
from hawk_assets.orchestration.instance.docker_run_launcher import WatchedDockerRunLauncher
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.run_owners import (
    HOST,
    LOCK,
    PROCESS,
    is_command_run,
    new_command_run,
)
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


def of_older_command(process: int, host: str | None = None) -> dict[str, str]:
    """The tags of a run of a release that had no locks."""
    return {HOST: host or socket.gethostname(), PROCESS: str(process)}


@contextmanager
def run_of_command(instance: dg.DagsterInstance) -> Iterator[dg.DagsterRun]:
    """A run whose command lives on until the end of the block."""
    with new_command_run(instance, "hawk refresh") as (run_id, tags):
        yield create_run_for_test(
            instance, run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags
        )


def test_a_run_of_a_living_command_is_left_alone(instance: dg.DagsterInstance) -> None:
    with run_of_command(instance) as run:
        assert look(instance, run).status == dg.DagsterRunStatus.STARTED


def test_a_run_of_a_dead_command_is_failed_whoever_has_its_process_number(
    instance: dg.DagsterInstance,
) -> None:
    with run_of_command(instance) as run:
        pass
    assert run.tags[PROCESS] == str(os.getpid())
    assert look(instance, run).status == dg.DagsterRunStatus.FAILURE


def test_a_retry_is_not_judged_by_the_lock_of_the_run_it_repeats(
    instance: dg.DagsterInstance,
) -> None:
    with run_of_command(instance) as run:
        pass
    again = started(instance, tags=dict(run.tags))
    assert look(instance, again).status == dg.DagsterRunStatus.STARTED


def test_a_run_of_a_killed_command_of_an_older_release_is_failed(
    instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]"
) -> None:
    run = started(instance, tags=of_older_command(process.pid))
    assert look(instance, run).status == dg.DagsterRunStatus.STARTED
    end(process)
    assert look(instance, run).status == dg.DagsterRunStatus.FAILURE


def test_a_later_process_with_the_same_number_is_another_one(
    instance: dg.DagsterInstance,
) -> None:
    with freeze_time(datetime.now(UTC) - timedelta(days=1)):
        run = started(instance, tags=of_older_command(os.getppid()))
    assert look(instance, run).status == dg.DagsterRunStatus.FAILURE


def test_on_one_machine_another_host_is_its_earlier_name(
    instance: dg.DagsterInstance, process: "subprocess.Popen[bytes]"
) -> None:
    run = started(instance, tags=of_older_command(process.pid, "earlier-name"))
    assert look(instance, run).status == dg.DagsterRunStatus.FAILURE


def test_where_many_machines_share_an_instance_another_host_may_live(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_locks(instance), "on_one_machine", False)
    run = started(instance, tags=of_older_command(999999999, "hawk-7d9c5"))
    assert look(instance, run).status == dg.DagsterRunStatus.STARTED


def test_a_process_takes_the_lock_of_its_run_before_the_run_has_started(
    instance: dg.DagsterInstance,
) -> None:
    held = []

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        held.append(instance_locks(instance).find_held([context.run_id]))

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(instance=instance, raise_on_error=True)
    assert held == [{result.run_id}]
    run = instance.get_run_by_id(result.run_id)
    assert run
    assert run.tags[LOCK] == run.run_id
    assert not is_command_run(run)


def test_where_runs_have_containers_the_command_needs_none(instance: dg.DagsterInstance) -> None:
    with run_of_command(instance) as command:
        assert DockerRunLauncher().check_run_worker_health(command).status == WorkerStatus.NOT_FOUND
        launcher = WatchedDockerRunLauncher()
        launcher.register_instance(instance)
        assert launcher.check_run_worker_health(command).status == WorkerStatus.RUNNING
        without = started(instance)
        assert launcher.check_run_worker_health(without).status == WorkerStatus.NOT_FOUND


def test_where_runs_are_kubernetes_jobs_the_command_needs_none(
    tmp_path: Path, cluster: Jobs
) -> None:
    with instance_on(cluster, tmp_path, *THEIRS) as theirs, run_of_command(theirs) as run:
        assert look(theirs, run).status == dg.DagsterRunStatus.FAILURE
    asked = len(cluster.faults.log())
    with instance_on(cluster, tmp_path, *OURS) as ours:
        with run_of_command(ours) as run:
            assert look(ours, run).status == dg.DagsterRunStatus.STARTED
            assert len(cluster.faults.log()) == asked
        assert look(ours, run).status == dg.DagsterRunStatus.FAILURE


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
