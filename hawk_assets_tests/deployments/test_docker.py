"""What can be known about the containers without starting one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster_docker import DockerRunLauncher

from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets.orchestration.instance.compute_logs import ComputeLogs
from hawk_assets_tests.deployments.images import DOCKER, DOCKERFILE, EXTRAS, instructions
from hawk_assets_tests.settings import HANDED_ON, SECRETS

COMPOSE = DOCKER / "compose.yaml"
EXAMPLE = DOCKER / ".env.example"


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def hawk_containers() -> dict[str, dict[str, Any]]:
    """The containers of this project's images, by name."""
    return {name: it for name, it in compose()["services"].items() if name != "postgres"}


def launcher() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "dagster.yaml").read_text())["run_launcher"]["config"]


def example() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def docker_compose(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("docker-compose")
    if not program:
        pytest.skip("docker-compose is not installed")
    return subprocess.run(
        [program, "--env-file", str(EXAMPLE), "-f", str(COMPOSE), *arguments],
        env=os.environ | env,
        capture_output=True,
        text=True,
    )


def test_compose_accepts_the_file() -> None:
    done = docker_compose("config", "-q", HAWK_POSTGRES_PASSWORD="x")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_password_for_postgresql_nothing_starts() -> None:
    done = docker_compose("config", "-q")
    assert done.returncode == 1
    assert "HAWK_POSTGRES_PASSWORD" in done.stderr
    assert "deployments/docker/.env" in done.stderr


def test_the_dockerfile_is_without_the_known_mistakes() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_images_are_pinned_and_run_as_nobody_in_particular() -> None:
    (install,) = (i for i in instructions() if "uv pip install" in i)
    assert "--constraint constraints.txt" in install
    assert instructions()[-1] == "USER 10001"
    assert sum(i.startswith("FROM ${PYTHON_IMAGE}") for i in instructions()) == 2


@pytest.mark.parametrize("name", [*hawk_containers()])
def test_a_container_is_made_of_the_extra_that_its_image_names(name: str) -> None:
    container = hawk_containers()[name]
    extra = container["build"]["args"]["SERVICE"]
    assert f"/{extra}:" in container["image"]
    assert extra == (name if name in SERVICES else "all" if name == "hawk" else "webserver")
    assert extra in {*EXTRAS, "all"}


@pytest.mark.parametrize("name", [*compose()["services"]])
def test_everything_waits_until_dagster_has_its_tables(name: str) -> None:
    """Directly or through what it waits for; only what the tables themselves need does not."""
    waits = {n: c.get("depends_on", {}) for n, c in compose()["services"].items()}
    assert waits["schema"] == {"postgres": {"condition": "service_healthy"}}
    if name not in ("postgres", "schema"):
        reached = {**waits[name], **{k: v for n in waits[name] for k, v in waits[n].items()}}
        assert reached["schema"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_serves_its_location_and_runs_in_its_own_image(service: str) -> None:
    container = hawk_containers()[service]
    assert f"-m hawk_assets.services.{service} --location-name {service}" in container["command"]
    assert container["environment"]["DAGSTER_CURRENT_IMAGE"] == container["image"]
    (port,) = re.findall(r"-h 0\.0\.0\.0 -p (\d+)", container["command"])
    assert container["healthcheck"]["test"][-2:] == ["-p", port]
    workspace = yaml.safe_load((DOCKER / "workspace.yaml").read_text())["load_from"]
    served = {"host": service, "port": int(port), "location_name": service}
    assert {"grpc_server": served} in workspace
    assert len(workspace) == len(SERVICES)


def test_every_setting_reaches_every_container_and_every_run() -> None:
    """A run's container has the daemon's settings, where each must be set, if only to nothing."""
    handed_on = launcher()["env_vars"]
    assert handed_on == HANDED_ON
    for container in hawk_containers().values():
        assert container["environment"].keys() - {"DAGSTER_CURRENT_IMAGE"} == {*handed_on}


def test_every_variable_has_its_line_in_the_example() -> None:
    assert example().keys() == set(re.findall(r"\$\{([A-Z_]+):", COMPOSE.read_text()))


def test_no_file_holds_a_secret() -> None:
    for name in SECRETS:
        assert example()[name] == ""
        (written,) = re.findall(rf"^  {name}: (.*)$", COMPOSE.read_text(), re.M)
        assert re.fullmatch(rf"\$\{{{name}:(-|\?[^}}]+)\}}", written)
    copied = " ".join(i for i in instructions() if i.startswith(("COPY", "ENV", "ARG")))
    assert not re.search(r"PASSWORD|SECRET|JSON|TOKEN|\.env", copied)


def test_only_the_webserver_is_published_and_only_to_this_machine() -> None:
    ports = {name: c["ports"] for name, c in compose()["services"].items() if "ports" in c}
    assert ports == {"webserver": ["127.0.0.1:${WEBSERVER_PORT:-3000}:3000"]}


def test_a_run_has_the_network_the_volumes_and_the_limits_of_its_service() -> None:
    service, run = hawk_containers()["trading_models"], launcher()
    assert run["network"] == compose()["networks"]["default"]["name"]
    assert run["container_kwargs"]["volumes"] == service["volumes"]
    for limit in ("read_only", "cap_drop", "security_opt"):
        assert run["container_kwargs"][limit] == service[limit]
    for name, volume in compose()["volumes"].items():
        assert volume["name"] == name


def test_dagster_accepts_the_instance_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the storages, which need their server, come up as configured."""
    for name in launcher()["env_vars"]:
        monkeypatch.setenv(name, "5432" if name.endswith("PORT") else "x")
    monkeypatch.setenv("HAWK_COMPUTE_LOGS", "/tmp")
    ref = InstanceRef.from_dir(str(DOCKER))
    assert isinstance(ref.run_launcher, DockerRunLauncher)
    assert isinstance(ref.compute_log_manager, ComputeLogs)
    assert ref.run_coordinator.get_run_queue_config().max_concurrent_runs == 4
    assert ref.settings["run_retries"] == {
        "enabled": True,
        "max_retries": 2,
        "retry_on_asset_or_op_failure": False,
    }
    assert ref.settings["run_monitoring"]["max_resume_run_attempts"] == 0
