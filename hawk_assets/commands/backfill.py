"""Backfill and refresh: drives Dagster stage after stage, in this process.

A run per stage, because within one run a failed step takes along every later step, also those of
models that did not fail.
"""

import difflib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import dagster as dg
import numpy as np
from dagster._core.execution.plan.objects import ErrorSource

from hawk_assets.commands.status import look
from hawk_assets.core.errors import MissingMonthError, SettingsError
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.failure_reason import reason
from hawk_assets.orchestration.automation.staleness import Flags
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import STAGES, Table
from hawk_assets.orchestration.instance.dagster_home import run_tags

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
LEFT_OUT = "left out, because of "


@dataclass(frozen=True)
class StageRun:
    """What one run did.

    :param made: months of tables
    :param failed: per table that was not made, why
    :param warnings: what somebody should look at, such as a restated price
    """

    stage: str
    first: str
    last: str
    made: int
    seconds: float
    failed: dict[TableKey, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


Report = Callable[[StageRun | str], None]
"""Told the name of a stage when it begins, and what came of it when it ends."""


def select(tables: Mapping[TableKey, Table], names: Iterable[str]) -> list[Table]:
    """Tables by stage, by model or by key; all of them when no name is given.

    :raises SettingsError: a name that is none of these
    """
    chosen: set[TableKey] = set()
    for name in names:
        hits = {
            key
            for key, table in tables.items()
            if name in ("/".join(key), key[0], table.stage, table.model)
        }
        if not hits:
            known = {n for k, o in tables.items() for n in ("/".join(k), o.stage, o.model) if n}
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "see: hawk models"
            raise SettingsError(f"--select {name!r} is no stage, model or table; {hint}")
        chosen |= hits
    return [table for key, table in tables.items() if key in chosen or not chosen]


def month_range(pipeline: Pipeline, first: str | None, last: str | None) -> tuple[str, str]:
    """The months asked for, as partition keys.

    :raises SettingsError: not a month of the history
    """
    months = pipeline.months
    for option, month in (("--from", first), ("--to", last)):
        if month is not None and month not in months:
            raise SettingsError(
                f"{option} {month} is not a month of the history, {months[0]} to {months[-1]}; "
                "write the first day of a month, or set HAWK_START and HAWK_END"
            )
    first, last = first or months[0], last or months[-1]
    if first > last:
        raise SettingsError(f"--from {first} is after --to {last}")
    return first, last


def backfill(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    tables: Sequence[Table],
    first: str,
    last: str,
    report: Report,
) -> dict[TableKey, str]:
    """Make tables for a range of months, whether they are stale or not.

    :return: the tables that were not made, and why
    """
    months = np.asarray(pipeline.months)
    span = (months >= first) & (months <= last)
    return _make(pipeline, instance, {table.key: span for table in tables}, report)


def refresh(
    pipeline: Pipeline, instance: dg.DagsterInstance, report: Report, changed_code: bool = False
) -> dict[TableKey, str]:
    """Fetch what is new and make all that is due.

    :param changed_code: also what was made by code that has changed since
    :return: the tables that were not made, and why
    :raises MissingMonthError: there is no history yet
    """
    outlook = look(pipeline, instance, changed_code)
    if not any(table.made.any() for table in outlook.history.values()):
        raise MissingMonthError("nothing has been made yet; run: hawk backfill")
    return _make(pipeline, instance, outlook.due, report)


def run_stage(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    tables: Sequence[Table],
    first: str,
    last: str,
) -> StageRun:
    """Make tables of one stage for a range of months, in one Dagster run.

    :raises KeyboardInterrupt: the user has stopped it
    """
    began = perf_counter()
    result = pipeline.job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(table.key) for table in tables],
        tags={RANGE_START: first, RANGE_END: last, **run_tags()},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    failures = [event for event in result.all_events if event.is_failure]
    causes = [event.step_failure_data.error_source for event in failures if event.is_step_failure]
    if ErrorSource.INTERRUPT in causes:
        raise KeyboardInterrupt
    made = [
        (tuple(event.asset_key.path), event.step_materialization_data.materialization)
        for event in result.get_asset_materialization_events()
        if event.asset_key
    ]
    keys = {key for key, _ in made}
    bad = [check for check in result.get_asset_check_evaluations() if not check.passed]
    why = {
        tuple(check.asset_key.path): check.description or "failed"
        for check in bad
        if check.severity == dg.AssetCheckSeverity.ERROR
    }
    warnings = [
        f"restated: {month.metadata['restated_rows'].value} rows of {month.partition}, the first "
        f"{month.metadata['first_restated'].value}"
        for _, month in made
        if "restated_rows" in month.metadata
    ] + [
        f"{check.asset_key.to_user_string()}: {check.description}"
        for check in bad
        if check.severity == dg.AssetCheckSeverity.WARN
    ]
    why_not = reason(failures)
    return StageRun(
        tables[0].stage,
        first,
        last,
        len(made),
        perf_counter() - began,
        {o.key: why.get(o.key, why_not) for o in tables if o.key not in keys},
        warnings,
    )


def _make(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    due: Mapping[TableKey, Flags],
    report: Report,
) -> dict[TableKey, str]:
    """Make months of tables, stage after stage.

    What needs a table that has failed is left out and named; its neighbours go on.

    :return: the tables that were not made, and why
    """
    failed: dict[TableKey, str] = {}
    for stage in STAGES:
        tables = [o for k, o in pipeline.catalog.items() if o.stage == stage and k in due]
        for (_, first, last), together in sorted(_runs(tables, due, pipeline.months).items()):
            ready = []
            for table in together:
                if lost := _lost(table, failed):
                    why = failed[lost]
                    named = why.startswith(LEFT_OUT)
                    failed[table.key] = why if named else LEFT_OUT + "/".join(lost)
                else:
                    ready.append(table)
            if ready:
                report(stage)
                done = run_stage(pipeline, instance, ready, first, last)
                failed |= done.failed
                report(done)
    return failed


def _lost(table: Table, failed: Container[TableKey]) -> TableKey | None:
    """An input without which there is nothing to make; of optional ones, one is enough."""
    required = [i.key for i in table.upstreams if not i.optional and i.key != table.key]
    optional = [i.key for i in table.upstreams if i.optional]
    lost = [key for key in required if key in failed]
    if optional and all(key in failed for key in optional):
        lost.append(optional[0])
    return lost[0] if lost else None


def _runs(
    tables: Sequence[Table], due: Mapping[TableKey, Flags], months: Sequence[str]
) -> dict[tuple[int, str, str], list[Table]]:
    """Which tables of a stage are made together, by order, first and last month.

    One run makes one unbroken stretch of months. A table goes into the same run as the table of the
    stage that it reads, or where their months differ, into a later one.
    """
    together: dict[tuple[int, str, str], list[Table]] = {}
    for table in tables:
        read = [i.key for i in table.upstreams if i.key in due and i.key != table.key]
        of_stage = [key for key in read if any(key == t.key for t in tables)]
        after = int(any((due[key] != due[table.key]).any() for key in of_stage))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], due[table.key].astype(int), [0]])))
        for begin, end in edges.reshape(-1, 2):
            together.setdefault((after, months[begin], months[end - 1]), []).append(table)
    return together
