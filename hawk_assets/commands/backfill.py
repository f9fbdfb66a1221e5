"""``hawk backfill``: months of tables, whether they are stale or not."""

from collections.abc import Sequence

import dagster as dg
import numpy as np

from hawk_assets.commands.events import Report
from hawk_assets.commands.runs import run_stages
from hawk_assets.commands.turns import take_turn
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.assets.market_data import ACCEPTS_SHORTER
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import Table


def backfill(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    tables: Sequence[Table],
    first: str,
    last: str,
    report: Report,
) -> dict[TableKey, str]:
    """Materialise tables for a range of months, after whatever runs on the instance has ended.

    Who asks for it accepts a source that ends before what is stored, or starts later.

    :return: the tables that failed or were skipped, and why
    :raises BusyError: another run or command does not end
    """
    months = np.asarray(pipeline.months)
    span = (months >= first) & (months <= last)
    with take_turn(instance, "hawk backfill", pipeline.catalog, report) as turn:
        chosen = {table.key: span for table in tables}
        return run_stages(pipeline, turn, chosen, report, {ACCEPTS_SHORTER: "true"})
