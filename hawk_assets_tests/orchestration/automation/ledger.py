"""The pipeline without its numbers: the real catalog, and runs that can be held half way.

The content of a month is a fingerprint of the contents it was computed from. So what automation
leaves behind can be compared with a pipeline computed from scratch.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby

import dagster as dg
import numpy as np
import pandas as pd
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.dagster_run import DagsterRun, DagsterRunStatus

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.types import TableKey
from hawk_assets.insights.sizing import DEFAULT_SIZING
from hawk_assets.models.ema_cross import EmaCross
from hawk_assets.orchestration.assets.stage import build_stage
from hawk_assets.orchestration.automation.conditions import build_automation
from hawk_assets.orchestration.automation.staleness import History, months_to_request
from hawk_assets.orchestration.catalog import RAW_DATA, Table, build_catalog
from hawk_assets.orchestration.instance.internals import MATERIALISED, PLANNED
from hawk_assets.simulation.settings import SimulationSettings

A, B = "ema_cross_2_9", "ema_cross_3_9"
JOB = "__ASSET_JOB"
Month = tuple[TableKey, str]
NUMBERS: defaultdict[str, int] = defaultdict(lambda: len(NUMBERS))
"""Runs by name as numbers."""


def small_catalog(reach: int = 2) -> dict[TableKey, Table]:
    """The real catalog for models A and B; no table looks back further than ``reach`` months."""
    models = {m.name: m for m in (EmaCross(2, 9), EmaCross(3, 9))}
    return {
        key: replace(
            table, upstreams=tuple(replace(i, first=max(i.first, -reach)) for i in table.upstreams)
        )
        for key, table in build_catalog(
            models, SimulationSettings(), AggregationParameters(), DEFAULT_SIZING
        ).items()
    }


def small_defs(
    catalog: Mapping[TableKey, Table], partitions: dg.MonthlyPartitionsDefinition
) -> dg.Definitions:
    """Definitions as the pipeline's own, of steps that are never run."""
    stages = groupby(catalog.values(), key=lambda table: table.stage)
    return dg.Definitions(
        assets=[build_stage(name, list(o), partitions, lambda run: ()) for name, o in stages],
        sensors=[build_automation("hawk", 30)],
        resources={"storage": object(), "io_manager": dg.mem_io_manager},
    )


def record(instance: dg.DagsterInstance, run_id: str, kind: str, months: Iterable[Month]) -> None:
    """Write one event per month of a table into the event log, in order, as a run does."""
    events = []
    for path, month in months:
        key = dg.AssetKey(path)
        data = (
            AssetMaterializationPlannedData(key, partition=month)
            if kind == PLANNED
            else StepMaterializationData(dg.AssetMaterialization(key, partition=month))
        )
        event = DagsterEvent(kind, JOB, event_specific_data=data)
        events.append(
            EventLogEntry(None, 20, "", run_id, time.time(), job_name=JOB, dagster_event=event)
        )
    instance.event_log_storage.store_event_batch(events)


def latest(events: Sequence[tuple[int, str, str]]) -> tuple[int, str, int, str]:
    """One month of a ``History``, in the words of its docstring; runs by name.

    :param events: id, kind and run of each event of the month, in order; a run without a name is
        somebody's report that the month has been materialised
    """
    materialised, _, materialised_by = next(
        (e for e in reversed(events) if e[1] == MATERIALISED), (0, "", "never")
    )
    planned, _, planned_by = next((e for e in reversed(events) if e[1] == PLANNED), (0, "", ""))
    if materialised > planned and materialised_by == "":
        return materialised, materialised_by, materialised, "never"
    if materialised > planned and materialised_by != planned_by:
        return materialised, materialised_by, 0, "never"
    return materialised, materialised_by, planned, planned_by or "never"


@dataclass(frozen=True)
class Run:
    """:param stored: content of the months it will store
    :param seen: how often each month had been materialised when the run read its upstreams
    """

    run_id: str
    planned: list[Month]
    stored: dict[Month, int]
    seen: dict[Month, int]


