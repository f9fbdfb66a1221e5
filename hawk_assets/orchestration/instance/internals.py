"""What the package needs of Dagster's private modules, as functions with a purpose.

Modules outside ``instance`` never import from ``dagster._*``: they call this one. An upgrade of
Dagster may move or change any private name; ``test_internals`` lists all of them, with the
signatures relied on, and fails when one has changed.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import (
    AssetObservationData,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
)
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    WILL_RETRY_TAG,
)
from dagster._record import record
from dagster._time import get_current_datetime, get_current_timestamp
from dagster._utils.tags import get_boolean_tag_value
from sqlalchemy import func, select

from hawk_assets.core.types import TableKey

__all__ = [
    "CODE_VERSION_TAG",
    "MATERIALISED",
    "PLANNED",
    "AssetGraphView",
    "attach_metadata",
    "attached_metadata",
    "attempt_number",
    "conditions_of",
    "current_time",
    "fetch_latest_events",
    "fetch_latest_tags",
    "fetch_unfinished_runs",
    "has_retry",
    "is_retry_possible",
    "partition_range",
    "range_tags",
    "record",
    "record_passed_checks",
    "report_events",
    "run_of",
    "true_for",
    "was_interrupted",
]

CODE_VERSION_TAG = "dagster/code_version"
MATERIALISED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION.value

# The event log


def fetch_latest_events(
    instance: dg.DagsterInstance, keys: Iterable[TableKey]
) -> list[tuple[TableKey, str, str, int, str]]:
    """The latest materialisation and the latest plan to materialise, per table and partition.

    One query for all tables. Events from before an asset was wiped do not count.

    :return: table, ``MATERIALISED`` or ``PLANNED``, partition key, storage id and run id
    """
    names = {dg.AssetKey(key).to_string(): key for key in keys}
    assets = [dg.AssetKey(key) for key in names.values()]
    storage: Any = instance.event_log_storage
    events = SqlEventLogStorageTable.c
    latest = (
        select(
            events.asset_key,
            events.dagster_event_type,
            events.partition,
            func.max(events.id).label("id"),
        )
        .where(
            events.asset_key.in_(names),
            events.dagster_event_type.in_([MATERIALISED, PLANNED]),
            events.partition.is_not(None),
        )
        .group_by(events.asset_key, events.dagster_event_type, events.partition)
    )
    details = storage._get_assets_details(assets)
    latest = storage._add_assets_wipe_filter_to_query(latest, details, assets).subquery()
    query = select(latest, events.run_id).join(SqlEventLogStorageTable, events.id == latest.c.id)
    with storage.index_connection() as conn:
        return [(names[name], *rest) for name, *rest in conn.execute(query)]


def fetch_latest_tags(
    instance: dg.DagsterInstance, keys: Iterable[TableKey], tag: str
) -> dict[tuple[TableKey, str], tuple[int, str]]:
    """The latest event of each table and partition that has a tag, one of ``INDEXED``.

    One query for all tables. Events that another storage than ours has stored have no tag.

    :return: by table and partition key: the storage id of the event, and the value of the tag
    """
    names = {dg.AssetKey(key).to_string(): key for key in keys}
    storage: Any = instance.event_log_storage
    events, tags = SqlEventLogStorageTable.c, AssetEventTagsTable.c
    latest = (
        select(events.asset_key, events.partition, func.max(events.id).label("id"))
        .join(AssetEventTagsTable, tags.event_id == events.id)
        .where(tags.asset_key.in_(names), tags.key == tag, events.partition.is_not(None))
        .group_by(events.asset_key, events.partition)
        .subquery()
    )
    query = select(latest, tags.value).join(
        AssetEventTagsTable, (tags.event_id == latest.c.id) & (tags.key == tag)
    )
    with storage.index_connection() as conn:
        rows = conn.execute(query)
        return {(names[name], month): (event_id, value) for name, month, event_id, value in rows}


def report_events(
    instance: dg.DagsterInstance,
    events: Sequence[dg.AssetMaterialization | dg.AssetObservation],
) -> None:
    """Store events of assets that no run has caused, as if reported in the UI, in one batch."""
    entries = []
    for event in events:
        if isinstance(event, dg.AssetMaterialization):
            happened = dg.DagsterEvent(
                MATERIALISED, RUNLESS_JOB_NAME, event_specific_data=StepMaterializationData(event)
            )
        else:
            happened = dg.DagsterEvent(
                OBSERVED, RUNLESS_JOB_NAME, event_specific_data=AssetObservationData(event)
            )
        entries.append(
            dg.EventLogEntry(  # type: ignore[no-untyped-call]
                error_info=None,
                level=logging.INFO,
                user_message="",
                run_id=RUNLESS_RUN_ID,
                timestamp=get_current_timestamp(),
                dagster_event=happened,
            )
        )
    instance.event_log_storage.store_event_batch(entries)


def fetch_unfinished_runs(instance: dg.DagsterInstance) -> list[str]:
    """The ids of the runs that are queued, starting or under way."""
    return list(instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)))


# Runs


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags of a run over the partitions ``first`` to ``last``."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def partition_range(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """The first and the last partition of a run; None for a run without partitions."""
    single = run.tags.get(PARTITION_NAME_TAG)
    return (
        run.tags.get(ASSET_PARTITION_RANGE_START_TAG, single),
        run.tags.get(ASSET_PARTITION_RANGE_END_TAG, single),
    )


def attempt_number(run: dg.DagsterRun) -> int:
    """1 for a first attempt, 2 for its first retry."""
    return int(run.tags.get(RETRY_NUMBER_TAG, 0)) + 1


def has_retry(run: dg.DagsterRun) -> bool:
    """Whether Dagster has started a retry of a failed run."""
    return AUTO_RETRY_RUN_ID_TAG in run.tags


def is_retry_possible(run: dg.DagsterRun) -> bool:
    """Whether Dagster retries a failed run, or has not decided yet."""
    return bool(get_boolean_tag_value(run.tags.get(WILL_RETRY_TAG), default_value=True))


def was_interrupted(events: Iterable[dg.DagsterEvent]) -> bool:
    """Whether the user stopped the run of these events."""
    return any(
        event.is_step_failure and event.step_failure_data.error_source == ErrorSource.INTERRUPT
        for event in events
    )


def current_time() -> datetime:
    """Now in UTC, by Dagster's clock: tests freeze it."""
    return get_current_datetime()


