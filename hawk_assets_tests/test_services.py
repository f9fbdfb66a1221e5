"""The code locations: what each holds, what it knows of the others, and that they all load."""

import os
import subprocess
import sys
import tomllib
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest
import yaml

import hawk_assets
from hawk_assets.models import discover
from hawk_assets.orchestration.build import build_defs
from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets.orchestration.instance.dagster_home import INSTANCE_SETTINGS, WORKSPACE
from hawk_assets_tests.pipelines import REPOSITORY

ROOT = Path(hawk_assets.__file__).parent
SNAPSHOT = Path(__file__).with_name("asset_keys.txt")


@cache
def definitions(service: str) -> dg.Definitions:
    module = import_module(f"hawk_assets.services.{service}")
    found = module.defs()
    assert isinstance(found, dg.Definitions)
    return found


def specs(service: str, own: bool) -> dict[str, dg.AssetSpec]:
    """The assets that a service computes, or those of others that it reads."""
    graph = definitions(service).resolve_asset_graph()
    own_keys = {key for key in graph.get_all_asset_keys() if graph.get(key).is_materializable}
    return {
        key.to_user_string(): spec
        for key, spec in ((s.key, s) for s in definitions(service).resolve_all_asset_specs())
        if (key in own_keys) == own
    }


def tables() -> list[str]:
    """Service, group and table; without the models' names, which come and go."""
    models = set(discover())
    found = set()
    for service in SERVICES:
        for key, spec in specs(service, own=True).items():
            folder, _, model = key.partition("/")
            assert not model or model in models
            assert spec.tags["service"] == service
            assert spec.tags.get("model", "") == model
            found.add(f"{service} {spec.group_name} {folder}{'/<model>' if model else ''}")
    return sorted(found)


def test_no_table_has_vanished_or_moved() -> None:
    """To accept a change: python -m hawk_assets_tests.test_services"""
    assert SNAPSHOT.read_text().splitlines() == tables()


def test_every_group_is_a_folder_of_the_package() -> None:
    groups = {line.split()[1] for line in SNAPSHOT.read_text().splitlines()}
    assert all((ROOT / group / "__init__.py").is_file() for group in groups)


def test_every_model_has_every_table_that_models_have() -> None:
    per_model = [line.split("/")[0].split() for line in tables() if line.endswith("<model>")]
    assert len(per_model) == 4
    for service, _, folder in per_model:
        found = {
            k.partition("/")[2] for k in specs(service, own=True) if k.startswith(f"{folder}/")
        }
        assert found == set(discover())


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_reads_of_others_has_the_months_of_its_owner(service: str) -> None:
    owners = {
        key: spec
        for other in SERVICES
        if other != service
        for key, spec in specs(other, True).items()
    }
    foreign = specs(service, own=False)
    assert (service == "model_state_generator") == (not foreign)
    for key, spec in foreign.items():
        assert spec.partitions_def == owners[key].partitions_def
        assert spec.group_name == owners[key].group_name
        assert spec.tags.items() <= owners[key].tags.items()
        assert spec.partitions_def is not None


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_looks_after_itself(service: str) -> None:
    """Each location has the sensor that keeps it up to date, and one on its stored files; the
    first also watches the source."""
    sensors = {sensor.name for sensor in definitions(service).sensors or ()}
    watch = {"new_market_data"} if service == "model_state_generator" else set()
    assert sensors == {f"{service}_automation", f"{service}_stored_files"} | watch
    raw = {"market_data", "commitments_of_traders"}
    for key, spec in specs(service, own=True).items():
        assert (spec.automation_condition is None) == (key in raw)
        assert spec.code_version


@pytest.mark.parametrize("service", SERVICES)
def test_with_a_webhook_each_service_reports_its_failures(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAWK_WEBHOOK", "https://hooks.example/services")
    sensors = {sensor.name for sensor in build_defs(service, models={}).sensors or ()}
    watch = {"new_market_data", "lateness"} if service == "model_state_generator" else set()
    own = {f"{service}_{name}" for name in ("automation", "stored_files", "failures")}
    assert sensors == own | watch
    monkeypatch.setenv("HAWK_END", "2010-01-01")
    assert "lateness" not in {s.name for s in build_defs(service, models={}).sensors or ()}


def test_the_book_is_overdue_in_the_ui_from_the_time_it_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HAWK_BOOK_DUE", "07:30")
    found = {
        spec.key.to_user_string(): spec.freshness_policy
        for spec in build_defs("model_aggregator", models={}).resolve_all_asset_specs()
        if spec.freshness_policy
    }
    day = timedelta(days=1)
    assert found == {
        "combined_insights": dg.FreshnessPolicy.cron("30 7 * * TUE-SAT", lower_bound_delta=day)
    }


def test_dagster_loads_every_service(tmp_path: Path) -> None:
    modules = [
        {"module_name": f"hawk_assets.services.{service}", "location_name": service}
        for service in SERVICES
    ]
    workspace = {"load_from": [{"python_module": module} for module in modules]}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    (tmp_path / "dagster.yaml").symlink_to(INSTANCE_SETTINGS)
    said = validate(tmp_path, DAGSTER_HOME=str(tmp_path))
    for service in SERVICES:
        assert f"Validation successful for code location {service}" in said


def test_dagster_loads_what_is_at_the_root_without_a_setting(tmp_path: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    assert "Validation successful for code location hawk_assets" in validate(tmp_path)
    assert sorted(file.name for file in (tmp_path / ".hawk" / "dagster").iterdir()) == [
        "history",
        "schedules",
    ]


def validate(folder: Path, **settings: str) -> str:
    program = str(Path(sys.executable).with_name("dagster"))
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER_", "HAWK_"))}
    done = subprocess.run(
        [program, "definitions", "validate"],
        cwd=folder,
        env=plain | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_files_at_the_root_are_those_that_are_installed() -> None:
    for shipped in (INSTANCE_SETTINGS, WORKSPACE):
        assert shipped.resolve() == REPOSITORY / shipped.name


def test_dagster_and_dg_load_the_same_location() -> None:
    (entry,) = yaml.safe_load(WORKSPACE.read_text())["load_from"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert entry["python_module"] == {
        "module_name": project["code_location_target_module"],
        "location_name": project["code_location_name"],
    }


def test_dagster_accepts_the_instance_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(INSTANCE_SETTINGS.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled
        assert type(instance.event_log_storage).__name__ == "BatchedSqliteEventLogStorage"


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(tables()) + "\n")
