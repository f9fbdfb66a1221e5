"""``hawk verify``: every stored file, read whole and compared with what was recorded of it."""

from dataclasses import dataclass

import dagster as dg
import pandas as pd

from hawk_assets.core.errors import DamagedFileError, DataError, StorageError
from hawk_assets.core.schemas import validate
from hawk_assets.core.sessions import key_of, month_of
from hawk_assets.orchestration.automation.staleness import read_history
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.instance.event_log import STORED_FILE
from hawk_assets.orchestration.instance.internals import fetch_latest_tags


@dataclass(frozen=True)
class Verification:
    """:param intact: how many files are what was recorded
    :param faults: one line per month that is not, with file and cause
    """

    intact: int
    faults: list[str]


def verify(pipeline: Pipeline, instance: dg.DagsterInstance) -> Verification:
    """Read every stored file of every table.

    A file is intact if its digest is right and the recorded one, and its rows match the schema of
    its table. A file by an older release has no digest; only its rows are looked at.

    :raises StorageError: the storage cannot be read
    """
    history = read_history(instance, pipeline.catalog, pipeline.months)
    recorded = fetch_latest_tags(instance, pipeline.catalog, STORED_FILE)
    intact, faults = 0, []
    for key, table in pipeline.catalog.items():
        materialised = history[key].materialised
        known = {m: int(materialised[i]) for i, m in enumerate(pipeline.months) if materialised[i]}
        stored = {key_of(month) for month in pipeline.storage.stamps(key)}
        for month in sorted(known.keys() | stored.intersection(pipeline.months)):
            event, seal = recorded.get((key, month), (0, ""))
            digest = seal.partition(" ")[0] if event >= known.get(month, 0) else ""
            if fault := _find_fault(pipeline, table, month_of(month), month in known, digest):
                faults.append(f"{pipeline.storage.path(key, month_of(month))}: {fault}")
            else:
                intact += 1
    return Verification(intact, faults)


def _find_fault(
    pipeline: Pipeline, table: Table, month: pd.Timestamp, known: bool, digest: str
) -> str:
    """What is wrong with a month's file; empty where nothing is.

    :param known: whether Dagster's history lists the month
    :param digest: the recorded one; empty where none is
    """
    about = pipeline.storage.abouts(table.key, [month])[0]
    try:
        frame = pipeline.storage.read(table.key, pd.DatetimeIndex([month]), missing_ok=True)
    except DamagedFileError:
        return "damaged"
    except StorageError as error:
        return str(error)
    if about is None:
        return "gone"
    if not known:
        return "not in Dagster's history; to take it as it is: hawk adopt"
    if digest and about["digest"] != digest:
        return "not the file that was stored: another one, or an older copy"
    try:
        validate(table.schema, frame, table.name)
    except DataError as error:
        return str(error)
    return ""
