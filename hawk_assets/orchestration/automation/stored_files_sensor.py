"""The sensor of each service that computes its lost files again, see ``stored_files``."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import numpy as np

from hawk_assets.core.types import Flags, TableKey
from hawk_assets.orchestration.automation.run_keys import run_key
from hawk_assets.orchestration.automation.staleness import (
    History,
    months_reading,
    read_progress,
)
from hawk_assets.orchestration.catalog import STAGES, Table
from hawk_assets.orchestration.instance.internals import range_tags
from hawk_assets.orchestration.instance.run_owners import find_command
from hawk_assets.orchestration.run_ranges import split_into_runs
from hawk_assets.orchestration.stored_files import check_files, record_moved
from hawk_assets.storage.tables import Tables

SECONDS = 600
"""One listing per table, in a bucket a request each: often enough to notice, too rare to cost."""


def build_stored_files_sensor(
    service: str, tables: Sequence[Table], partitions: dg.MonthlyPartitionsDefinition
) -> dg.SensorDefinition:
    """The sensor that requests the months of ``tables`` whose stored file is lost.

    A month that reads a lost month is not requested: it follows when that is materialised. The same
    loss is requested once; a run that fails is not repeated, as for any other reason.
    """

    @dg.sensor(
        name=f"{service}_stored_files",
        target=dg.AssetSelection.assets(*(dg.AssetKey(table.key) for table in tables)),
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares the stored files with the history, and computes lost ones again.",
    )
    def stored_files(
        context: dg.SensorEvaluationContext, storage: dg.ResourceParam[Tables]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        if command := find_command(context.instance):
            return dg.SkipReason(f"{command.text}, is at work")
        months = list(partitions.get_partition_keys())
        keys = [table.key for table in tables]
        history, running = read_progress(context.instance, keys, months)
        check = check_files(context.instance, storage, history, running, months)
        if not check.agrees_with(history, *read_progress(context.instance, check.lost, months)):
            return dg.SkipReason("a run is replacing files")
        record_moved(context.instance, check)
        requests = list(_requests(tables, check.lost, history, months))
        return requests or dg.SkipReason("all files are as they were stored")

    return stored_files


def _requests(
    tables: Sequence[Table],
    lost: Mapping[TableKey, Flags],
    history: Mapping[TableKey, History],
    months: Sequence[str],
) -> Iterator[dg.RunRequest]:
    wanted: dict[TableKey, Flags] = {}
    for table in (t for t in tables if t.key in lost):
        later = np.zeros(len(months), bool)
        for upstream in (u for u in table.upstreams if u.key in lost):
            later |= months_reading(upstream, lost[upstream.key])
        wanted[table.key] = lost[table.key] & ~later
    for stage in STAGES:
        due = [t for t in tables if t.stage == stage and t.key in wanted]
        for (_, first, last), together in split_into_runs(due, wanted, months).items():
            span = slice(months.index(first), months.index(last) + 1)
            events = [f"{t.name} {history[t.key].materialised[span].tolist()}" for t in together]
            yield dg.RunRequest(
                run_key=run_key(f"lost files of {first} to {last}", ", ".join(events)),
                asset_selection=[dg.AssetKey(table.key) for table in together],
                tags=range_tags(first, last),
            )
