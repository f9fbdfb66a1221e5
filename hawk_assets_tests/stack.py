"""The whole deployment on loopback: PostgreSQL, UI, daemon and four code servers.

The processes are those of production, on the instance settings of ``deployments/docker``; only the
containers are missing. ``make stack`` runs it until it is stopped; tests run it and break it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from hawk_assets.orchestration.plan import SERVICES
from hawk_assets.orchestration.settings import EVENT_BATCH
from hawk_assets_tests.pipelines import REPOSITORY
from hawk_assets_tests.postgres import Cluster, free_port, open_cluster

_PROGRAMS = Path(sys.executable).parent
# A code server asked to end waits for its runs, the daemon for its threads.
_GRACE_SECONDS = 20
_START_SECONDS = 120
_LOCATIONS = """
{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries { entries { name loadStatus } } }
  workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message } } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""
_RUNS = """
query ($cursor: String) { runsOrError(limit: 1000, cursor: $cursor) { ... on Runs { results {
  runId status creationTime startTime endTime parentRunId tags { key value }
  assets { key { path } } repositoryOrigin { repositoryLocationName } } } } }
"""


@dataclass(frozen=True)
class Run:
    """A run as the UI tells it. Times are seconds since 1970, 0 where there is none yet.

    :param location: the code location it belongs to; None for one of the ``hawk`` command
    """

    run_id: str
    status: str
    location: str | None
    tables: tuple[str, ...]
    months: tuple[str, str]
    created: float
    started: float
    ended: float
    parent: str | None

    @property
    def stage(self) -> str:
        return ", ".join(sorted({table.split("/")[0] for table in self.tables}))


