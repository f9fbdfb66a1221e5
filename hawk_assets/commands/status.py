"""``hawk status``: what is stale, missing or failed, and why. ``hawk refresh`` works it off."""

from dataclasses import dataclass

import dagster as dg
import numpy as np

from hawk_assets.commands.older_code import months_of_older_code
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import key_of
from hawk_assets.core.types import Flags, TableKey
from hawk_assets.orchestration.assets.stage import CONTRACT
from hawk_assets.orchestration.automation.source_sensor import changed_months
from hawk_assets.orchestration.automation.staleness import (
    History,
    months_to_materialise,
    newer_upstreams,
    read_progress,
)
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import MARKET_DATA, Table
from hawk_assets.orchestration.instance.run_owners import fetch_in_progress
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.source_record import check_source, starts_later
from hawk_assets.orchestration.stored_files import FileCheck, check_files


@dataclass(frozen=True)
class Pending:
    """What there is to do, as flags over the months of each table.

    :param history: the latest materialisations and attempts; months whose file is lost have none
    :param changed: months for which the source has other data
    :param running: months that an unfinished run is still to materialise
    :param to_materialise: months to materialise
    :param retried: tables of models whose latest attempt failed; if one succeeds, there is more to
        materialise: what reads it as one of many
    :param files: the stored files against the history
    :param later_start: whether the history starts later than when the tables were computed
    """

    history: dict[TableKey, History]
    changed: Flags
    running: dict[TableKey, Flags]
    to_materialise: dict[TableKey, Flags]
    retried: set[TableKey]
    files: FileCheck
    later_start: bool

    @property
    def is_partial(self) -> bool:
        """Whether anything waits for an unfinished run."""
        return any(months.any() for months in self.running.values())


@dataclass(frozen=True)
class TableStatus:
    """One table; months as partition keys.

    :param materialised: months that are stored
    :param stale: stored, and to be recomputed
    :param missing: never materialised, and to be materialised
    :param failed: to be materialised because the latest attempt failed; in neither list above
    :param running: being materialised now, by another process
    :param reasons: why there is anything to do
    :param older_code: computed by older code
    """

    table: Table
    materialised: list[str]
    stale: list[str]
    missing: list[str]
    failed: list[str]
    running: list[str]
    reasons: list[str]
    older_code: list[str]


def find_pending(
    pipeline: Pipeline, instance: dg.DagsterInstance, stale_code: bool = False
) -> Pending:
    """Everything to materialise.

    These are the changed months of the source, raw data that is missing, months that are stale or
    failed, months whose stored file is lost, and everything downstream. Automation never retries a
    failure on the same upstreams; here somebody asks for it.

    :param stale_code: also what older code computed
    :raises MissingMonthError: there is no history, but there are files
    :raises SettingsError: the stored tables were computed from another source
    :raises StorageError: the storage cannot be read, or none of the files is there
    """
    check_source(pipeline.storage, pipeline.source)
    history, running, files = _read_history(pipeline, instance)
    every = months_of(pipeline.months)
    changes = changed_months(pipeline.source.versions(every), every, instance)
    changed = np.isin(pipeline.months, [key_of(month) for month in changes])
    later_start = starts_later(pipeline.storage, pipeline.settings.start)
    seeds = {}
    for key, table in pipeline.catalog.items():
        seeds[key] = history[key].failed
        if later_start:
            seeds[key] = seeds[key] | _months_cut_off(table, len(pipeline.months))
        if not table.upstreams:
            seeds[key] = seeds[key] | changed | (history[key].materialised == 0)
        if stale_code:
            seeds[key] = seeds[key] | months_of_older_code(instance, table, history[key])
    # A model that goes on failing must not have the book recomputed at every refresh.
    retries = {
        key: history[key].failed & ~running[key]
        for key, table in pipeline.catalog.items()
        if table.model
    }
    to_materialise = months_to_materialise(
        pipeline.catalog.values(), history, seeds, running, retries
    )
    retried = {key for key, months in retries.items() if (months & to_materialise[key]).any()}
    return Pending(history, changed, running, to_materialise, retried, files, later_start)


