"""What is to be made, and why: behind ``hawk status``, and what ``hawk refresh`` works off."""

from dataclasses import dataclass

import dagster as dg
import numpy as np

from hawk_assets.core.sessions import key_of
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.source_sensor import changed_months, watched_months
from hawk_assets.orchestration.automation.staleness import (
    Flags,
    History,
    newer_inputs,
    read_progress,
    to_make,
)
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import Table

VERSION = "dagster/code_version"


@dataclass(frozen=True)
class Outlook:
    """Months of all tables, as flags.

    :param history: what has been made and attempted
    :param news: months of which the source has other data
    :param running: months that a run in progress has yet to make
    :param due: months to make
    """

    history: dict[TableKey, History]
    news: Flags
    running: dict[TableKey, Flags]
    due: dict[TableKey, Flags]


@dataclass(frozen=True)
class TableStatus:
    """One table against its inputs; months as partition keys.

    :param made: months that are stored
    :param stale: made, to be made again
    :param missing: never made, to be made
    :param failed: to be made, since the latest attempt came to nothing; none of the two above
    :param running: being made at this moment, by another process
    :param because: why there is anything to be made
    :param code_changed: made by code that has changed since
    """

    table: Table
    made: list[str]
    stale: list[str]
    missing: list[str]
    failed: list[str]
    running: list[str]
    because: list[str]
    code_changed: list[str]


def look(pipeline: Pipeline, instance: dg.DagsterInstance, changed_code: bool = False) -> Outlook:
    """All that is due: news from the source, raw data never fetched, what hangs on these, what is
    stale, and what has failed. A failure is tried again because somebody asks; nothing else does.

    :param changed_code: also what was made by code that has changed since
    """
    history, running = read_progress(instance, pipeline.catalog, pipeline.months)
    offered = pipeline.source.poll(watched_months(pipeline.partitions)).versions
    changed = changed_months(offered, instance)
    news = np.isin(pipeline.months, [key_of(month) for month in changed])
    seeds = {}
    for key, table in pipeline.catalog.items():
        seeds[key] = history[key].failed
        if not table.upstreams:
            seeds[key] = seeds[key] | news | (history[key].made == 0)
        if changed_code:
            seeds[key] = seeds[key] | _changed_code(instance, table, history[key])
        seeds[key] = seeds[key] & ~running[key]
    due = to_make(pipeline.catalog.values(), history, seeds)
    return Outlook(history, news, running, due)


def status(pipeline: Pipeline, instance: dg.DagsterInstance) -> list[TableStatus]:
    """Every table against its inputs, the source included."""
    outlook, months = look(pipeline, instance), np.asarray(pipeline.months)
    tables = []
    for key, table in pipeline.catalog.items():
        due, history = outlook.due[key], outlook.history[key]
        made, failed = history.made > 0, due & history.failed
        tables.append(
            TableStatus(
                table,
                made=list(months[made]),
                stale=list(months[due & made & ~failed]),
                missing=list(months[due & ~made & ~failed]),
                failed=list(months[failed]),
                running=list(months[outlook.running[key]]),
                because=_because(table, outlook) if due.any() else [],
                code_changed=list(months[_changed_code(instance, table, history)]),
            )
        )
    return tables


def _because(table: Table, outlook: Outlook) -> list[str]:
    due, history = outlook.due[table.key], outlook.history[table.key]
    made = history.made > 0
    newer = newer_inputs(table, outlook.history)
    because = [
        f"{'/'.join(key)} is newer"
        for key, months in newer.items()
        if key != table.key and (months & made & due).any()
    ]
    if not table.upstreams and (outlook.news & made).any():
        because.append("the source has other data")
    if (due & history.failed).any():
        because.append("its latest attempt failed")
    if (due & ~made & ~history.failed).any():
        because.append("never made")
    return because or ["an input will be made again"]


def _changed_code(instance: dg.DagsterInstance, table: Table, history: History) -> Flags:
    """Months whose latest materialisation was made by another version of the code.

    All that one run makes of a table carries one version, so one event of each run is enough.
    """
    now, stored = table.code_version(), history.made > 0
    _, first = np.unique(history.made_by[stored], return_index=True)
    ids = history.made[stored][first].tolist()
    if not ids:
        return stored
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(table.key), storage_ids=ids), limit=len(ids)
    ).records
    versions = {r.storage_id: (r.asset_materialization.tags or {}).get(VERSION) for r in records}
    old = [event for event, version in versions.items() if version not in (None, now)]
    return np.isin(history.made_by, history.made_by[np.isin(history.made, old)]) & stored