@dataclass
class Stack:
    """The processes, by name: the four services, ``webserver`` and ``daemon``.

    :param folder: logs, ``DAGSTER_HOME`` and the output of runs
    :param env: settings, on top of this process's environment
    :param services: a module with the services as attributes; None: the real ones
    """

    folder: Path
    cluster: Cluster
    env: dict[str, str]
    services: str | None = None
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['webserver']}"

    @property
    def home(self) -> Path:
        return self.folder / "dagster"

    def prepare(self, settings: Mapping[str, Any]) -> None:
        """Write the instance settings and the workspace.

        :param settings: on top of those of ``deployments/docker``
        """
        self.home.mkdir(parents=True)
        deployed = (REPOSITORY / "deployments" / "docker" / "dagster.yaml").read_text()
        launcher = {
            "module": "hawk_assets.orchestration.launcher",
            "class": "WatchedRunLauncher",
        }
        instance = yaml.safe_load(deployed) | {"run_launcher": launcher}
        for name, values in settings.items():
            instance[name] = instance[name] | values
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(instance))
        for name in (*SERVICES, "webserver"):
            self.ports[name] = free_port()
        servers = [
            {"grpc_server": {"host": "127.0.0.1", "port": self.ports[s], "location_name": s}}
            for s in SERVICES
        ]
        (self.home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": servers}))
        self.env |= {
            "DAGSTER_HOME": str(self.home),
            "HAWK_COMPUTE_LOGS": str(self.folder / "compute_logs"),
            "HAWK_POSTGRES_HOST": "127.0.0.1",
            "HAWK_POSTGRES_PORT": str(self.cluster.port),
            "HAWK_POSTGRES_USER": "postgres",
            "HAWK_POSTGRES_PASSWORD": self.cluster.password,
            "HAWK_POSTGRES_DB": "postgres",
            EVENT_BATCH[0]: EVENT_BATCH[1],
            "PYTHONPATH": str(REPOSITORY),
        }

    def start(self, *names: str) -> None:
        for name in names:
            with open(self.folder / f"{name}.log", "ab") as log:
                # In a session of its own, so that Ctrl-C reaches it from here, in order.
                self.processes[name] = subprocess.Popen(
                    self._command(name),
                    cwd=self.folder,
                    env=os.environ | self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def _command(self, name: str) -> list[str]:
        workspace = ["-w", str(self.home / "workspace.yaml")]
        if name == "daemon":
            return [str(_PROGRAMS / "dagster-daemon"), "run", *workspace]
        address = ["-h", "127.0.0.1", "-p", str(self.ports[name])]
        if name == "webserver":
            return [str(_PROGRAMS / "dagster-webserver"), *address, *workspace]
        module = [self.services, "-a", name] if self.services else [f"hawk_assets.services.{name}"]
        served = ["-m", *module, "--location-name", name]
        return [str(_PROGRAMS / "dagster"), "api", "grpc", *address, *served]

    def kill(self, name: str) -> None:
        """End a process without a word to it."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, *names: str) -> None:
        """Ask processes to end, all of them by default; kill those that do not."""
        ending = {name: self.processes.pop(name) for name in names or tuple(self.processes)}
        for process in ending.values():
            process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in ending.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_until_up(self) -> None:
        """Wait for the UI, all code locations and daemons.

        :raises RuntimeError: a process has ended, a location does not load or it takes too long
        """

        def is_up() -> bool:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} has ended:\n{self.log(name)[-4000:]}")
            try:
                answer = self.ask(_LOCATIONS)
            except (requests.RequestException, RuntimeError):
                return False
            entries = answer["workspaceOrError"].get("locationEntries", [])
            found = [entry["locationOrLoadError"] or {} for entry in entries]
            daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
            return [f.get("__typename") for f in found] == ["RepositoryLocation"] * len(
                SERVICES
            ) and all(d["healthy"] for d in daemons if d["required"])

        self.wait(is_up, _START_SECONDS, "the stack did not come up")

    def wait(self, condition: Any, seconds: float, otherwise: str) -> Any:
        """What ``condition()`` gives as soon as it is true.

        :raises RuntimeError: it has not come true, with what was going on
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{otherwise} within {seconds} s\n{self.summary()}")
            time.sleep(0.25)
        return found

    def log(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def summary(self) -> str:
        """Runs and the last words of every process, for a test that fails."""
        try:
            runs = [f"{r.status} {r.location} {r.stage} {r.months} {r.run_id}" for r in self.runs()]
        except (requests.RequestException, RuntimeError) as error:
            runs = [repr(error)]
        logs = [f"--- {name}\n{self.log(name)[-1500:]}" for name in (*SERVICES, "daemon")]
        return "\n".join([*runs, *logs])

    def run(self, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command on this stack's instance, such as ``hawk_assets.cli``."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=os.environ | self.env,
            capture_output=True,
            text=True,
        )

    # What the UI knows

    def ask(self, query: str, **variables: Any) -> Any:
        """A GraphQL query's data.

        :raises RuntimeError: GraphQL's own errors
        """
        answer = requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30
        )
        content = answer.json()
        if content.get("errors"):
            raise RuntimeError(json.dumps(content["errors"], indent=1))
        return content["data"]

    def runs(self) -> list[Run]:
        """All runs, in the order they were created."""
        found: list[Run] = []
        results = self.ask(_RUNS)["runsOrError"]["results"]
        for r in results:
            tags = {tag["key"]: tag["value"] for tag in r["tags"]}
            month = tags.get("dagster/partition", "")
            origin = r["repositoryOrigin"]
            found.append(
                Run(
                    r["runId"],
                    r["status"],
                    origin and origin["repositoryLocationName"],
                    tuple(sorted("/".join(asset["key"]["path"]) for asset in r["assets"])),
                    (
                        tags.get("dagster/asset_partition_range_start", month),
                        tags.get("dagster/asset_partition_range_end", month),
                    ),
                    r["creationTime"] or 0.0,
                    r["startTime"] or 0.0,
                    r["endTime"] or 0.0,
                    r["parentRunId"],
                )
            )
        return sorted(found, key=lambda run: run.created)


@contextmanager
def open_stack(
    folder: Path,
    env: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    services: str | None = None,
    seed: Sequence[str] = ("hawk_assets.cli", "backfill"),
) -> Iterator[Stack]:
    """The stack with its history made, up and loaded; ended afterwards.

    The daemon comes last: while a backfill makes stage after stage, what is not there yet looks
    stale, and would be made twice.

    :param folder: empty, or not there yet
    :param env: where the prices come from and the tables go, and what else is set
    :param seed: the command that makes the history
    :raises RuntimeError: it does not come up
    """
    with ExitStack() as stack:
        cluster = stack.enter_context(open_cluster())
        it = Stack(folder, cluster, dict(env), services)
        stack.callback(it.stop)
        it.prepare(settings or {})
        it.start(*SERVICES, "webserver")
        made = it.run(*seed)
        if made.returncode:
            raise RuntimeError(f"the history was not made:\n{made.stdout}{made.stderr}")
        it.start("daemon")
        it.wait_until_up()
        yield it
