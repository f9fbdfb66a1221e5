"""``hawk refresh``: everything that is stale, missing or failed."""

import dagster as dg

from hawk_assets.commands.events import Report
from hawk_assets.commands.runs import run_stages
from hawk_assets.commands.status import find_pending
from hawk_assets.commands.turns import take_turn
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.source_record import change_source, record_start
from hawk_assets.orchestration.stored_files import record_moved


def refresh(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    report: Report,
    stale_code: bool = False,
    new_source: bool = False,
) -> dict[TableKey, str]:
    """Fetch new data and recompute everything downstream.

    Whatever runs on the instance is waited for, and then all is looked at again: nothing is
    computed from months that somebody else is still to materialise. So it is once a model that
    failed has recovered: until then the book is not recomputed because of it.

    :param stale_code: also recompute what older code computed
    :param new_source: let the stored tables go over to the source of the settings
    :return: the tables that failed or were skipped, and why
    :raises MissingMonthError: there is no history yet, or only files
    :raises SettingsError: the stored tables were computed from another source
    :raises BusyError: another run or command does not end
    """
    with take_turn(instance, "hawk refresh", pipeline.catalog, report) as turn:
        if new_source:
            change_source(pipeline.storage, pipeline.source)
        while True:
            turn.waited = False
            pending = find_pending(pipeline, instance, stale_code)
            if not any(its.materialised.any() for its in pending.history.values()):
                raise MissingMonthError("there is no history yet; run: hawk backfill")
            record_moved(instance, pending.files)
            failed = run_stages(pipeline, turn, pending.to_materialise, report)
            turn.wait_for_runs()
            recovered = pending.retried - failed.keys()
            if not (turn.waited or pending.is_partial or recovered):
                break
        if not failed:
            record_start(pipeline.storage, pipeline.settings.start)
        return failed
