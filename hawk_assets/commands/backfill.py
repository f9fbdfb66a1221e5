"""``hawk backfill``: months of tables, whether they are stale or not."""

from collections.abc import Sequence

import dagster as dg
import numpy as np
import pandas as pd

from hawk_assets.commands.events import Report
from hawk_assets.commands.runs import run_stages
from hawk_assets.commands.turns import take_turn
from hawk_assets.core.errors import DataError
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.assets.market_data import ACCEPTS_SHORTER
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import MARKET_DATA, Table
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.source_record import check_source, record_start

_LONG_AGO = pd.Timestamp("1900-01-01")


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
    :raises DataError: the source has no prices in these months
    :raises SettingsError: the stored tables were computed from another source
    :raises BusyError: another run or command does not end
    """
    check_source(pipeline.storage, pipeline.source)
    months = np.asarray(pipeline.months)
    span = (months >= first) & (months <= last)
    with take_turn(instance, "hawk backfill", pipeline.catalog, report) as turn:
        chosen = {table.key: span for table in tables}
        if MARKET_DATA in chosen:
            _check_prices(pipeline, months_of(list(months[span])))
        failed = run_stages(pipeline, turn, chosen, report, {ACCEPTS_SHORTER: "true"})
    if span.all() and chosen.keys() == pipeline.catalog.keys() and not failed:
        record_start(pipeline.storage, pipeline.settings.start)
    return failed


def _check_prices(pipeline: Pipeline, months: pd.DatetimeIndex) -> None:
    """:raises DataError: none of the months has a bar; says from when to when the source has"""
    if pipeline.source.poll(months).latest_session is not None:
        return
    offered = pipeline.source.poll(pd.date_range(_LONG_AGO, pd.Timestamp.now(), freq="MS"))
    if offered.latest_session is None:
        its = "it has none at all"
    else:
        its = f"its data is from {min(offered.versions):%Y-%m} to {offered.latest_session:%Y-%m-%d}"
    raise DataError(
        f"{pipeline.source.description}: no prices from {months[0]:%Y-%m} to {months[-1]:%Y-%m}; "
        f"{its}. Correct --from and --to, HAWK_START and HAWK_END, or HAWK_MARKET_DATA"
    )