class Ledger:
    """What has been materialised and from what, with an event log on paper.

    :param catalog: its tables
    :param months: partition keys
    """

    def __init__(self, catalog: Mapping[TableKey, Table], months: Sequence[str]) -> None:
        self.catalog, self.months = catalog, list(months)
        self.source = dict.fromkeys(months, 0)
        self.contents: dict[Month, int] = {}
        self.times_materialised: dict[Month, int] = {}
        self.computed_from: dict[Month, dict[Month, int]] = {}
        self.failed_on: dict[Month, dict[Month, int]] = {}
        self.broken: set[TableKey | Month] = set()
        self._runs, self._ids = count(1), count(1)
        self._active: set[str] = set()
        self._events: dict[Month, list[tuple[int, str, str]]] = {}

    def upstreams(self, key: TableKey, month: str) -> list[tuple[Month, bool]]:
        """The months that a month reads, and whether it can do without."""
        at = self.months.index(month)
        return [
            ((source.key, self.months[at + offset]), source.optional)
            for source in self.catalog[key].upstreams
            for offset in range(source.first, source.last + 1)
            if 0 <= at + offset < len(self.months)
        ]

    def content(self, month: Month, contents: Mapping[Month, int]) -> int:
        """What a month is when computed from ``contents`` now."""
        if not self.catalog[month[0]].upstreams:
            return hash((month, self.source[month[1]]))
        return hash((month, *(contents.get(read) for read, _ in self.upstreams(*month))))

    def begin(self, keys: Iterable[TableKey], months: Sequence[str]) -> Run:
        """Plan a run and read its upstreams; a table that is broken or lacks one is skipped."""
        chosen = [key for key in self.catalog if key in set(keys)]
        planned = [(key, month) for key in chosen for month in months]
        run_id = f"run-{next(self._runs)}"
        self.start(run_id)
        self.record(run_id, PLANNED, planned)
        stored: dict[Month, int] = {}
        # A month that this run was to materialise and has not is not read as it was before.
        before = {month: c for month, c in self.contents.items() if month not in set(planned)}
        for key in chosen:
            table: dict[Month, int] = {}
            for month in months:
                there = before | stored | table
                needed = {r for r, optional in self.upstreams(key, month) if not optional}
                if {key, (key, month)} & self.broken or not needed <= there.keys():
                    break
                table[key, month] = self.content((key, month), there)
            else:
                stored |= table
        return Run(run_id, planned, stored, dict(self.times_materialised))

    def end(self, run: Run) -> None:
        """Store what a run has computed."""
        for month in run.stored:
            self.times_materialised[month] = self.times_materialised.get(month, 0) + 1
        for month in run.planned:
            read = {
                r: (self.times_materialised if r in run.stored else run.seen).get(r, 0)
                for r, _ in self.upstreams(*month)
            }
            if month in run.stored:
                self.contents[month], self.computed_from[month] = run.stored[month], read
                self.failed_on.pop(month, None)
            else:
                self.failed_on[month] = {r: n for r, n in read.items() if r not in run.planned}
        self.record(run.run_id, MATERIALISED, run.stored)
        self.finish(run.run_id, len(run.stored) == len(run.planned))

    def crash(self, run: Run) -> None:
        """End a run before it has stored anything."""
        self.end(replace(run, stored={}))

    def materialise(self, keys: Iterable[TableKey], months: Sequence[str] | None = None) -> None:
        """A run from beginning to end; all months by default."""
        self.end(self.begin(keys, self.months if months is None else months))

    def backfill(self) -> None:
        """Everything, stage after stage."""
        for _, tables in groupby(self.catalog.values(), key=lambda table: table.stage):
            self.materialise([table.key for table in tables])

    def restate(self, first: str, last: str | None = None) -> None:
        """The source restates ``first`` to ``last``; the sensor fetches from there to the end."""
        since = self.months.index(first)
        until = self.months.index(last) if last else len(self.months) - 1
        for month in self.months[since : until + 1]:
            self.source[month] += 1
        self.materialise(RAW_DATA, self.months[since:])

    def is_current(self, read: Mapping[Month, int] | None) -> bool:
        """Whether nothing that was read has been materialised again since."""
        return read is not None and all(
            self.times_materialised.get(r, 0) == n for r, n in read.items()
        )

    def runs(
        self, asked: Mapping[TableKey, Sequence[str]]
    ) -> list[tuple[list[TableKey], list[str]]]:
        """The runs that come of a tick: one per stage and unbroken stretch of months."""
        together: dict[tuple[str, tuple[str, ...]], list[TableKey]] = {}
        for key, months in asked.items():
            at = [self.months.index(month) for month in months]
            for _, stretch in groupby(enumerate(at), key=lambda pair: pair[1] - pair[0]):
                span = tuple(self.months[i] for _, i in stretch)
                together.setdefault((self.catalog[key].stage, span), []).append(key)
        return [(keys, list(span)) for (_, span), keys in together.items()]

    def settle(self) -> list[dict[TableKey, list[str]]]:
        """Tick and run what is asked for until nothing is; what each tick asked for."""
        ticks = []
        while asked := self.tick():
            ticks.append(asked)
            assert len(ticks) < 20, "automation does not settle"
            for keys, months in self.runs(asked):
                self.materialise(keys, months)
        return ticks

    def from_scratch(self) -> dict[Month, int]:
        """What everything would be if it were computed now and nothing failed."""
        contents: dict[Month, int] = {}
        for key in self.catalog:
            for month in self.months:
                contents[key, month] = self.content((key, month), contents)
        return contents

    def start(self, run_id: str) -> None:
        self._active.add(run_id)

    def record(self, run_id: str, kind: str, months: Iterable[Month]) -> None:
        """Write one event per month, in order."""
        for month in months:
            self._events.setdefault(month, []).append((next(self._ids), kind, run_id))

    def finish(self, run_id: str, whole: bool) -> None:
        self._active.discard(run_id)

    def tick(self) -> dict[TableKey, list[str]]:
        """What automation asks for, by table."""
        history, running = {}, {}
        for key in self.catalog:
            rows = [latest(self._events.get((key, month), [])) for month in self.months]
            materialised, materialised_by, planned, planned_by = zip(*rows, strict=True)
            history[key] = History(
                np.array(materialised),
                np.array([NUMBERS[run] for run in materialised_by]),
                np.array(planned),
                np.array([NUMBERS[run] for run in planned_by]),
            )
            running[key] = history[key].failed & np.isin(planned_by, list(self._active))
        asked = months_to_request(
            [o for o in self.catalog.values() if o.upstreams], history, running
        )
        return {
            key: np.array(self.months)[flags].tolist()
            for key, flags in asked.items()
            if flags.any()
        }


