"""The values of the Helm chart: what the chart, Dagster and Kubernetes' client make of them.

The chart is somebody else's and not part of this repository. Where ``HAWK_HELM_CHART`` names an
unpacked one (``helm pull dagster/dagster --version 1.13.27 --untar``), its schema is asked too.
"""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from dagster_shared.yaml_utils import load_yaml_from_path

from hawk_assets.orchestration.plan import SERVICES
from hawk_assets_tests.deployments.images import EXTRAS
from hawk_assets_tests.deployments.settings import setting_names
from hawk_assets_tests.deployments.test_docker import SECRETS
from hawk_assets_tests.pipelines import REPOSITORY

VALUES = REPOSITORY / "deployments" / "kubernetes" / "values.yaml"
DOCKER_SETTINGS = REPOSITORY / "deployments" / "docker" / "dagster.yaml"


def values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text())


def locations() -> list[dict[str, Any]]:
    return values()["dagster-user-deployments"]["deployments"]


def with_defaults(ours: Any, defaults: Any) -> Any:
    """Helm's rule: maps are merged, anything else is replaced."""
    if not (isinstance(ours, dict) and isinstance(defaults, dict)):
        return ours
    return defaults | {k: with_defaults(v, defaults.get(k)) for k, v in ours.items()}


def without_foreign_references(schema: Any) -> Any:
    """The chart's schema alone: what it says of Kubernetes' own objects is behind an address."""
    if isinstance(schema, list):
        return [without_foreign_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_foreign_references(value)
        for key, value in schema.items()
        if not (key == "$ref" and not value.startswith("#"))
    }


@pytest.fixture
def chart() -> Path:
    folder = os.environ.get("HAWK_HELM_CHART")
    if not folder:
        pytest.skip("HAWK_HELM_CHART does not name an unpacked chart")
    return Path(folder)


def test_the_chart_accepts_the_values(chart: Path) -> None:
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    assert values().keys() <= defaults.keys()
    jsonschema.validate(with_defaults(values(), defaults), without_foreign_references(schema))


def test_every_service_is_a_deployment_of_its_own_image() -> None:
    served = {location["dagsterApiGrpcArgs"][1]: location for location in locations()}
    assert set(served) == {f"hawk_assets.services.{service}" for service in SERVICES}
    for module, location in served.items():
        service = module.rpartition(".")[2]
        assert location["name"] == service.replace("_", "-")  # a name in DNS has no underscore
        assert location["image"]["repository"].endswith(f"/{service}")


def test_all_pods_are_of_one_version_and_of_images_that_are_built() -> None:
    images = [location["image"] for location in locations()]
    images += [values()[pod]["image"] for pod in ("dagsterWebserver", "dagsterDaemon")]
    assert {image["tag"] for image in images} == {"0.1.0"}
    assert {image["repository"].rpartition("/")[2] for image in images} == {*EXTRAS}


def test_every_setting_reaches_every_pod_and_every_run() -> None:
    (settings,) = values()["extraManifests"]
    in_the_open = settings["data"].keys()
    docker = yaml.safe_load(DOCKER_SETTINGS.read_text())["run_launcher"]["config"]["env_vars"]
    assert setting_names() - {*SECRETS} <= in_the_open
    assert in_the_open <= {*docker} - {*SECRETS}
    assert all(isinstance(value, str) for value in settings["data"].values())
    launcher = values()["runLauncher"]["config"]["k8sRunLauncher"]
    named = [{"name": settings["metadata"]["name"]}]
    for pod in (*locations(), launcher, values()["dagsterWebserver"], values()["dagsterDaemon"]):
        assert pod["envConfigMaps"] == named
    for pod in (*locations(), launcher):
        assert pod["envSecrets"] == [{"name": "hawk-secrets"}]
        assert pod["volumeMounts"][0]["name"] == pod["volumes"][0]["name"] == "mosek"


def test_dagster_accepts_the_instance_settings(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(values()["additionalInstanceConfig"]))
    ours, _ = dagster_instance_config(str(tmp_path))
    docker, _ = dagster_instance_config(str(DOCKER_SETTINGS.parent))
    assert ours["event_log_storage"]["class"] == docker["event_log_storage"]["class"]
    assert ours["run_retries"] == docker["run_retries"]
    assert ours["nux"] == docker["nux"]
    for handled in ("runMonitoring", "runRetries"):
        assert values()["dagsterDaemon"][handled] == {"enabled": False}


def test_of_two_equal_keys_dagster_takes_the_last(tmp_path: Path) -> None:
    """The chart writes an event log storage of its own before the one that is asked for here."""
    text = "event_log_storage: {class: theirs}\n"
    text += yaml.safe_dump(values()["additionalInstanceConfig"])
    (tmp_path / "dagster.yaml").write_text(text)
    loaded = load_yaml_from_path(str(tmp_path / "dagster.yaml"))
    assert loaded["event_log_storage"]["class"] == "BatchedPostgresEventLogStorage"


def test_the_event_log_is_in_the_database_of_everything_else() -> None:
    database = values()["postgresql"]
    ours = values()["additionalInstanceConfig"]["event_log_storage"]["config"]["postgres_db"]
    assert not database["enabled"]
    assert ours == {
        "hostname": database["postgresqlHost"],
        "port": database["service"]["port"],
        "username": database["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "db_name": database["postgresqlDatabase"],
    }


def test_the_run_launcher_and_kubernetes_accept_what_a_run_is_given() -> None:
    launcher = values()["runLauncher"]["config"]["k8sRunLauncher"]
    names = {
        "containerConfig": "container_config",
        "podSpecConfig": "pod_spec_config",
        "podTemplateSpecMetadata": "pod_template_spec_metadata",
        "jobSpecConfig": "job_spec_config",
    }
    raw = {names[key]: value for key, value in launcher["runK8sConfig"].items()}
    config = {
        "dagster_home": values()["global"]["dagsterHome"],
        "instance_config_map": "hawk-dagster-instance",
        "postgres_password_secret": values()["global"]["postgresqlSecretName"],
        "service_account_name": values()["global"]["serviceAccountName"],
        "load_incluster_config": launcher["loadInclusterConfig"],
        "image_pull_policy": launcher["imagePullPolicy"],
        "env_config_maps": [source["name"] for source in launcher["envConfigMaps"]],
        "env_secrets": [source["name"] for source in launcher["envSecrets"]],
        "volumes": launcher["volumes"],
        "volume_mounts": launcher["volumeMounts"],
        "resources": launcher["resources"],
        "security_context": launcher["securityContext"],
        "run_k8s_config": raw,
    }
    assert process_config(K8sRunLauncher.config_type(), config).success
    run = UserDefinedDagsterK8sConfig.from_dict(raw)
    assert run.job_spec_config["backoff_limit"] == 0
    assert run.pod_spec_config["security_context"]["run_as_non_root"]


def test_nothing_is_published_and_no_secret_is_written() -> None:
    assert values()["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    assert "ingress" not in values()
    assert not values()["generatePostgresqlPasswordSecret"]
    (settings,) = values()["extraManifests"]
    assert not {*SECRETS} & settings["data"].keys()
    assert "postgresqlPassword" not in values()["postgresql"]
