"""``hawk refresh``: everything that is stale, missing or failed."""

import dagster as dg

from hawk_assets.commands.runs import Report, run_stages
from hawk_assets.commands.status import find_pending
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.build import Pipeline


def refresh(
    pipeline: Pipeline, instance: dg.DagsterInstance, report: Report, stale_code: bool = False
) -> dict[TableKey, str]:
    """Fetch new data and recompute everything downstream.

    :param stale_code: also recompute what older code computed
    :return: the tables that failed or were skipped, and why
    :raises MissingMonthError: there is no history yet
    """
    pending = find_pending(pipeline, instance, stale_code)
    if not any(its.materialised.any() for its in pending.history.values()):
        raise MissingMonthError("there is no history yet; run: hawk backfill")
    return run_stages(pipeline, instance, pending.to_materialise, report)
