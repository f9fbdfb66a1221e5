"""The Dagster UI as a user starts it, in a clone of the project: its history, and its dialogs.

Skipped in part where Debian's chromium is absent.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from hawk_assets_tests.pipelines import REPOSITORY
from hawk_assets_tests.postgres import free_port

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PROGRAMS = Path(sys.executable).parent
MODELS = {"__init__.py", "rsi.py"}
START_SECONDS, RUN_SECONDS, BACKFILL_SECONDS = 180, 300, 600
NOT_CLONED = (".git", ".venv", ".hawk", "__pycache__", ".*_cache", "*.egg-info", "build", "dist")
# Dagster's daemon looks after backfills every 30 seconds, and there is no setting for that.
IMPATIENT_DAEMON = """
import dagster._daemon.controller as controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
from dagster._daemon.cli import main
main()
"""
HISTORY = """
{ runsOrError { ... on Runs { results { status } } }
  assetNodes { assetKey { path } partitionStats { numPartitions numMaterialized numFailed } } }
"""
RUN = """
query ($id: ID!) { runOrError(runId: $id) { ... on Run { status assets { key { path } } } } }
"""
BACKFILL = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status error { message } } } }
"""


class Clone:
    """A clone with a few model files, in which ``hawk backfill`` has run, with default folders.

    :param months: the months of its history, as partition keys
    """

    def __init__(self, folder: Path, models: Container[str] = MODELS) -> None:
        """:param models: the files of ``hawk_assets/models`` that it keeps"""
        self.folder = folder
        self.months = [
            f"{m:%Y-%m-01}"
            for m in pd.date_range(end=pd.Timestamp.now("UTC"), periods=3, freq="MS")
        ]
        shutil.copytree(
            REPOSITORY, folder, symlinks=True, ignore=shutil.ignore_patterns(*NOT_CLONED)
        )
        for file in (folder / "hawk_assets" / "models").glob("*.py"):
            if file.name not in models:
                file.unlink()
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER_", "HAWK_"))}
        self.env = plain | {
            "PYTHONPATH": str(folder),
            "HAWK_START": self.months[0],
            "HAWK_SOLVER": "clarabel",
            "HAWK_TICK_SECONDS": "3600",  # what the daemon starts by itself is not looked at here
        }
        self.run("hawk", "backfill")

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [PROGRAMS / program, *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tables(self) -> list[str]:
        """As Dagster lists them; this one of its commands wants the module named."""
        return self.run("dagster", "asset", "list", "-m", "hawk_assets.definitions").split()

    @contextmanager
    def started(self, *command: object) -> Iterator[None]:
        with open(self.folder / "server.log", "ab") as log:
            process = subprocess.Popen(
                [*map(str, command)],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with suppress(ProcessLookupError):  # its own session: all that it has started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("ui") / "hawk_assets")


@pytest.fixture
def url(clone: Clone) -> Iterator[str]:
    """The UI and a daemon of the clone, as ``dagster dev`` starts them."""
    port = free_port()
    address = ("-h", "127.0.0.1", "-p", port, "-w", "workspace.yaml")
    clone.env["DAGSTER_HOME"] = str(clone.folder / ".hawk" / "dagster")
    with (
        clone.started(PROGRAMS / "dagster-webserver", *address),
        clone.started(sys.executable, "-c", IMPATIENT_DAEMON, "run", "-w", "workspace.yaml"),
    ):
        url = f"http://127.0.0.1:{port}"
        wait_for_ui(url)
        yield url
    del clone.env["DAGSTER_HOME"]


def ask(url: str, query: str, **variables: str) -> dict[str, Any]:
    answer = requests.post(
        f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60
    ).json()
    assert not answer.get("errors"), answer
    found: dict[str, Any] = answer["data"]
    return found


def wait_for_ui(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with suppress(requests.ConnectionError):
            if ask(url, HISTORY)["assetNodes"]:
                return
        time.sleep(0.5)
    raise AssertionError(f"no UI after {START_SECONDS} s")


def wait_for(url: str, query: str, key: str, seconds: float) -> Mapping[str, Any]:
    """A run or a backfill, when it has succeeded."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        (found,) = ask(url, query, id=key).values()
        if found["status"] in ("SUCCESS", "COMPLETED_SUCCESS"):
            return dict(found)
        assert not found["status"].endswith(("FAILURE", "FAILED", "CANCELED")), found
        time.sleep(0.5)
    raise AssertionError(f"{key} has not ended after {seconds} s: {found}")


def test_plain_dagster_dev_shows_what_hawk_has_materialised(clone: Clone) -> None:
    port = free_port()
    with clone.started(PROGRAMS / "dagster", "dev", "-h", "127.0.0.1", "-p", port):
        url = f"http://127.0.0.1:{port}"
        wait_for_ui(url)
        found = ask(url, HISTORY)
    assert {run["status"] for run in found["runsOrError"]["results"]} == {"SUCCESS"}
    tables = {"/".join(node["assetKey"]["path"]) for node in found["assetNodes"]}
    assert tables == set(clone.tables())
    assert {"market_data", "model_states/rsi_14", "combined_insights"} <= tables
    n_months = len(clone.months)
    assert all(
        node["partitionStats"]
        == {"numPartitions": n_months, "numMaterialized": n_months, "numFailed": 0}
        for node in found["assetNodes"]
    )


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs chromium")
def test_a_month_is_materialised_and_a_range_backfilled_from_the_dialog(
    clone: Clone, url: str
) -> None:
    tables = len(clone.tables())
    with browser() as page:
        run = launch(page, url, clone.months[-1], tables)
        done = wait_for(url, RUN, run, RUN_SECONDS)
        assert len(done["assets"]) == tables
        backfill = launch(page, url, f"[{clone.months[-2]}...{clone.months[-1]}]", tables)
        wait_for(url, BACKFILL, backfill, BACKFILL_SECONDS)
    runs = ask(url, HISTORY)["runsOrError"]["results"]
    assert not {run["status"] for run in runs} & {"FAILURE", "CANCELED"}


@contextmanager
def browser(width: int = 1600, height: int = 1000) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        try:
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(60_000)
            yield page
        finally:
            chromium.close()


def launch(page: Any, url: str, months: str, tables: int) -> str:
    """Materialize all, for the months; the id of the run or of the backfill."""
    from playwright.sync_api import expect

    page.goto(f"{url}/asset-groups")
    page.get_by_text("Global asset lineage").first.wait_for()
    page.get_by_role("button", name="Materialize all").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Partition selection")
    expect(dialog).to_contain_text(f"Launch runs to materialize {tables} assets")
    start = dialog.get_by_role("button", name=re.compile("^Launch (1 run|backfill)$"))
    expect(start).to_be_visible()
    hidden = dialog.get_by_text("Showing the last 90 days")
    if hidden.is_visible():
        dialog.get_by_role("button", name="Show all partitions").click()
        expect(hidden).to_be_hidden()
    chosen = dialog.locator("input[type=text]")
    chosen.fill(months)
    chosen.press("Enter")
    expect(dialog).not_to_contain_text("Error loading base asset job")
    expect(dialog).not_to_contain_text("0 partitions")
    expect(start).to_be_enabled()
    names = ("LaunchPipelineExecution", "LaunchPartitionBackfill")

    def is_launch(response: Any) -> bool:
        sent = json.loads(response.request.post_data or "{}") if "/graphql" in response.url else {}
        return isinstance(sent, dict) and sent.get("operationName") in names

    with page.expect_response(is_launch) as answer:
        start.click()
    (result,) = answer.value.json()["data"].values()
    assert result["__typename"] in ("LaunchRunSuccess", "LaunchBackfillSuccess"), result
    return str(result["run"]["id"] if "run" in result else result["backfillId"])
