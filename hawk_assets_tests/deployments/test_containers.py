"""The images, started: a refresh goes through four containers, each run in one of its own.

Slow and only on demand: ``make test-containers``.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets_tests.deployments.images import DOCKER, EXTRAS
from hawk_assets_tests.deployments.podman import PATIENCE_SECONDS, Engine, compose_up, engine
from hawk_assets_tests.pipelines import ragged_prices

pytestmark = pytest.mark.skipif(
    not os.environ.get("HAWK_TEST_CONTAINERS"), reason="run it with: make test-containers"
)
FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hawk-containers"
PORT = 3939
MONTHS = [f"2015-{month:02}-01" for month in range(1, 13)]
RUNS = """{
  runsOrError(limit: 1000) { ... on Runs { results {
    runId status tags { key value }
    repositoryOrigin { repositoryLocationName }
  } } }
}"""
LOCATIONS = """{
  workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename }
  } } }
}"""


@dataclass(frozen=True)
class Stack:
    """Everything that ``compose.yaml`` names, up."""

    made: Engine
    compose: list[str]
    prices: Path

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """GraphQL, as the UI asks."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(
            f"http://127.0.0.1:{PORT}/graphql", body, {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]
        return found

    def runs(self) -> list[dict[str, Any]]:
        found = self.ask(RUNS)["runsOrError"]["results"]
        return [{**run, "tags": {t["key"]: t["value"] for t in run["tags"]}} for run in found]

    def latest(self) -> str:
        """The last session of the book that is stored."""
        volume = self.made.said(
            "podman", "volume", "inspect", "hawk_state", "--format", "{{.Mountpoint}}"
        )
        book = Path(volume, "storage", "combined_insights", f"{MONTHS[-1]}.parquet")
        return str(pd.read_parquet(book)["date"].max())

    def wait(self, until: Callable[[], bool]) -> None:
        """Until something is so and no run is on its way."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (until() and all(run["status"] == "SUCCESS" for run in self.runs())):
            failed = [run for run in self.runs() if run["status"] == "FAILURE"]
            assert not failed, self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(3)

    def logs(self) -> str:
        return self.made.said(*self.compose, "logs", "--no-color", "--tail", "60")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("desk")
    for name in ("config", "data", "secrets"):
        (folder / name).mkdir()
    history = f"start: {MONTHS[0]}\nend: {MONTHS[-1]}\n"
    (folder / "config" / "hawk.yaml").write_text(history)
    prices = folder / "data" / "prices.parquet"
    ragged_prices().query("date < '2015-12-31'").to_parquet(prices)
    for place in (prices, folder, folder / "config", folder / "data", *folder.parents[:2]):
        place.chmod(0o755)  # the containers' user is nobody here
    with engine(FOLDER) as made:
        base = made.python_image()
        for extra in (*EXTRAS, "all"):
            made.build(extra, base)
        settings = {
            "IMAGE_PREFIX": "localhost/hawk",
            "POSTGRES_IMAGE": made.postgres_image(base),
            "DOCKER_SOCKET": made.socket,
            "DOCKER_GROUP": made.socket.stat().st_gid,
            "CONFIG_FOLDER": folder / "config",
            "DATA_FOLDER": folder / "data",
            "SECRETS_FOLDER": folder / "secrets",
            "WEBSERVER_PORT": PORT,
            "HAWK_POSTGRES_PASSWORD": "of this test",
            "HAWK_MARKET_DATA": "/var/lib/hawk/data/prices.parquet",
            "HAWK_CONFIG": "/var/lib/hawk/config/hawk.yaml",
            "HAWK_TICK_SECONDS": 5,
        }
        (folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        compose = [
            *("docker-compose", "--project-name", "hawk"),
            *("--env-file", str(folder / ".env"), "-f", str(DOCKER / "compose.yaml")),
        ]
        try:
            compose_up(made, *compose, "up", "-d", "--no-build", "postgres")
            made.said(*compose, "run", "--rm", "hawk", "backfill")
            compose_up(made, *compose, "up", "-d", "--no-build")
            yield Stack(made, compose, prices)
        finally:
            made.said(*compose, "down", "--volumes", "--timeout", "20", check=False)


def test_a_refresh_goes_through_four_containers_and_each_run_has_its_own(stack: Stack) -> None:
    locations = stack.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert {(at["name"], at["locationOrLoadError"]["__typename"]) for at in locations} == {
        (service, "RepositoryLocation") for service in SERVICES
    }
    settings = json.loads(
        stack.made.said(*stack.compose, "run", "--rm", "hawk", "config", "--json")
    )
    (start,) = (row for row in settings if row["key"] == "start")
    assert (start["value"], start["source"]) == (MONTHS[0], "/var/lib/hawk/config/hawk.yaml:1")
    assert stack.latest() == "2015-12-30"
    before = {run["runId"] for run in stack.runs()}

    arrived = stack.prices.with_suffix(".new")  # the last session: nobody does anything
    ragged_prices().to_parquet(arrived)
    arrived.replace(stack.prices)
    stack.wait(lambda: stack.latest() == "2015-12-31")
    refresh = [run for run in stack.runs() if run["runId"] not in before]
    for run in refresh:
        service = run["repositoryOrigin"]["repositoryLocationName"]
        assert run["tags"]["dagster/image"] == f"localhost/hawk/{service}:latest"
    assert {run["repositoryOrigin"]["repositoryLocationName"] for run in refresh} == {*SERVICES}
    containers = [run["tags"]["docker/container_id"] for run in refresh]
    assert len(set(containers)) == len(containers)
