"""``hawk verify``: every stored file, read whole and compared with what was recorded of it."""

from dataclasses import dataclass

import dagster as dg
import numpy as np
import pandas as pd

from hawk_assets.core.errors import DataError, StorageError
from hawk_assets.core.schemas import validate
from hawk_assets.core.sessions import key_of, month_of
from hawk_assets.orchestration.automation.staleness import read_history
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.stored_files import read_seals
from hawk_assets.storage.tables import Tables


@dataclass(frozen=True)
class Verification:
    """:param intact: how many files are what was recorded
    :param faults: one line per month that is not, with file and cause
    """

    intact: int
    faults: list[str]


def verify(pipeline: Pipeline, instance: dg.DagsterInstance) -> Verification:
    """Read every stored file of every table, once.

    A file is intact if its digest is that of its content and the recorded one: then it holds the
    rows that were validated when it was written. A file by an older release has no digest; its rows
    are validated again.

    :raises StorageError: the storage cannot be read
    """
    history = read_history(instance, pipeline.catalog, pipeline.months)
    seals = read_seals(instance, history, pipeline.months)
    intact, faults = 0, []
    for key, table in pipeline.catalog.items():
        known = set(np.asarray(pipeline.months)[history[key].materialised > 0].tolist())
        stored = {key_of(month) for month in pipeline.storage.stamps(key)}
        months = [month_of(m) for m in sorted(known | stored.intersection(pipeline.months))]
        abouts = pipeline.storage.abouts(key, months)
        for month, about in zip(months, abouts, strict=True):
            name = key_of(month)
            if name not in stored:
                fault = "gone"
            elif about is None:
                fault = "damaged"
            elif name not in known:
                fault = "not in Dagster's history; to take it as it is: hawk adopt"
            elif (seal := seals.get((key, name))) and about["digest"] != seal.digest:
                fault = "not the file that was stored: another one, or an older copy"
            else:
                fault = "" if about["digest"] else _validate(pipeline.storage, table, month)
            if fault:
                faults.append(f"{pipeline.storage.path(key, month)}: {fault}")
            else:
                intact += 1
    return Verification(intact, faults)


def _validate(storage: Tables, table: Table, month: pd.Timestamp) -> str:
    """What is wrong with the rows of a month; empty where nothing is."""
    try:
        validate(table.schema, storage.read(table.key, pd.DatetimeIndex([month])), table.name)
    except (DataError, StorageError) as error:
        return str(error)
    return ""