def _months_cut_off(table: Table, months: int) -> Flags:
    """The first months, which read further back than the history reaches."""
    reach = max((-upstream.first for upstream in table.upstreams), default=0)
    return np.arange(months) < reach


def _living_runs(instance: dg.DagsterInstance) -> list[str]:
    return [found.run.run_id for found in fetch_in_progress(instance)]


def _read_history(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> tuple[dict[TableKey, History], dict[TableKey, Flags], FileCheck]:
    """What is stored, what is being materialised, and whether the files agree."""
    while True:
        runs = _living_runs(instance)
        history, running = read_progress(instance, pipeline.catalog, pipeline.months, runs)
        unknown = len(pipeline.storage.stamps(MARKET_DATA))
        if unknown and not any(its.materialised.any() for its in history.values()):
            raise MissingMonthError(
                f"{pipeline.storage.root} holds {unknown} months of market_data that Dagster's "
                "history does not know; to take the stored files as they are: hawk adopt"
            )
        files = check_files(instance, pipeline.storage, history, running, pipeline.months)
        # A file that a run replaces meanwhile is not lost.
        runs = _living_runs(instance)
        after = read_progress(instance, files.lost, pipeline.months, runs)
        if files.agrees_with(history, *after):
            return files.forget_lost(history), running, files


def find_status(pipeline: Pipeline, instance: dg.DagsterInstance) -> list[TableStatus]:
    """Every table against its upstreams, and the raw data against the source."""
    pending, months = find_pending(pipeline, instance), np.asarray(pipeline.months)
    tables = []
    for key, table in pipeline.catalog.items():
        chosen, history = pending.to_materialise[key], pending.history[key]
        stored, failed = history.materialised > 0, chosen & history.failed
        tables.append(
            TableStatus(
                table,
                materialised=list(months[stored]),
                stale=list(months[chosen & stored & ~failed]),
                missing=list(months[chosen & ~stored & ~failed]),
                failed=list(months[failed]),
                running=list(months[pending.running[key]]),
                reasons=_reasons(table, pending, instance) if chosen.any() else [],
                older_code=list(months[months_of_older_code(instance, table, history)]),
            )
        )
    return tables


def _reasons(table: Table, pending: Pending, instance: dg.DagsterInstance) -> list[str]:
    chosen, history = pending.to_materialise[table.key], pending.history[table.key]
    stored = history.materialised > 0
    reasons = [
        f"{'/'.join(key)} is newer"
        for key, months in newer_upstreams(table, pending.history).items()
        if key != table.key and (months & stored & chosen).any()
    ]
    if not table.upstreams and (pending.changed & stored).any():
        reasons.append("the source has other data")
    if (chosen & history.failed).any():
        reasons.append(describe_failure(table, instance))
    lost = pending.files.lost.get(table.key, np.zeros_like(chosen))
    if (chosen & lost).any():
        reasons += pending.files.reasons[table.key]
    if (chosen & ~stored & ~history.failed & ~lost).any():
        reasons.append("never materialised")
    if pending.later_start and not reasons:
        reasons.append("the history starts later than before")
    return reasons or ["an upstream will be recomputed"]


def describe_failure(table: Table, instance: dg.DagsterInstance) -> str:
    """Why the latest attempt failed, as its check says; a run that died has no check."""
    key = dg.AssetCheckKey(dg.AssetKey(table.key), CONTRACT)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    event = record.event and record.event.dagster_event if record else None
    if not event or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return "the latest attempt failed"
    evaluation = event.asset_check_evaluation_data
    return "the latest attempt failed" + (
        f": {evaluation.description}" if evaluation.description and not evaluation.passed else ""
    )
