"""Backfill, refresh and status: drives Dagster stage after stage, in this process.

A run per stage, because within one run a failed step takes along every later step, also those of
models that did not fail.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import dagster as dg
import numpy as np
import pandas as pd

from hawk_assets.core.errors import MissingMonthError, SettingsError
from hawk_assets.core.sessions import key_of
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.plan import STAGES, Key, Output
from hawk_assets.orchestration.source_watch import changed_months
from hawk_assets.orchestration.staleness import Flags, newer_inputs, read_history, to_make

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class StageRun:
    """What one run did.

    :param failed: per table that was not made, why
    """

    stage: str
    first: str
    last: str
    made: int
    seconds: float
    failed: dict[Key, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableStatus:
    """One table against its inputs; months as partition keys.

    :param stale: made, but an input is newer or will be, and why
    :param missing: never made, though it can be
    :param failed: the latest attempt made nothing
    """

    output: Output
    made: list[str]
    stale: list[str]
    missing: list[str]
    failed: list[str]
    because: list[str]
    code_changed: list[str]


Report = Callable[[StageRun | str], None]


def prepare_home(home: Path) -> None:
    """Dagster's folder, with this project's instance settings unless it has its own.

    :raises SettingsError: it cannot be made
    """
    config = Path(__file__).parents[2] / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if config.exists() and not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").symlink_to(config)
    except OSError as error:
        raise SettingsError(f"DAGSTER_HOME={home} cannot be made: {error}") from None


def select(outputs: Mapping[Key, Output], names: Iterable[str]) -> list[Output]:
    """Tables by stage, by model or by key; all of them when no name is given.

    :raises SettingsError: a name that is none of these
    """
    chosen: set[Key] = set()
    for name in names:
        hits = {
            key
            for key, output in outputs.items()
            if name in ("/".join(key), key[0], output.stage, output.model)
        }
        if not hits:
            known = {n for k, o in outputs.items() for n in ("/".join(k), k[0], o.model) if n}
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "see: hawk models"
            raise SettingsError(f"--select {name!r} is no stage, model or table; {hint}")
        chosen |= hits
    return [output for key, output in outputs.items() if key in chosen or not chosen]


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


def run_stage(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    outputs: Sequence[Output],
    first: str,
    last: str,
) -> StageRun:
    """Make tables of one stage for a range of months, in one Dagster run."""
    began = perf_counter()
    result = pipeline.job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(output.key) for output in outputs],
        tags={RANGE_START: first, RANGE_END: last},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    made = {
        tuple(e.asset_key.path) for e in result.get_asset_materialization_events() if e.asset_key
    }
    why = {
        tuple(check.asset_key.path): check.description or "failed"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    }
    step = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    reason = "the run failed"
    if step and step[0].error:
        reason = step[0].user_failure_data.description if step[0].user_failure_data else ""
        reason = reason or step[0].error.to_string().strip()
    failed = {o.key: why.get(o.key, reason) for o in outputs if o.key not in made}
    events = len(result.get_asset_materialization_events())
    return StageRun(outputs[0].stage, first, last, events, perf_counter() - began, failed)


def backfill(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    outputs: Sequence[Output],
    first: str,
    last: str,
    report: Report,
) -> dict[Key, str]:
    """Make tables for a range of months, stage after stage.

    What needs a table that has failed is left out and named; its neighbours go on.

    :return: the tables that were not made, and why
    """
    failed: dict[Key, str] = {}
    for stage in STAGES:
        wanted = []
        for output in (o for o in outputs if o.stage == stage):
            lost = [i.key for i in output.inputs if i.key in failed and not i.optional]
            if lost:
                failed[output.key] = f"left out: {'/'.join(lost[0])} has failed"
            else:
                wanted.append(output)
        if wanted:
            report(stage)
            done = run_stage(pipeline, instance, wanted, first, last)
            failed |= done.failed
            report(done)
    return failed


def refresh(
    pipeline: Pipeline, instance: dg.DagsterInstance, report: Report, changed_code: bool = False
) -> dict[Key, str]:
    """Fetch what is new and make everything that is stale, stage after stage.

    :param changed_code: also what was made by code that has changed since
    :return: the tables that were not made, and why
    """
    failed: dict[Key, str] = {}
    seeds = _seeds(pipeline, instance, changed_code)
    for stage in STAGES:
        history = read_history(instance, pipeline.outputs, pipeline.months)
        stage_outputs = [o for o in pipeline.outputs.values() if o.stage == stage]
        own = {o.key: seeds[o.key] for o in stage_outputs if o.key in seeds}
        groups: dict[tuple[str, str], list[Output]] = {}
        for key, months in to_make(stage_outputs, history, own).items():
            for span in _spans(months, pipeline.months):
                groups.setdefault(span, []).append(pipeline.outputs[key])
        for (first, last), wanted in sorted(groups.items(), key=lambda group: group[0]):
            report(stage)
            done = run_stage(pipeline, instance, wanted, first, last)
            failed |= done.failed
            report(done)
    return failed


def status(pipeline: Pipeline, instance: dg.DagsterInstance) -> list[TableStatus]:
    """Every table against its inputs, the source included; exactly what ``refresh`` would make."""
    history = read_history(instance, pipeline.outputs, pipeline.months)
    months = np.asarray(pipeline.months)
    news = _source_news(pipeline, instance)
    coming = to_make(pipeline.outputs.values(), history, news)
    found = []
    for key, output in pipeline.outputs.items():
        made = history[key].made > 0
        newer = newer_inputs(output, history)
        because = [f"{'/'.join(k)} is newer" for k in newer]
        if key in news and news[key].any():
            because.append("the source has other data")
        elif not newer and (coming[key] & made).any():
            because.append("an input will be made again")
        changed = _changed_code(pipeline, instance, output)
        found.append(
            TableStatus(
                output,
                made=list(months[made]),
                stale=list(months[made & coming[key]]),
                missing=list(months[~made & coming[key]]),
                failed=list(months[history[key].failed & ~coming[key]]),
                because=because,
                code_changed=list(months[changed & made]),
            )
        )
    return found


def _seeds(
    pipeline: Pipeline, instance: dg.DagsterInstance, changed_code: bool
) -> dict[Key, Flags]:
    if not instance.get_latest_materialization_event(dg.AssetKey("market_data")):
        raise MissingMonthError("nothing has been made yet; run: hawk backfill")
    seeds = _source_news(pipeline, instance)
    if changed_code:
        for key, output in pipeline.outputs.items():
            seeds[key] = seeds.get(key, False) | _changed_code(pipeline, instance, output)
    return seeds


def _source_news(pipeline: Pipeline, instance: dg.DagsterInstance) -> dict[Key, Flags]:
    changed = changed_months(pipeline.source, instance, pipeline.partitions)
    flags = np.zeros(len(pipeline.months), bool)
    if changed:
        flags[pipeline.months.index(key_of(min(changed))) :] = True
    return {("market_data",): flags}


def _changed_code(pipeline: Pipeline, instance: dg.DagsterInstance, output: Output) -> Flags:
    """Months whose latest materialisation was made by another version of the code."""
    storage = instance.event_log_storage
    key = dg.AssetKey(output.key)
    ids = storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    now = output.code_version()
    flags = np.zeros(len(pipeline.months), bool)
    if not ids:
        return flags
    versions: dict[str, str] = {}
    for record in storage.fetch_materializations(
        dg.AssetRecordsFilter(key, storage_ids=list(ids.values())), limit=len(ids)
    ).records:
        tags = record.asset_materialization.tags or {}
        versions[str(record.partition_key)] = tags.get("dagster/code_version", now)
    for i, month in enumerate(pipeline.months):
        flags[i] = versions.get(month, now) != now
    return flags


def _spans(flags: Flags, months: Sequence[str]) -> list[tuple[str, str]]:
    """First and last month of each unbroken stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(months[a], months[b - 1]) for a, b in edges.reshape(-1, 2)]


def latest_months(pipeline: Pipeline, key: Key, count: int = 1) -> pd.DatetimeIndex:
    """The last stored months of a table that hold rows, ascending."""
    found: list[pd.Timestamp] = []
    for month in reversed(pipeline.tables.months(key)):
        if pipeline.tables.rows(key, month):
            found.append(month)
        if len(found) == count:
            break
    return pd.DatetimeIndex(found[::-1])
