"""When a month of a table is stale: an input was made after it was last set out to be made.

Facts, not ticks. A month is stale when some input month was materialised after the run that last
set out to produce it was planned, unless that same run made the input. Everything is read from the
event log, so that a restart, a lost tick or a failure in between forgets nothing; a failed attempt
counts as an attempt, so that nothing is tried twice on the same inputs. The same function answers
``hawk status``, drives ``hawk refresh`` and is the automation condition of every service.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import dagster as dg
import numpy as np
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from numpy.typing import NDArray
from sqlalchemy import select

from hawk_assets.orchestration.plan import Key, Output

PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
MADE = dg.DagsterEventType.ASSET_MATERIALIZATION
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class History:
    """The latest events of one table, one entry per month; 0 where there is none.

    :param made: storage id of the latest materialisation
    :param made_by: its run, as a number that is equal for equal runs
    :param planned: storage id of the latest plan to materialise; a materialisation that nobody
        planned counts as its own plan
    :param planned_by: its run
    """

    made: NDArray[np.int64]
    made_by: NDArray[np.int64]
    planned: NDArray[np.int64]
    planned_by: NDArray[np.int64]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Months whose latest attempt has made nothing, or nothing yet."""
        return self.planned > self.made


def read_history(
    instance: dg.DagsterInstance, keys: Iterable[Key], months: Sequence[str]
) -> dict[Key, History]:
    """The latest events of ``keys`` in ``months`` (partition keys), in two queries per table."""
    position = {month: i for i, month in enumerate(months)}
    storage = instance.event_log_storage
    history = {}
    for key in keys:
        columns = {}
        for kind in (MADE, PLANNED):
            ids, by = np.zeros(len(months), np.int64), np.zeros(len(months), np.int64)
            latest = storage._latest_event_ids_by_partition_subquery(dg.AssetKey(key), [kind])
            query = select(latest.c.partition, Events.c.id, Events.c.run_id).join(
                latest, Events.c.id == latest.c.id
            )
            with storage.index_connection() as conn:
                for month, storage_id, run in conn.execute(query):
                    if month in position:
                        ids[position[month]] = storage_id
                        by[position[month]] = _number(run)
            columns[kind] = ids, by
        (made, made_by), (planned, planned_by) = columns[MADE], columns[PLANNED]
        unplanned = made > planned
        unplanned &= made_by != planned_by
        history[key] = History(
            made,
            made_by,
            np.where(unplanned, made, planned),
            np.where(unplanned, made_by, planned_by),
        )
    return history


@cache
def _number(run_id: str) -> int:
    return int.from_bytes(blake2b(run_id.encode(), digest_size=7).digest())


def newer_inputs(output: Output, history: Mapping[Key, History]) -> dict[Key, Flags]:
    """The months of ``output`` that are stale, per input that makes them so."""
    own = history[output.key]
    found = {}
    for source in output.inputs:
        its = history[source.key]
        newer = np.zeros(len(own.made), bool)
        for offset in range(source.first, source.last + 1):
            made, made_by = _shifted(its.made, offset), _shifted(its.made_by, offset)
            newer |= (made > own.planned) & (made_by != own.planned_by)
        if newer.any():
            found[source.key] = newer
    return found


def stale_months(output: Output, history: Mapping[Key, History]) -> Flags:
    """The months of ``output`` with a newer input, shape ``(n_months,)``."""
    stale = np.zeros(len(history[output.key].made), bool)
    for newer in newer_inputs(output, history).values():
        stale |= newer
    return stale


def to_make(
    outputs: Iterable[Output], history: Mapping[Key, History], seeds: Mapping[Key, Flags]
) -> dict[Key, Flags]:
    """What making everything stale comes to: stale months, and those that hang on them.

    :param outputs: tables to consider, each after its inputs
    :param history: of them and of their inputs
    :param seeds: months that are to be made for another reason, such as news from the source
    :return: months per table, none of which lacks an input that will not be made either
    """
    make: dict[Key, Flags] = {key: months.copy() for key, months in seeds.items()}
    for output in outputs:
        own = stale_months(output, history) | make.get(output.key, False)
        blocked = np.zeros(len(own), bool)
        for source in output.inputs:
            if source.key == output.key:
                own = np.logical_or.accumulate(own)
                continue
            there = history[source.key].made > 0
            made = make.get(source.key, np.zeros(len(own), bool))
            for offset in range(source.first, source.last + 1):
                own = own | _shifted(made, offset)
                if not source.optional:
                    blocked |= ~_shifted(there | made, offset, outside=True)
        make[output.key] = own & ~blocked
    return make


def _shifted(values: NDArray[Any], offset: int, outside: Any = 0) -> NDArray[Any]:
    """``values[i + offset]`` at i; ``outside`` where that is no month."""
    out = np.full_like(values, outside)
    if offset < 0:
        out[-offset:] = values[:offset]
    elif offset > 0:
        out[:-offset] = values[offset:]
    else:
        out[:] = values
    return out
