"""When a month of a table is stale: an input was made after it was last set out to be made.

Facts, not ticks. A month is stale when some input month was materialised after the run that last
set out to produce it was planned, unless that same run made the input. Everything is read from the
event log, so that a restart, a lost tick or a failure in between forgets nothing; a failed attempt
counts as an attempt, so that nothing is tried twice on the same inputs. The same functions answer
``hawk status``, drive ``hawk refresh`` and are the automation condition of every service.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import dagster as dg
import numpy as np
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from numpy.typing import NDArray
from sqlalchemy import func, select

from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.catalog import Table, Upstream

MADE = dg.DagsterEventType.ASSET_MATERIALIZATION.value
PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """The latest events of one table, one entry per month; 0 where there is none.

    :param made: storage id of the latest materialisation
    :param made_by: its run, as a number that is equal for equal runs
    :param planned: storage id of the latest plan to materialise. A materialisation that no run
        made counts as its own plan. One that a run made after another run had been planned and
        done counts as planned before everything: which inputs it saw is not known.
    :param planned_by: the run planned
    """

    made: Numbers
    made_by: Numbers
    planned: Numbers
    planned_by: Numbers

    @property
    def failed(self) -> Flags:
        """Months whose latest attempt has made nothing, or nothing yet."""
        return self.planned > self.made

    def in_progress(self, runs: Iterable[str]) -> Flags:
        """Of these, the months that one of ``runs`` (run ids) has yet to make."""
        return self.failed & np.isin(self.planned_by, [_number(run) for run in runs])


def read_history(
    instance: dg.DagsterInstance, keys: Iterable[TableKey], months: Sequence[str]
) -> dict[TableKey, History]:
    """The latest events of ``keys`` in ``months`` (partition keys), in one query."""
    rows = {dg.AssetKey(key).to_string(): key for key in keys}
    columns = {month: i for i, month in enumerate(months)}
    found = {
        (name, kind): np.zeros((2, len(months)), np.int64)
        for name in rows
        for kind in (MADE, PLANNED)
    }
    storage: Any = instance.event_log_storage
    assets = [dg.AssetKey(key) for key in rows.values()]
    latest = (
        select(
            Events.c.asset_key,
            Events.c.dagster_event_type,
            Events.c.partition,
            func.max(Events.c.id).label("id"),
        )
        .where(
            Events.c.asset_key.in_(rows),
            Events.c.dagster_event_type.in_([MADE, PLANNED]),
            Events.c.partition.is_not(None),
        )
        .group_by(Events.c.asset_key, Events.c.dagster_event_type, Events.c.partition)
    )
    # What was wiped has not happened.
    details = storage._get_assets_details(assets)
    latest = storage._add_assets_wipe_filter_to_query(latest, details, assets).subquery()
    query = select(latest, Events.c.run_id).join(Events, Events.c.id == latest.c.id)
    with storage.index_connection() as conn:
        for name, kind, month, storage_id, run in conn.execute(query):
            if month in columns:
                found[name, kind][:, columns[month]] = storage_id, _number(run)
    return {key: _history(*found[name, MADE], *found[name, PLANNED]) for name, key in rows.items()}


def read_progress(
    instance: dg.DagsterInstance, keys: Iterable[TableKey], months: Sequence[str]
) -> tuple[dict[TableKey, History], dict[TableKey, Flags]]:
    """``read_history``, and of each table the months that a run in progress has yet to make."""
    # Runs first: what one of them makes in between counts as made, not as failed.
    runs = instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    history = read_history(instance, keys, months)
    return history, {key: its.in_progress(runs) for key, its in history.items()}


def _history(made: Numbers, made_by: Numbers, planned: Numbers, planned_by: Numbers) -> History:
    other = (made > planned) & (made_by != planned_by)
    own_plan = np.where(made_by == _number(""), made, 0)
    return History(
        made,
        made_by,
        np.where(other, own_plan, planned),
        np.where(other, 0, planned_by),
    )


@cache
def _number(run_id: str) -> int:
    return int.from_bytes(blake2b(run_id.encode(), digest_size=7).digest())


def newer_inputs(table: Table, history: Mapping[TableKey, History]) -> dict[TableKey, Flags]:
    """The months of ``table`` that are stale, per input that makes them so."""
    own = history[table.key]
    found = {
        source.key: _newer(source, history[source.key], own.planned, own.planned_by)
        for source in table.upstreams
    }
    return {key: newer for key, newer in found.items() if newer.any()}


def stale_months(table: Table, history: Mapping[TableKey, History]) -> Flags:
    """The months of ``table`` with a newer input, shape ``(n_months,)``.

    A range fails as a whole, whichever of its months is to blame. So a failed attempt is stale as
    a whole as soon as one of its months is.
    """
    own = history[table.key]
    stale = np.zeros(len(own.made), bool)
    for newer in newer_inputs(table, history).values():
        stale |= newer
    return stale | (own.failed & np.isin(own.planned_by, own.planned_by[own.failed & stale]))


def _newer(source: Upstream, its: History, since: Numbers, by: Numbers) -> Flags:
    """Months that read a month of ``source`` made after ``since`` by another run than ``by``."""
    newer = np.zeros(len(since), bool)
    for offset in range(source.first, source.last + 1):
        newer |= (_shifted(its.made, offset) > since) & (_shifted(its.made_by, offset) != by)
    return newer


def to_make(
    tables: Iterable[Table], history: Mapping[TableKey, History], seeds: Mapping[TableKey, Flags]
) -> dict[TableKey, Flags]:
    """What making everything stale comes to: stale months, and those that hang on them.

    A table that reads its own month before is made to the end, and from the first month that is
    missing. A month is left out while something it needs is missing or out of date and will not be
    made: the tables of a model that has failed wait for it.

    :param tables: tables to consider, each after its inputs; any other input is up to date
    :param history: of them and of their inputs
    :param seeds: months that are to be made for another reason, such as news from the source
    :return: months per table
    """
    make: dict[TableKey, Flags] = {key: months.copy() for key, months in seeds.items()}
    usable: dict[TableKey, Flags] = {}
    for table in tables:
        past = history[table.key]
        nothing = np.zeros(len(past.made), bool)
        own = stale_months(table, history) | make.get(table.key, nothing)
        ready = ~nothing
        for source in (i for i in table.upstreams if i.key != table.key):
            coming = make.get(source.key, nothing)
            there = usable.get(source.key, coming | (history[source.key].made > 0))
            own = own | _reading(source, coming)
            if not source.optional:
                ready &= ~_reading(source, ~there)
        if _is_chained(table):
            later = np.logical_or.accumulate(own[::-1])[::-1]
            own = own | (later & (past.planned == 0))
        own = _onwards(table, own)
        ready &= own | ((past.made > 0) & ~_outdated(table, history))
        ready = ~_onwards(table, ~ready)
        make[table.key], usable[table.key] = own & ready, ready
    return make


def _outdated(table: Table, history: Mapping[TableKey, History]) -> Flags:
    """Months whose latest attempt failed, and that have a newer input than when last made."""
    own = history[table.key]
    newer = np.zeros(len(own.made), bool)
    for source in table.upstreams:
        newer |= _newer(source, history[source.key], own.made, own.made_by)
    return own.failed & newer


def to_request(
    tables: Sequence[Table], history: Mapping[TableKey, History], running: Mapping[TableKey, Flags]
) -> dict[TableKey, Flags]:
    """Of all that is to be made, the months that wait for nothing.

    A month waits while something it reads, near or far, is being made or is to be made: new prices
    ask for no book before the signals on them are there. A table of the same stage is no reason to
    wait where the same months are asked of it, since one run makes both.

    :param tables: all tables that are known, each after its inputs
    :param history: of them and of their inputs
    :param running: months that are being made
    :return: months per table
    """
    make = to_make(tables, history, running)
    stages = {table.key: table.stage for table in tables}
    request: dict[TableKey, Flags] = {}
    for table in tables:
        wait, unless_together = running[table.key], np.zeros(len(make[table.key]), bool)
        mates = []
        for source in (i for i in table.upstreams if i.key != table.key and i.key in make):
            coming = make[source.key]
            if stages.get(source.key) == table.stage:
                mates.append(request[source.key])
                unless_together |= _reading(source, mates[-1])
                coming = coming & ~mates[-1]
            wait = wait | _reading(source, coming)
        months = make[table.key] & ~_onwards(table, wait)
        if any((months != mate).any() for mate in mates):
            months &= ~_onwards(table, unless_together)
        request[table.key] = months
    return request


def _is_chained(table: Table) -> bool:
    """Whether a month of the table reads the month before it."""
    return any(source.key == table.key for source in table.upstreams)


def _onwards(table: Table, months: Flags) -> Flags:
    """These months, and where the table is chained, all after the first."""
    return np.logical_or.accumulate(months) if _is_chained(table) else months


def _reading(source: Upstream, months: Flags) -> Flags:
    """The months that read one of ``months`` of ``source``."""
    found = np.zeros(len(months), bool)
    for offset in range(source.first, source.last + 1):
        found |= _shifted(months, offset)
    return found


def _shifted(values: NDArray[Any], offset: int) -> NDArray[Any]:
    """``values[i + offset]`` at i; 0 where that is no month."""
    out = np.zeros_like(values)
    if offset < 0:
        out[-offset:] = values[:offset]
    elif offset > 0:
        out[:-offset] = values[offset:]
    else:
        out[:] = values
    return out
