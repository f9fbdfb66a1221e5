"""Dagster runs in this process, stage after stage, for ``hawk backfill`` and ``hawk refresh``.

There is one run per stage. Within one run a failed step would skip every later step, also those of
models that did not fail.
"""

from collections.abc import Container, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType

import dagster as dg

from hawk_assets.commands.events import Report, StageResult
from hawk_assets.commands.turns import Turn
from hawk_assets.core.types import Flags, TableKey
from hawk_assets.orchestration.assets.market_data import SOURCE_CHANGES
from hawk_assets.orchestration.automation.failure_reason import failure_reason
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import STAGES, Table
from hawk_assets.orchestration.instance.internals import range_tags, was_interrupted
from hawk_assets.orchestration.instance.run_owners import new_command_run
from hawk_assets.orchestration.interrupts import raise_if_received
from hawk_assets.orchestration.run_ranges import split_into_runs

SKIPPED = "skipped: upstream failed: "


def run_stages(
    pipeline: Pipeline,
    turn: Turn,
    to_materialise: Mapping[TableKey, Flags],
    report: Report,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> dict[TableKey, str]:
    """Materialise months of tables, stage after stage.

    A table whose upstream failed is skipped; all others go on. A run that somebody starts in the
    UI meanwhile is waited for before the next stage.

    :param to_materialise: per table, the months
    :param tags: further tags of the runs
    :return: the tables that failed or were skipped, and why
    :raises KeyboardInterrupt: the user stopped it
    """
    failed: dict[TableKey, str] = {}
    for stage in STAGES:
        tables = [
            t for k, t in pipeline.catalog.items() if t.stage == stage and k in to_materialise
        ]
        runs = split_into_runs(tables, to_materialise, pipeline.months)
        for (_, first, last), together in sorted(runs.items()):
            ready = []
            for table in together:
                if lost := _failed_upstream(table, failed):
                    cause = failed[lost]
                    known = cause.startswith(SKIPPED)
                    failed[table.key] = cause if known else SKIPPED + "/".join(lost)
                else:
                    ready.append(table)
            if ready:
                turn.wait_for_runs()
                raise_if_received()
                report(stage)
                result = run_stage(pipeline, turn.instance, ready, first, last, turn.command, tags)
                raise_if_received()  # what a signal has broken is no failure of a table
                failed |= result.failed
                report(result)
    return failed


def run_stage(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    tables: Sequence[Table],
    first: str,
    last: str,
    command: str = "hawk",
    further: Mapping[str, str] = MappingProxyType({}),
) -> StageResult:
    """Materialise tables of one stage for a range of months, in one Dagster run.

    :param command: which command does it, for others who look at the run
    :param further: further tags of the run
    :raises KeyboardInterrupt: the user stopped it
    """
    began = perf_counter()
    with new_command_run(instance, command) as (run_id, tags):
        result = pipeline.job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(table.key) for table in tables],
            run_id=run_id,
            tags={**range_tags(first, last), **tags, **further},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    failures = [event for event in result.all_events if event.is_failure]
    if was_interrupted(failures):
        raise KeyboardInterrupt
    materialised = [
        (tuple(event.asset_key.path), event.step_materialization_data.materialization)
        for event in result.get_asset_materialization_events()
        if event.asset_key
    ]
    keys = {key for key, _ in materialised}
    bad = [check for check in result.get_asset_check_evaluations() if not check.passed]
    errors = {
        tuple(check.asset_key.path): check.description or "failed"
        for check in bad
        if check.severity == dg.AssetCheckSeverity.ERROR
    }
    reason = failure_reason(failures)
    return StageResult(
        stage=tables[0].stage,
        first=first,
        last=last,
        materialised=len(materialised),
        seconds=perf_counter() - began,
        failed={t.key: errors.get(t.key, reason) for t in tables if t.key not in keys},
        warnings=_source_changes([month for _, month in materialised])
        + [
            f"{check.asset_key.to_user_string()}: {check.description}"
            for check in bad
            if check.severity == dg.AssetCheckSeverity.WARN
        ],
    )


def _source_changes(months: Sequence[dg.AssetMaterialization]) -> list[str]:
    """What the source has changed in what was stored, in lines."""
    texts = [month.metadata[SOURCE_CHANGES] for month in months if SOURCE_CHANGES in month.metadata]
    return [line for text in texts for line in str(text.value).split("\n")]


def _failed_upstream(table: Table, failed: Container[TableKey]) -> TableKey | None:
    """A failed upstream without which the table cannot be computed.

    Every required one counts; of the optional ones, one is enough.
    """
    required = [u.key for u in table.upstreams if not u.optional and u.key != table.key]
    optional = [u.key for u in table.upstreams if u.optional]
    lost = [key for key in required if key in failed]
    if optional and all(key in failed for key in optional):
        lost.append(optional[0])
    return lost[0] if lost else None
