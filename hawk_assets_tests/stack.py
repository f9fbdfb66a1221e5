"""The whole deployment on loopback: warehouse, bucket, PostgreSQL, UI, daemon and four services.

The processes are those of production, on the instance settings of ``deployments/docker``; only the
containers are missing, and the warehouse and the bucket are doubles that Google's own clients talk
to. ``make stack`` runs it until Ctrl-C; tests run it and break it.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest
import requests
import yaml

from hawk_assets.core.sessions import key_of, month_of, sessions_of, shift
from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets.orchestration.settings import EVENT_BATCH
from hawk_assets.sources.sample import SampleMarket, today
from hawk_assets_tests.doubles.bigquery import BigQueryDouble
from hawk_assets_tests.doubles.gcs import Gcs, gcs_server
from hawk_assets_tests.pipelines import REPOSITORY
from hawk_assets_tests.postgres import Cluster, free_port, open_cluster

_PROGRAMS = Path(sys.executable).parent
# A code server asked to end waits for its runs, the daemon for its threads.
_GRACE_SECONDS = 20
_START_SECONDS = 180
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BARS, REPORTS = "hawk-desk.market.bars", "hawk-desk.market.commitments"
BUCKET, BOOK = "hawk-desk", "combined_insights"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_BOOK_SECONDS = 600
_HELD_BACK = 15
_STALE_CONNECTIONS = 20
_T = TypeVar("_T")
_LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message } } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""
_RUNS = """
query ($cursor: String) { runsOrError(limit: 1000, cursor: $cursor) { ... on Runs { results {
  runId status creationTime startTime endTime parentRunId tags { key value }
  assets { key { path } } repositoryOrigin { repositoryLocationName } } } } }
"""

_LOG = """
query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
  ... on MessageEvent { message } } } } }
"""
_SENSOR = """
query ($at: SensorSelector!) { sensorOrError(sensorSelector: $at) {
  ... on PythonError { message } ... on SensorNotFoundError { message } ... on Sensor {
  sensorState { id status ticks(limit: 1) {
    status timestamp error { message causes { message } } } } } } }
"""
_START = """
mutation ($at: SensorSelector!) { startSensor(sensorSelector: $at) { __typename } }
"""
_STOP = """
mutation ($id: String!) { stopSensor(id: $id) { __typename } }
"""
_BACKFILL = """
mutation ($of: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $of) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_BACKFILL_STATUS = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
  __typename ... on PartitionBackfill { status error { message } } } }
"""


@dataclass(frozen=True)
class Run:
    """A run as the UI reports it. Times are seconds since 1970, 0 where there is none yet.

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


