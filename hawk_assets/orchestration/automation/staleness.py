"""Which months of a table are stale, and which months to materialise because of that.

A month is stale when one of its upstream months was materialised after the last run that was to
materialise the month was planned, unless that same run materialised the upstream month. All of
this is read from the event log: a restart, a lost tick or a failure in between loses nothing. A
failed attempt counts as an attempt, so that nothing is tried twice on the same upstreams.

``hawk status``, ``hawk refresh`` and the automation condition of every service use these functions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from hawk_assets.core.types import Flags, Ids, TableKey
from hawk_assets.orchestration.catalog import Table, Upstream
from hawk_assets.orchestration.instance.internals import (
    MATERIALISED,
    PLANNED,
    fetch_latest_events,
    fetch_unfinished_runs,
)


@dataclass(frozen=True)
class History:
    """The latest events of one table, one entry per month; 0 where there is none.

    :param materialised: storage id of the latest materialisation
    :param materialised_by: its run, as a number that is equal for equal runs
    :param planned: storage id of the latest plan to materialise. A materialisation reported without
        a run counts as its own plan. One by another run than the last one planned counts as planned
        before everything else, since nobody knows which upstreams it read.
    :param planned_by: the run of that plan
    """

    materialised: Ids
    materialised_by: Ids
    planned: Ids
    planned_by: Ids

    @property
    def failed(self) -> Flags:
        """Months that the latest attempt has not materialised: it failed, or still runs."""
        return self.planned > self.materialised

    def in_progress(self, runs: Iterable[str]) -> Flags:
        """Of these, the months that one of ``runs`` (run ids) is still to materialise."""
        return self.failed & np.isin(self.planned_by, [_run_number(run) for run in runs])


def read_history(
    instance: dg.DagsterInstance, keys: Iterable[TableKey], months: Sequence[str]
) -> dict[TableKey, History]:
    """The latest events of ``keys`` in ``months`` (partition keys), in one query."""
    keys = list(keys)
    columns = {month: i for i, month in enumerate(months)}
    found = {
        (key, kind): np.zeros((2, len(months)), np.int64)
        for key in keys
        for kind in (MATERIALISED, PLANNED)
    }
    for key, kind, month, storage_id, run in fetch_latest_events(instance, keys):
        if month in columns:
            found[key, kind][:, columns[month]] = storage_id, _run_number(run)
    return {key: _history(*found[key, MATERIALISED], *found[key, PLANNED]) for key in keys}


def read_progress(
    instance: dg.DagsterInstance,
    keys: Iterable[TableKey],
    months: Sequence[str],
    runs: Iterable[str] | None = None,
) -> tuple[dict[TableKey, History], dict[TableKey, Flags]]:
    """``read_history``, and per table the months that an unfinished run is still to materialise.

    :param runs: ids of the runs that count; default: all unfinished ones
    """
    # Runs first: a month that one of them materialises in between then counts as materialised.
    runs = list(fetch_unfinished_runs(instance) if runs is None else runs)
    history = read_history(instance, keys, months)
    return history, {key: its.in_progress(runs) for key, its in history.items()}


def _history(materialised: Ids, materialised_by: Ids, planned: Ids, planned_by: Ids) -> History:
    by_another_run = (materialised > planned) & (materialised_by != planned_by)
    own_plan = np.where(materialised_by == _run_number(""), materialised, 0)
    return History(
        materialised,
        materialised_by,
        np.where(by_another_run, own_plan, planned),
        np.where(by_another_run, 0, planned_by),
    )


@cache
def _run_number(run_id: str) -> int:
    return int.from_bytes(blake2b(run_id.encode(), digest_size=7).digest())


def newer_upstreams(table: Table, history: Mapping[TableKey, History]) -> dict[TableKey, Flags]:
    """The stale months of ``table``, per upstream that makes them stale."""
    own = history[table.key]
    found = {
        upstream.key: _has_newer(upstream, history[upstream.key], own.planned, own.planned_by)
        for upstream in table.upstreams
    }
    return {key: months for key, months in found.items() if months.any()}


def stale_months(table: Table, history: Mapping[TableKey, History]) -> Flags:
    """The months of ``table`` that have a newer upstream, shape ``(n_months,)``.

    A range fails as a whole, whichever of its months caused the failure. So all months of a failed
    attempt are stale as soon as one of them is.
    """
    own = history[table.key]
    stale = np.zeros(len(own.planned), bool)
    for months in newer_upstreams(table, history).values():
        stale |= months
    return stale | (own.failed & np.isin(own.planned_by, own.planned_by[own.failed & stale]))


def _has_newer(upstream: Upstream, its: History, since: Ids, by: Ids) -> Flags:
    """Months with an upstream month materialised after ``since``, by another run than ``by``."""
    newer = np.zeros(len(since), bool)
    for offset in range(upstream.first, upstream.last + 1):
        newer |= (_shift(its.materialised, offset) > since) & (
            _shift(its.materialised_by, offset) != by
        )
    return newer


def months_to_materialise(
    tables: Iterable[Table],
    history: Mapping[TableKey, History],
    seeds: Mapping[TableKey, Flags],
    running: Mapping[TableKey, Flags] | None = None,
    retries: Mapping[TableKey, Flags] | None = None,
) -> dict[TableKey, Flags]:
    """All months to materialise so that nothing is stale: stale months and everything downstream.

    A table that reads its own previous month is recomputed to the end, and starts at its first
    missing month. A month is skipped while something it needs is missing or outdated and will not
    be materialised: everything downstream of a failed model waits for it. So does everything
    downstream of a month that a run is still to materialise, near or far, optional or not: what is
    stored of it is about to be replaced.

    :param tables: the tables to consider, each after its upstreams; all others are up to date
    :param history: of these tables and their upstreams
    :param seeds: months to materialise for another reason, such as changed months of the source
    :param running: months that a run is still to materialise
    :param retries: months that may well fail again. What reads them as an optional upstream is not
        recomputed because of them: it is stale once they have been materialised.
    :return: months per table
    """
    retries = retries or {}
    sure = {  # whatever becomes of the retries
        key: months & ~retries.get(key, np.zeros_like(months)) for key, months in seeds.items()
    }
    waiting: dict[TableKey, Flags] = {}
    chosen: dict[TableKey, Flags] = {key: months.copy() for key, months in seeds.items()}
    usable: dict[TableKey, Flags] = {}
    for table in tables:
        past = history[table.key]
        none = np.zeros(len(past.planned), bool)
        wanted = stale_months(table, history) | chosen.get(table.key, none)
        surely, unsure = wanted, retries.get(table.key, none)
        ready = ~none
        waits = none if running is None else running[table.key].copy()
        for upstream in (u for u in table.upstreams if u.key != table.key):
            coming = chosen.get(upstream.key, none)
            present = usable.get(upstream.key, coming | (history[upstream.key].materialised > 0))
            surely_coming = months_reading(upstream, sure.get(upstream.key, none))
            surely = surely | surely_coming
            if not upstream.optional:
                unsure = unsure | months_reading(upstream, coming & ~sure.get(upstream.key, none))
            wanted = wanted | (
                surely_coming if upstream.optional else months_reading(upstream, coming)
            )
            waits = waits | months_reading(upstream, waiting.get(upstream.key, none))
            if not upstream.optional:
                ready &= ~months_reading(upstream, ~present)
        wanted, surely = (_and_what_belongs(table, past, months) for months in (wanted, surely))
        ready &= wanted | ((past.materialised > 0) & ~_failed_and_outdated(table, history))
        waiting[table.key] = _and_dependent_months(table, waits)
        ready = ~_and_dependent_months(table, ~ready) & ~waiting[table.key]
        chosen[table.key], usable[table.key] = wanted & ready, ready
        sure[table.key] = surely & chosen[table.key] & ~_and_dependent_months(table, unsure)
    return chosen


def _and_what_belongs(table: Table, past: History, months: Flags) -> Flags:
    """These months and, where the table reads itself, those after and its first missing ones."""
    if _reads_itself(table):
        before = np.logical_or.accumulate(months[::-1])[::-1]
        months = months | (before & (past.planned == 0))
    return _and_dependent_months(table, months)


def _failed_and_outdated(table: Table, history: Mapping[TableKey, History]) -> Flags:
    """Months whose latest attempt failed and whose stored rows are older than an upstream."""
    own = history[table.key]
    newer = np.zeros(len(own.planned), bool)
    for upstream in table.upstreams:
        newer |= _has_newer(upstream, history[upstream.key], own.materialised, own.materialised_by)
    return own.failed & newer


def months_to_request(
    tables: Sequence[Table],
    history: Mapping[TableKey, History],
    running: Mapping[TableKey, Flags],
) -> dict[TableKey, Flags]:
    """Of all months to materialise, those that need not wait.

    A month waits while anything upstream of it, near or far, is running or is to be materialised:
    new prices request no book before the signals on them exist. It does not wait for a table of its
    own stage that is requested for the same months, since one run materialises both.

    :param tables: all tables that are known, each after its upstreams
    :param history: of these tables and their upstreams
    :param running: months that a run is materialising
    :return: months per table
    """
    chosen = months_to_materialise(tables, history, running)
    stages = {table.key: table.stage for table in tables}
    request: dict[TableKey, Flags] = {}
    for table in tables:
        wait, wait_if_apart = running[table.key], np.zeros(len(chosen[table.key]), bool)
        same_stage = []
        for upstream in (u for u in table.upstreams if u.key != table.key and u.key in chosen):
            coming = chosen[upstream.key]
            if stages.get(upstream.key) == table.stage:
                same_stage.append(request[upstream.key])
                wait_if_apart |= months_reading(upstream, same_stage[-1])
                coming = coming & ~same_stage[-1]
            wait = wait | months_reading(upstream, coming)
        months = chosen[table.key] & ~_and_dependent_months(table, wait)
        if any((months != other).any() for other in same_stage):
            months &= ~_and_dependent_months(table, wait_if_apart)
        request[table.key] = months
    return request


def _reads_itself(table: Table) -> bool:
    """Whether a month of the table reads the month before it."""
    return any(upstream.key == table.key for upstream in table.upstreams)


def _and_dependent_months(table: Table, months: Flags) -> Flags:
    """These months and, where the table reads itself, every month after the first of them."""
    return np.logical_or.accumulate(months) if _reads_itself(table) else months


def months_reading(upstream: Upstream, months: Flags) -> Flags:
    """The months that read one of ``months`` of the upstream."""
    found = np.zeros(len(months), bool)
    for offset in range(upstream.first, upstream.last + 1):
        found |= _shift(months, offset)
    return found


def _shift(values: NDArray[Any], offset: int) -> NDArray[Any]:
    """``values[i + offset]`` at i; 0 where that is outside the array."""
    out = np.zeros_like(values)
    if offset < 0:
        out[-offset:] = values[:offset]
    elif offset > 0:
        out[:-offset] = values[offset:]
    else:
        out[:] = values
    return out
