"""``hawk adopt``: Dagster's history, rebuilt from the stored files.

For a database that is lost, a storage that has come from another machine, and a snapshot that is to
be gone on with. The tables are the truth; the history only says what is known of them.
"""

import json
from typing import Any

import dagster as dg

from hawk_assets.commands.events import Report
from hawk_assets.commands.turns import take_turn
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import key_of
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.staleness import read_history
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.instance.event_log import STORED_FILE
from hawk_assets.orchestration.instance.internals import CODE_VERSION_TAG, report_events
from hawk_assets.orchestration.stored_files import read_seals
from hawk_assets.storage.tables import Seal

BATCH = 1000


def adopt(pipeline: Pipeline, instance: dg.DagsterInstance, report: Report) -> int:
    """Record the stored files that the history does not list, or lists otherwise.

    Files carry the run that wrote them, when it began, the code version and the figures of their
    materialisation. They are recorded in the order of their runs, within a run upstreams first. So
    a month is stale afterwards exactly if an upstream was computed by a later run; what the history
    knew already counts as older. A file by an older release says nothing of itself and counts as
    the oldest. A damaged file is not recorded: the next refresh computes it again.

    :return: the number of files that were recorded
    :raises MissingMonthError: there is no file
    :raises StorageError: the storage cannot be read
    :raises BusyError: another run or command does not end
    """
    with take_turn(instance, "hawk adopt", pipeline.catalog, report):
        found = _unknown_files(pipeline, instance)
        found.sort(key=lambda item: item[0])
        events = [event for _, event in found]
        for first in range(0, len(events), BATCH):
            report_events(instance, events[first : first + BATCH])
    return len(events)


def _unknown_files(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> list[tuple[tuple[str, int, str], dg.AssetMaterialization]]:
    history = read_history(instance, pipeline.catalog, pipeline.months)
    seals = read_seals(instance, history, pipeline.months)
    found, files = [], 0
    for position, key in enumerate(pipeline.catalog):
        stamps = pipeline.storage.stamps(key)
        stamps = {m: stamp for m, stamp in stamps.items() if key_of(m) in pipeline.months}
        files += len(stamps)
        abouts = pipeline.storage.abouts(key, list(stamps))
        for (month, stamp), about in zip(stamps.items(), abouts, strict=True):
            if about is None:
                continue
            seal = seals.get((key, key_of(month)))
            known = history[key].materialised[pipeline.months.index(key_of(month))] > 0
            if known and (seal is None or seal.digest == about["digest"]):
                continue
            order = about.get("began", ""), position, key_of(month)
            found.append((order, _materialisation(key, key_of(month), about, stamp)))
    if not files:
        raise MissingMonthError(
            f"HAWK_STORAGE={pipeline.storage.root} holds no table of this pipeline; "
            "run: hawk backfill"
        )
    return found


def _materialisation(
    key: TableKey, month: str, about: dict[str, str], stamp: str
) -> dg.AssetMaterialization:
    figures: dict[str, Any] = json.loads(about.get("metadata", "{}"))
    version = about.get("code_version")
    return dg.AssetMaterialization(
        dg.AssetKey(key),
        partition=month,
        description="Adopted from the stored file.",
        metadata={**figures, STORED_FILE: str(Seal(about["digest"], stamp))},
        tags={CODE_VERSION_TAG: version} if version else {},
    )