class Market:
    """The sample market in the warehouse, some sessions behind: ``add_session`` adds one of these.

    :param start: first day of the history
    :param held_back: how many sessions are not in the warehouse yet
    """

    def __init__(
        self, warehouse: BigQueryDouble, start: pd.Timestamp, held_back: int = _HELD_BACK
    ) -> None:
        self._warehouse, span = warehouse, (start, today())
        sample = SampleMarket(*span)
        self.bars = sample.fetch_market_data(*span)
        self._reports = sample.fetch_commitments_of_traders(*span)
        self._sessions = sessions_of(self.bars["date"])
        self._shown = len(self._sessions) - held_back
        self.publish()

    @property
    def session(self) -> pd.Timestamp:
        """The latest session in the warehouse."""
        return self._sessions[self._shown - 1]

    def add_session(self) -> pd.Timestamp:
        """Put the next session into the warehouse.

        :raises IndexError: there is none left
        """
        if self._shown == len(self._sessions):
            raise IndexError("the sample market ends yesterday: no session is left")
        self._shown += 1
        self.publish()
        return self.session

    def restate(self, months_back: int) -> pd.Timestamp:
        """Raise one close, by a hundredth, in the middle of an earlier month.

        :return: its date
        """
        month = self.session.to_period("M") - months_back
        rows = self.bars.index[(self.bars["date"].dt.to_period("M") == month) & self._whole]
        row = rows[len(rows) // 2]
        self.bars.loc[row, "close"] = round(self.bars.loc[row, "close"] * 1.01, 4)
        self.bars.loc[row, "high"] = max(self.bars.loc[row, ["high", "close"]])
        self.publish()
        return pd.Timestamp(self.bars.loc[row, "date"])

    @property
    def _whole(self) -> "pd.Series[bool]":
        return self.bars[["high", "close"]].notna().all(axis=1)

    def publish(self) -> None:
        """Write the tables, up to the session that is public by now."""
        now = self.session
        self._warehouse.put(REPORTS, self._reports[self._reports["release_date"] <= now])
        self._warehouse.put(BARS, self.bars[self.bars["date"] <= now])


@dataclass
class Stack:
    """The processes, by name: the four services, ``webserver`` and ``daemon``.

    :param warehouse: BigQuery, for faults; what is in it is for ``market`` to say
    :param bucket: Google Cloud Storage, for faults and for what is stored
    :param folder: logs, ``DAGSTER_HOME`` and the output of runs
    :param env: settings, on top of this process's environment
    :param services: a module with the services as attributes; None: the real ones
    """

    warehouse: BigQueryDouble
    bucket: Gcs
    market: Market
    cluster: Cluster
    folder: Path
    env: dict[str, str]
    services: str | None = None
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    commands: list["subprocess.Popen[str]"] = field(default_factory=list)

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
            "module": "hawk_assets.orchestration.instance.run_launchers",
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
        """Kill a process without a warning."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, *names: str) -> None:
        """Ask processes to end, all of them by default; kill those that do not, and their runs."""
        ending: list[subprocess.Popen[Any]] = [
            self.processes.pop(name) for name in names or tuple(self.processes)
        ]
        if not names:
            ending += [process for process in self.commands if process.poll() is None]
        for process in ending:
            process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in ending:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            # The runs of a code server are of its session, and may outlive it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait_until_up(self, daemons: bool = True) -> None:
        """Wait for the UI and all code locations, and the daemons or not.

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
            loaded = [f for f in found if f.get("__typename") == "RepositoryLocation"]
            health = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
            return len(loaded) == len(SERVICES) and (
                not daemons or all(d["healthy"] for d in health if d["required"])
            )

        self.wait(is_up, _START_SECONDS, "the stack did not come up")

    def wait(self, condition: Callable[[], _T], seconds: float, otherwise: str) -> _T:
        """What ``condition()`` gives as soon as it is true.

        :raises RuntimeError: it has not come true, with what was going on
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{otherwise} within {seconds} s\n{self.summary()}")
            time.sleep(0.25)
        return found

    def stored(self, table: str, month: pd.Timestamp) -> pd.DataFrame:
        """A month of a dated table as it lies in the bucket; no rows where it does not."""
        found = self.bucket.objects(BUCKET).get(f"desk/{table}/{key_of(month)}.parquet")
        if found is None:
            return pd.DataFrame()
        frame = pd.read_parquet(BytesIO(found.content))
        return frame.assign(date=pd.to_datetime(frame["date"]))

    def last_booked(self) -> pd.Timestamp | None:
        """The last session of the book in the bucket."""
        last = month_of(key_of(self.market.session))
        books = [self.stored(BOOK, month) for month in (last, shift(last, -1))]
        return max((book["date"].max() for book in books if len(book)), default=None)

    def unfinished(self) -> list[Run]:
        """The runs that are queued or under way."""
        return [run for run in self.runs() if run.status not in ENDED]

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

    def begin(self, module: str, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        """A command on this stack's instance, such as ``hawk_assets.cli``; its output is one.

        :param env: settings that are others than the stack's
        """
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=os.environ | self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.commands.append(process)
        return process

    def process_of(self, run: Run) -> int:
        """The process of a run under way."""
        events = self.ask(_LOG, run=run.run_id)["logsForRun"]["events"]
        texts = [event.get("message", "") for event in events]
        found = [re.fullmatch(r"Started process for run \(pid: (\d+)\).", text) for text in texts]
        return next(int(match[1]) for match in found if match)

    # What the UI knows

    def ask(self, query: str, **variables: Any) -> Any:
        """A GraphQL query's data.

        :raises RuntimeError: GraphQL's own errors
        """
        asked = {"query": query, "variables": variables}
        for _ in range(_STALE_CONNECTIONS):
            answer = requests.post(f"{self.url}/graphql", json=asked, timeout=60)
            # PostgreSQL was restarted: the UI learns it from each connection that it has kept.
            if "psycopg2.OperationalError" not in answer.text:
                break
            time.sleep(0.2)
        content = answer.json()
        if content.get("errors"):
            raise RuntimeError(json.dumps(content["errors"], indent=1))
        return content["data"]

    def sensor(self, service: str, name: str) -> dict[str, Any]:
        """Its ``id``, ``status`` and latest of ``ticks``."""
        found = self.ask(_SENSOR, at=_selector(service, name))
        if "message" in found["sensorOrError"]:
            raise RuntimeError(found["sensorOrError"]["message"])
        return dict(found["sensorOrError"]["sensorState"])

    def pause(self, service: str, name: str) -> None:
        done = self.ask(_STOP, id=self.sensor(service, name)["id"])
        assert done["stopSensor"]["__typename"] == "StopSensorMutationResult"

    def resume(self, service: str, name: str) -> None:
        done = self.ask(_START, at=_selector(service, name))
        assert done["startSensor"]["__typename"] == "Sensor"

    def backfill(self, tables: Sequence[str], months: Sequence[str]) -> str:
        """Start a backfill of tables and partition keys; its id."""
        assets = [{"path": table.split("/")} for table in tables]
        asked = {"assetSelection": assets, "partitionNames": list(months)}
        done = self.ask(_BACKFILL, of=asked)["launchPartitionBackfill"]
        assert done["__typename"] == "LaunchBackfillSuccess", done
        return str(done["backfillId"])

    def backfill_status(self, backfill: str) -> str:
        found = self.ask(_BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]
        assert not found["error"], found
        return str(found["status"])

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


def _selector(service: str, sensor: str) -> dict[str, str]:
    repository = {"repositoryName": "__repository__", "repositoryLocationName": service}
    return {**repository, "sensorName": sensor}


@contextmanager
def open_stack(
    folder: Path,
    start: pd.Timestamp,
    env: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    services: str | None = None,
    seed: Sequence[str] = ("hawk_assets.cli", "backfill"),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Stack]:
    """The stack, running, with its history backfilled; stopped afterwards.

    The daemon starts last: during a backfill later stages look stale, and would be materialised
    twice.

    :param folder: an empty one
    :param start: first month of the history
    :param env: further settings
    :param settings: Dagster's, on top of those of ``deployments/docker``
    :param services: see ``Stack``
    :param seed: the command that backfills the history
    :param say: called with a line at each step
    :raises RuntimeError: it does not start
    """
    with ExitStack() as stack:
        warehouse = BigQueryDouble()
        google = stack.enter_context(warehouse.running(folder))
        bucket = stack.enter_context(gcs_server(BUCKET))
        cluster = stack.enter_context(open_cluster())
        values = {
            "HAWK_MARKET_DATA": f"bigquery://{BARS.replace('.', '/')}",
            "HAWK_COMMITMENTS": f"bigquery://{REPORTS.replace('.', '/')}",
            "HAWK_STORAGE": f"gs://{BUCKET}/desk",
            "HAWK_START": key_of(start),
            "HAWK_END": "",
            "STORAGE_EMULATOR_HOST": bucket.url,
            **google,
            **env,
        }
        market = Market(warehouse, start)
        it = Stack(warehouse, bucket, market, cluster, folder, values, services)
        stack.callback(it.stop)
        it.prepare(settings or {})
        _finish(it.begin("hawk_assets.cli", "migrate"))  # as the container ``schema`` does
        it.start(*SERVICES, "webserver")
        say(f"starting; the Dagster UI will be on {it.url}")
        backfill = it.begin(*seed)
        it.wait_until_up(daemons=False)
        say(f"up: {it.url}  (backfilling, {key_of(start)[:7]} to {market.session:%Y-%m-%d})")
        _finish(backfill)
        it.start("daemon")
        it.wait_until_up()
        yield it


def _finish(process: "subprocess.Popen[str]") -> None:
    """:raises RuntimeError: it fails; with its output"""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{shlex.join(process.args)} failed:\n{output}")


@dataclass(frozen=True)
class Span:
    """A stretch of the way from new rows to the book, in seconds."""

    stage: str
    hand_over: float
    launch: float
    compute: float


def way_to(table: str, runs: Sequence[Run], fed: float) -> list[Span]:
    """The runs that the latest one of ``table`` waited for, first to last.

    :param runs: those since the rows were fed
    :param fed: when that was, in seconds since 1970
    :return: per run the seconds from what it waited for to its creation, from there to its first
        step, and from there to its end. What the first one waited for is the feeding: detection
    """
    run = max((r for r in runs if table in r.tables and r.ended), key=lambda r: r.ended)
    way: list[Span] = []
    while True:
        before = [r for r in runs if r.ended and r.ended <= run.created]
        last = max(before, key=lambda r: r.ended, default=None)
        since = last.ended if last else fed
        way.insert(
            0,
            Span(
                run.stage, run.created - since, run.started - run.created, run.ended - run.started
            ),
        )
        if last is None:
            return way
        run = last


def report(way: Sequence[Span]) -> str:
    """Seconds from new rows to the end of the way, by what they were spent on."""
    detection = way[0].hand_over
    hand_over = sum(span.hand_over for span in way) - detection
    launch, compute = sum(span.launch for span in way), sum(span.compute for span in way)
    return "\n".join(
        [
            f"{'':<46}{'wait':>6}{'launch':>8}{'compute':>9}",
            *(
                f"{span.stage:<46}{span.hand_over:>6.1f}{span.launch:>8.1f}{span.compute:>9.1f}"
                for span in way
            ),
            f"{detection + hand_over + launch + compute:.0f} s from new rows to the book: "
            f"detection {detection:.0f}, launch {launch:.0f}, compute {compute:.0f}, "
            f"hand-over {hand_over:.0f}",
        ]
    )


def until_booked(stack: Stack, known: Container[str]) -> list[Run]:
    """Wait until the book has the warehouse's last session and has been simulated.

    :param known: ids of earlier runs
    :return: the runs that it took, when the last of them has ended
    """
    session = stack.market.session

    def new() -> list[Run]:
        return [run for run in stack.runs() if run.run_id not in known]

    def is_done() -> bool:
        runs = new()
        simulated = [r for r in runs if "combined_performance" in r.tables]
        return (
            stack.last_booked() == session
            and any(run.status == "SUCCESS" for run in simulated)
            and all(run.status in ENDED for run in runs)
        )

    stack.wait(is_done, _BOOK_SECONDS, f"the book has no {session:%Y-%m-%d}")
    return new()


HELP = """new       one more session in the warehouse
restate   a price of three months ago is corrected
Ctrl-C    ends everything
"""


def main() -> None:
    """Run it on the sample market, with new rows on request, until Ctrl-C."""
    for end in _ENDING:  # a shell's background job ignores the first
        signal.signal(end, _interrupt)
    start = pd.Timestamp(os.environ.get("HAWK_START") or f"{shift(today(), -24):%Y-%m-01}")
    with tempfile.TemporaryDirectory(prefix="hawk") as folder:
        try:
            with open_stack(Path(folder), start, {"HAWK_TICK_SECONDS": "5"}, say=_say) as stack:
                _say(f"running: {stack.url}  (logs in {folder})\n{HELP}")
                _serve(stack)
        except KeyboardInterrupt:
            _say("ended")
        except (RuntimeError, pytest.skip.Exception) as error:
            sys.exit(str(error))


def _interrupt(signum: int, frame: object) -> None:
    """Ask for the end once: a second signal would leave processes behind."""
    for end in _ENDING:
        signal.signal(end, signal.SIG_IGN)
    raise KeyboardInterrupt


def _serve(stack: Stack) -> None:
    """Take commands from the keyboard; without one, wait."""
    for line in sys.stdin:
        if line.strip() == "new":
            known, fed = {run.run_id for run in stack.runs()}, time.time()
            _say(f"{stack.market.add_session():%Y-%m-%d} is in the warehouse")
            _say(report(way_to(BOOK, until_booked(stack, known), fed)))
        elif line.strip() == "restate":
            _say(
                f"a price of {stack.market.restate(3):%Y-%m-%d} is corrected; see {stack.url}/runs"
            )
        else:
            _say(HELP)
    while True:
        time.sleep(1)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