# Assets


Figures = dict[str, float | int | str]


def attach_metadata(
    context: dg.AssetExecutionContext | dg.OutputContext,
    key: dg.AssetKey,
    figures: Mapping[str, Mapping[str, float | int | str]],
) -> None:
    """Put metadata on the materialisations of an asset, partition by partition.

    ``context.add_asset_metadata`` does this for one partition, and each call copies and checks
    everything attached so far. That is quadratic in months times models: a third of a backfill's
    time.
    """
    step = _step_of(context)
    attached = dict(step._metadata_accumulator.per_output_metadata)
    for partition, values in figures.items():
        handle = AssetMetadataHandle(asset_key=key, partition_key=partition)
        attached[handle] = {**attached.get(handle, {}), **values}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=attached)


def attached_metadata(context: dg.OutputContext) -> dict[str, Figures]:
    """What ``attach_metadata`` has put on the materialisations of this output, by partition."""
    attached = _step_of(context)._metadata_accumulator.per_output_metadata
    return {
        handle.partition_key: dict(values)
        for handle, values in attached.items()
        if isinstance(handle, AssetMetadataHandle)
        and handle.asset_key == context.asset_key
        and handle.partition_key
    }


def run_of(context: dg.OutputContext) -> tuple[str, str]:
    """The id of the run that writes an output, and when it began: ISO text in UTC."""
    step = _step_of(context)
    return step.run_id, _began(step.instance, step.run_id)


@lru_cache(maxsize=8)
def _began(instance: dg.DagsterInstance, run_id: str) -> str:
    record = instance.get_run_record_by_id(run_id)
    began = record.start_time if record and record.start_time else get_current_timestamp()
    return datetime.fromtimestamp(began, UTC).isoformat(timespec="microseconds")


def _step_of(context: dg.AssetExecutionContext | dg.OutputContext) -> StepExecutionContext:
    if isinstance(context, dg.OutputContext):
        return context.step_context
    step: StepExecutionContext = context.get_step_execution_context()  # Dagster does not say so
    return step


def record_passed_checks(
    context: dg.AssetExecutionContext, keys: Sequence[dg.AssetKey], check: str
) -> None:
    """Record that a check of each asset has passed, after their materialisations.

    A check that a step yields costs Dagster 20 to 40 ms: an output and two transactions each. All
    of these go into one batch.
    """
    step = context.get_step_execution_context()
    entries = [record.asset_entry for record in context.instance.get_asset_records(keys)]
    latest = {entry.asset_key: entry.last_materialization_record for entry in entries}
    for i, key in enumerate(keys):
        target = latest.get(key)
        evaluation = dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=check,
            passed=True,
            metadata={},
            target_materialization_data=target
            and AssetCheckEvaluationTargetMaterializationData(
                storage_id=target.storage_id, run_id=target.run_id, timestamp=target.timestamp
            ),
            blocking=True,
        )
        dg.DagsterEvent.from_step(
            dg.DagsterEventType.ASSET_CHECK_EVALUATION,
            step,
            evaluation,
            f"Asset check '{check}' on '{key.to_user_string()}' passed.",
            DagsterEventBatchMetadata(f"{context.run.run_id} {check}", i == len(keys) - 1),
        )


def conditions_of(view: AssetGraphView) -> Iterator[dg.AutomationCondition[Any]]:
    """The automation condition of each asset that has one."""
    for key in view.asset_graph.get_all_asset_keys():
        if condition := view.asset_graph.get(key).automation_condition:
            yield condition


def true_for(
    context: dg.AutomationContext[dg.AssetKey], partitions: set[str]
) -> dg.AutomationResult[dg.AssetKey]:
    """The result of a condition that is true for these partitions."""
    assert context.partitions_def is not None
    subset = context.asset_graph_view.get_subset_from_partition_keys(
        context.key, context.partitions_def, partitions
    )
    return dg.AutomationResult(context, subset.compute_intersection(context.candidate_subset))
