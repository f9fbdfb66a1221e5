"""Whether the files are what the event log says: a file can be lost, damaged or replaced.

It prevents this incident: a volume was not mounted during one refresh. The event log recorded a
new session, the files came back without it, and everything counted as up to date for ever.

Each materialisation records the seal of its file: the digest of its content, and a stamp that one
listing per table shows. A file whose stamp is another is opened. If its digest is the recorded one
it was copied or moved, and is as good as before; otherwise it is lost. A month whose file is lost
counts as never materialised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg
import numpy as np

from hawk_assets.core.errors import StorageError
from hawk_assets.core.sessions import key_of, month_of
from hawk_assets.core.types import Flags, Ids, TableKey
from hawk_assets.orchestration.automation.staleness import History
from hawk_assets.orchestration.instance.event_log import STORED_FILE
from hawk_assets.orchestration.instance.internals import fetch_latest_tags, report_events
from hawk_assets.storage.tables import Seal, Tables

GONE = "the stored file is gone"
OTHER = "the stored file is damaged, or not the one that was stored"  # nobody can tell which


@dataclass(frozen=True)
class FileCheck:
    """The files of some tables against the event log.

    :param lost: per table, the months whose file is gone, damaged or another
    :param reasons: why, per table with lost months
    :param moved: the new seals of files that were copied or moved, by table and partition key
    """

    lost: dict[TableKey, Flags] = field(default_factory=dict)
    reasons: dict[TableKey, list[str]] = field(default_factory=dict)
    moved: dict[tuple[TableKey, str], Seal] = field(default_factory=dict)

    def forget_lost(self, history: Mapping[TableKey, History]) -> dict[TableKey, History]:
        """The history without the months whose file is lost."""
        return {key: _forget(its, self.lost.get(key)) for key, its in history.items()}

    def agrees_with(
        self,
        before: Mapping[TableKey, History],
        after: Mapping[TableKey, History],
        running: Mapping[TableKey, Flags],
    ) -> bool:
        """Whether no lost month was materialised, and none is being, since the history was read.

        :param after: of the tables with lost months, read after the files
        """
        return not any(
            ((before[key].materialised != after[key].materialised) | running[key])[lost].any()
            for key, lost in self.lost.items()
        )


def read_seals(
    instance: dg.DagsterInstance, history: Mapping[TableKey, History], months: Sequence[str]
) -> dict[tuple[TableKey, str], Seal]:
    """The recorded seal of each month, by table and partition key.

    :return: absent for a month that was never materialised, or by an older release
    """
    at = {month: i for i, month in enumerate(months)}
    found = fetch_latest_tags(instance, history, STORED_FILE)
    return {
        (key, month): Seal.parse(text)
        for (key, month), (event, text) in found.items()
        if month in at and event >= history[key].materialised[at[month]] > 0
    }


def check_files(
    instance: dg.DagsterInstance,
    storage: Tables,
    history: Mapping[TableKey, History],
    running: Mapping[TableKey, Flags],
    months: Sequence[str],
) -> FileCheck:
    """Compare the files with the latest materialisations.

    Months that a run is materialising are left out. So are materialisations without a seal, as
    older releases stored them, as long as there is a file.

    :param history: of the tables to check, read before this call
    :raises StorageError: the storage cannot be read, or none of the files is there
    """
    seals = read_seals(instance, history, months)
    check = FileCheck()
    found = 0
    for key, its in history.items():
        stamps = {key_of(month): stamp for month, stamp in storage.stamps(key).items()}
        due = (its.materialised > 0) & ~running[key]
        found += len(stamps)
        gone: list[int] = []
        other: list[int] = []
        doubtful: dict[int, str] = {}
        for at in np.flatnonzero(due).tolist():
            month = months[at]
            seal = seals.get((key, month))
            if month not in stamps:
                gone.append(at)
            elif seal and seal.stamp != stamps[month]:
                doubtful[at] = seal.digest
        digests = storage.digests(key, [month_of(months[at]) for at in doubtful])
        for (at, wanted), digest in zip(doubtful.items(), digests, strict=True):
            if digest == wanted:
                check.moved[key, months[at]] = Seal(digest, stamps[months[at]])
            else:
                other.append(at)
        if gone or other:
            check.lost[key] = np.isin(np.arange(len(months)), gone + other)
            check.reasons[key] = [GONE] * bool(gone) + [OTHER] * bool(other)
    stored = sum(int((its.materialised > 0).sum()) for its in history.values())
    if stored and not found:
        raise StorageError(
            f"HAWK_STORAGE={storage.root} holds none of the {stored} files that Dagster's history "
            "lists: is the disk mounted, and is it the right storage? If they are lost: "
            "hawk backfill"
        )
    return check


def record_moved(instance: dg.DagsterInstance, check: FileCheck) -> None:
    """Record the new stamps of files that were copied or moved, so that none is opened again."""
    report_events(
        instance,
        [
            dg.AssetObservation(
                dg.AssetKey(key),
                partition=month,
                description="The file was copied or moved; its content is the recorded one.",
                metadata={STORED_FILE: str(seal)},
            )
            for (key, month), seal in check.moved.items()
        ],
    )


def _forget(history: History, lost: Flags | None) -> History:
    if lost is None:
        return history

    def keep(values: Ids) -> Ids:
        return np.where(lost, 0, values)

    return replace(
        history,
        materialised=keep(history.materialised),
        materialised_by=keep(history.materialised_by),
        planned=keep(history.planned),
        planned_by=keep(history.planned_by),
    )
