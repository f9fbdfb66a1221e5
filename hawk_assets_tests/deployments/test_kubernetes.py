"""The values of the Helm chart: what the chart, Dagster and Kubernetes' client make of them.

The chart is somebody else's and not part of this repository. Where ``HAWK_TEST_HELM_CHART`` names
an unpacked one (``helm pull dagster/dagster --version 1.13.27 --untar``), its schema is asked too,
and where there is ``helm``, what it makes of both is looked at.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
import yaml
from dagster._config import process_config
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test
from dagster_k8s import K8sRunLauncher
from dagster_shared.yaml_utils import load_yaml_from_path

from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets_tests.deployments.images import EXTRAS
from hawk_assets_tests.doubles.kubernetes import keeping_jobs
from hawk_assets_tests.pipelines import REPOSITORY
from hawk_assets_tests.settings import HANDED_ON, OF_THE_CHART, SECRETS

VALUES = REPOSITORY / "deployments" / "kubernetes" / "values.yaml"
DOCKER_SETTINGS = REPOSITORY / "deployments" / "docker" / "dagster.yaml"
# What README.md has made by hand, with what is in it.
SECRETS_OF_THE_CLUSTER = {"hawk-postgresql", "hawk-secrets", "mosek-licence"}


def values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text())


def locations() -> list[dict[str, Any]]:
    return values()["dagster-user-deployments"]["deployments"]


def run_launcher() -> dict[str, Any]:
    return values()["runLauncher"]["config"]["customRunLauncher"]


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


def unknown(ours: Any, schema: Any, defaults: Any, root: Any, path: str = "") -> Iterator[str]:
    """Keys that neither the schema nor the defaults have: Helm takes them without a word.

    A map that neither says anything of is not the chart's to know.
    """
    named = dict(_properties(schema, root))
    if isinstance(ours, list):
        item = next((v["items"] for v in _variants(schema, root) if "items" in v), {})
        example = defaults[0] if isinstance(defaults, list) and defaults else None
        for index, value in enumerate(ours):
            yield from unknown(value, item, example, root, f"{path}[{index}]")
    if not isinstance(ours, dict) or not (named or defaults):
        return
    known = defaults if isinstance(defaults, dict) else {}
    for key, value in ours.items():
        if key not in named and key not in known:
            yield f"{path}.{key}"
        yield from unknown(value, named.get(key, {}), known.get(key), root, f"{path}.{key}")


def _variants(schema: Any, root: Any) -> Iterator[Any]:
    yield schema
    for variant in schema.get("anyOf", []):
        yield from _variants(variant, root)
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        yield from _variants(target, root)


def _properties(schema: Any, root: Any) -> Iterator[tuple[str, Any]]:
    for variant in _variants(schema, root):
        yield from variant.get("properties", {}).items()


@pytest.fixture
def chart() -> Path:
    folder = os.environ.get("HAWK_TEST_HELM_CHART")
    if not folder:
        pytest.skip("HAWK_TEST_HELM_CHART does not name an unpacked chart")
    return Path(folder)


@pytest.fixture
def made(chart: Path) -> list[dict[str, Any]]:
    """What would be made in the cluster."""
    helm = shutil.which("helm")
    if not helm:
        pytest.skip("there is no helm")
    command = [helm, "template", "hawk", str(chart), "-n", "hawk", "-f", str(VALUES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def every(key: str, within: Any) -> Iterator[Any]:
    """What stands under a key, at any depth."""
    if isinstance(within, dict):
        yield from (value for name, value in within.items() if name == key)
    if isinstance(within, dict | list):
        for value in within.values() if isinstance(within, dict) else within:
            yield from every(key, value)


def test_the_chart_accepts_the_values(chart: Path) -> None:
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    ours = without_foreign_references(schema)
    jsonschema.validate(with_defaults(values(), defaults), ours)
    assert list(unknown(values(), ours, defaults, ours)) == []


def test_a_key_that_the_chart_does_not_know_is_named() -> None:
    pod = {"properties": {"port": {}, "args": {"anyOf": [{"type": "null"}, {"items": {}}]}}}
    schema = {"properties": {"pods": {"items": {"$ref": "#/$defs/Pod"}}}, "$defs": {"Pod": pod}}
    defaults = {"image": {"tag": None}, "extra": {}}
    right = {"pods": [{"port": 1, "args": ["-m"]}], "image": {"tag": "1"}, "extra": {"any": 1}}
    assert list(unknown(right, schema, defaults, schema)) == []
    wrong = {"pods": [{"prot": 1}], "image": {"tga": "1"}, "else": 1}
    assert list(unknown(wrong, schema, defaults, schema)) == [
        ".pods[0].prot",
        ".image.tga",
        ".else",
    ]


def test_what_pods_refer_to_is_there(made: list[dict[str, Any]]) -> None:
    there = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in made}
    pods = [m["spec"]["template"]["spec"] for m in made if m["kind"] == "Deployment"]
    assert len(pods) == len(SERVICES) + 2
    for pod in pods:
        assert ("ServiceAccount", pod["serviceAccountName"]) in there
        refers = [*every("configMapRef", pod), *every("configMap", pod)]
        assert {("ConfigMap", source["name"]) for source in refers} <= there
        secret = [*every("secretRef", pod), *every("secretKeyRef", pod)]
        named = {source["name"] for source in secret if not source.get("optional")}
        assert named <= SECRETS_OF_THE_CLUSTER
    assert ("ConfigMap", run_launcher()["config"]["instance_config_map"]) in there


def test_dagster_accepts_what_the_chart_makes_of_its_settings(
    made: list[dict[str, Any]], tmp_path: Path
) -> None:
    named = run_launcher()["config"]["instance_config_map"]
    (settings,) = [m["data"] for m in made if m["metadata"]["name"] == named]
    (tmp_path / "dagster.yaml").write_text(settings["dagster.yaml"])
    ref = InstanceRef.from_dir(str(tmp_path))
    classes = {
        ref.event_storage_data.class_name,
        ref.run_storage_data.class_name,
        ref.run_launcher_data.class_name,
        ref.compute_logs_data.class_name,
    }
    assert classes == {
        "BatchedPostgresEventLogStorage",
        "PostgresRunStorage",
        "WatchedK8sRunLauncher",
        "ComputeLogs",
    }
    docker, _ = dagster_instance_config(str(DOCKER_SETTINGS.parent))
    ours, _ = dagster_instance_config(str(tmp_path))
    for same in ("run_retries", "retention", "telemetry", "nux"):
        assert ours[same] == docker[same]
    assert "tag_concurrency_limits" not in ours["run_coordinator"]["config"]


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
    settings, file = values()["extraManifests"]
    assert settings["data"].keys() == {*HANDED_ON} - SECRETS - OF_THE_CHART
    assert all(isinstance(value, str) for value in settings["data"].values())
    name = settings["metadata"]["name"]
    for pod in (*locations(), values()["dagsterWebserver"], values()["dagsterDaemon"]):
        assert pod["envConfigMaps"] == [{"name": name}]
    for pod in locations():
        assert pod["envSecrets"] == [{"name": "hawk-secrets"}]
        assert pod["volumeMounts"][0]["name"] == pod["volumes"][0]["name"] == "mosek"
        assert pod["volumeMounts"][1]["name"] == pod["volumes"][1]["name"] == "config"
        assert pod["volumes"][1]["configMap"] == {"name": file["metadata"]["name"]}
    run = run_launcher()["config"]
    assert run["env_config_maps"] == [name]
    assert run["env_secrets"] == ["hawk-secrets"]
    assert [run["volumes"], run["volume_mounts"]] == [
        locations()[0]["volumes"],
        locations()[0]["volumeMounts"],
    ]


def test_dagster_accepts_the_instance_settings(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(values()["additionalInstanceConfig"]))
    ours, _ = dagster_instance_config(str(tmp_path))
    docker, _ = dagster_instance_config(str(DOCKER_SETTINGS.parent))
    composite = docker["storage"]["custom"]  # all of it; the chart asks for its parts
    assert ours["event_log_storage"]["module"] == composite["module"]
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


def test_a_run_is_a_job_with_all_it_needs(tmp_path: Path) -> None:
    """As Dagster's launcher asks the API server for it, with the values' settings."""
    launcher = run_launcher()
    assert process_config(K8sRunLauncher.config_type(), launcher["config"]).success
    pointer = ModuleCodePointer("hawk_assets.services.trading_models", "defs")
    image = "registry.example.com/hawk/trading_models:0.1.0"
    origin = JobPythonOrigin("job", RepositoryPythonOrigin("python", pointer, image))
    with keeping_jobs() as cluster:
        kubeconfig = str(cluster.write_kubeconfig(tmp_path / "kubeconfig"))
        here = {"load_incluster_config": False, "kubeconfig_file": kubeconfig}
        launcher["config"] |= here
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_launcher": launcher}))
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            run = create_run_for_test(instance, job_code_origin=origin)
            instance.run_launcher.launch_run(LaunchRunContext(run, None))
    (((namespace, _), job),) = cluster.created.items()
    assert namespace == "hawk"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == values()["global"]["serviceAccountName"]
    assert pod["securityContext"] == values()["dagsterDaemon"]["podSecurityContext"]
    (container,) = pod["containers"]
    assert container["image"] == image
    assert container["securityContext"] == values()["dagsterDaemon"]["securityContext"]
    assert container["resources"]["limits"] == {"memory": "4Gi"}
    assert {"configMapRef": {"name": "hawk-settings"}} in container["envFrom"]
    assert {"secretRef": {"name": "hawk-secrets"}} in container["envFrom"]
    environment = {variable["name"]: variable for variable in container["env"]}
    assert environment["DAGSTER_HOME"]["value"] == values()["global"]["dagsterHome"]
    password = environment["DAGSTER_PG_PASSWORD"]["valueFrom"]["secretKeyRef"]["name"]
    assert password == values()["global"]["postgresqlSecretName"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted["config"] == "/var/lib/hawk/config"
    assert mounted["mosek"] == "/var/lib/hawk/secrets"
    (licence,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "mosek"]
    assert licence == {"secretName": "mosek-licence", "optional": True}


def test_no_run_waits_for_another_of_its_month() -> None:
    """Different stages of a month share its tag; how many run at once is limited as it is."""
    (queue,) = values()["dagsterDaemon"]["runCoordinator"]["config"].values()
    assert queue.keys() == {"maxConcurrentRuns", "dequeueIntervalSeconds"}


def test_nothing_is_published_and_no_secret_is_written() -> None:
    assert values()["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    assert "ingress" not in values()
    assert not values()["generatePostgresqlPasswordSecret"]
    settings, _ = values()["extraManifests"]
    assert not SECRETS & settings["data"].keys()
    assert "postgresqlPassword" not in values()["postgresql"]
