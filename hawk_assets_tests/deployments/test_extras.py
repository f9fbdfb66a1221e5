"""Each image's packages, and no others: the service loads and computes with them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets_tests.deployments.images import EXTRAS, copy_sources, install_arguments

UV = Path(sys.executable).with_name("uv")
# Packages that make an image large, or that a service has no business with, and who has them.
ONLY_IN = {
    "talib": {*SERVICES},
    "google.cloud.bigquery_storage": {"model_state_generator"},
    "sklearn": {"trading_models"},
    "scipy": {"trading_models", "model_aggregator"},
    "polars": {"portfolio_simulator", "model_aggregator"},
    "hawk_backtester": {"portfolio_simulator", "model_aggregator"},
    "clarabel": {"model_aggregator"},
    "mosek": {"model_aggregator"},
    "dagster_webserver": {"webserver"},
    "dagster_docker": {"webserver"},
    "dagster_k8s": {"webserver"},
    "dagster_gcp": {*EXTRAS},
    "dagster_postgres": {*EXTRAS},
    "psycopg2": {*EXTRAS},
    "pytest": set(),
    "cvxpy": set(),
}
LONG = bool(os.environ.get("HAWK_TEST_LONG"))
# One model of each library, and a history long enough for the fitted ones to be fitted; by default
# only TA-Lib's, since the others take a minute.
MODELS = ["candles_5", *(["gradient_boosting_5_756", "logistic_5_756"] if LONG else [])]
HISTORY = {"HAWK_START": "2018-01-01" if LONG else "2020-10-01", "HAWK_END": "2021-04-01"}
IMPORTABLE = f"""
from importlib.util import find_spec
def there(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(*filter(there, {list(ONLY_IN)}))
"""
COMPUTE = f"""
import sys
from importlib import import_module
from hawk_assets.commands.backfill import backfill
from hawk_assets.commands.selection import select_months
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.instance.dagster_home import open_instance
from hawk_assets.orchestration.settings import load_settings
(service,) = sys.argv[1:]
import_module("hawk_assets.services." + service).defs()
pipeline = build_pipeline(service)
chosen = {{None, *{MODELS}}}
own = [o for o in pipeline.catalog.values() if o.service == service and o.model in chosen]
with open_instance(load_settings().dagster_home) as instance:
    span = select_months(pipeline.months, None, None)
    failed = backfill(pipeline, instance, own, *span, lambda event: None)
sys.exit("; ".join(map(str, failed.items())) or None)
"""


def uv(*arguments: str, cwd: Path) -> None:
    """:raises Skipped: there is no package index"""
    done = subprocess.run([UV, *arguments], cwd=cwd, capture_output=True, text=True)
    if "error sending request" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


def said(environment: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """A program of an environment, run where nothing of this repository is importable."""
    program, *rest = arguments
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [environment / "bin" / program, *rest],
        cwd=environment,
        env=outside | env,
        capture_output=True,
        text=True,
    )


def test_each_service_loads_and_computes_with_only_its_extra(tmp_path: Path) -> None:
    """The four services make the whole graph, each in an environment like that of its image."""
    sources = tmp_path / "sources"
    sources.mkdir()
    copy_sources(sources)
    uv("build", "--quiet", "--wheel", "--out-dir", "wheel", cwd=sources)
    (wheel,) = (sources / "wheel").glob("*.whl")

    def install(extra: str) -> Path:
        python = tmp_path / extra / "bin" / "python"
        uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / extra), cwd=sources)
        uv("pip", "install", "--quiet", *install_arguments(extra, python, wheel), cwd=sources)
        return tmp_path / extra

    with ThreadPoolExecutor(2) as pool:
        environments = dict(zip(EXTRAS, pool.map(install, EXTRAS), strict=True))
    for extra, environment in environments.items():
        found = said(environment, "python", "-c", IMPORTABLE).stdout.split()
        assert set(found) == {name for name, where in ONLY_IN.items() if extra in where}, extra
    env = HISTORY | {
        "HAWK_STORAGE": str(tmp_path / "storage"),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    for service in SERVICES:
        made = said(environments[service], "python", "-c", COMPUTE, service, **env)
        assert made.returncode == 0, made.stderr
    storage = tmp_path / "storage"
    for model in MODELS:
        opinions = pd.read_parquet(storage / "insights" / model / "2021-04-01.parquet")
        assert opinions["signal"].abs().sum() > 0, model
    assert len(pd.read_parquet(storage / "combined_insights" / "2021-04-01.parquet"))

    migrated = said(environments["webserver"], "hawk", "migrate", **env)
    assert migrated.returncode == 0, migrated.stderr
    refused = said(environments["portfolio_simulator"], "hawk", "status", **env)
    assert refused.returncode == 1
    assert "pip install 'hawk-assets[all]'" in refused.stderr
    assert "Traceback" not in refused.stderr