class InstanceLedger(Ledger):
    """The same with the event log of a Dagster instance, and Dagster's evaluation of a tick.

    :param instance: where the events go
    :param defs: the Definitions whose conditions are evaluated
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        defs: dg.Definitions,
        catalog: Mapping[TableKey, Table],
        months: Sequence[str],
    ) -> None:
        super().__init__(catalog, months)
        self.instance, self.defs = instance, defs
        self.cursor: AssetDaemonCursor | None = None
        self.begins_as = DagsterRunStatus.STARTED

    def start(self, run_id: str) -> None:
        self.instance.add_run(DagsterRun(job_name=JOB, run_id=run_id, status=self.begins_as))

    def record(self, run_id: str, kind: str, months: Iterable[Month]) -> None:
        record(self.instance, run_id, kind, months)

    def finish(self, run_id: str, whole: bool) -> None:
        kind = dg.DagsterEventType.RUN_SUCCESS if whole else dg.DagsterEventType.RUN_FAILURE
        self.instance.report_dagster_event(DagsterEvent(kind.value, JOB), run_id)

    def tick(self) -> dict[TableKey, list[str]]:
        result = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        asked = {key: result.get_requested_partitions(dg.AssetKey(key)) for key in self.catalog}
        return {key: sorted(map(str, months)) for key, months in asked.items() if months}


def month_keys(count: int) -> list[str]:
    """The partition keys of the first months of 2020."""
    return list(pd.date_range("2020-01-01", periods=count, freq="MS").strftime("%Y-%m-%d"))
