"""Whose turn it is: one command at a time works on an instance, and none beside another run.

Two that work at once read what the other has half replaced: a book of old and new signals.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from hawk_assets.commands.events import Notice, Report
from hawk_assets.core.errors import BusyError
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.internals import partition_range
from hawk_assets.orchestration.instance.locks import COMMAND_LOCK, Locks
from hawk_assets.orchestration.instance.run_owners import (
    UnfinishedRun,
    describe_process,
    fail_dead_runs,
    fetch_in_progress,
    find_command,
)
from hawk_assets.orchestration.interrupts import raise_if_received

PATIENCE_SECONDS = 900.0
"""How long a command waits for a run or a command that does not end."""

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Busy:
    """Something to wait for.

    :param name: what it is, who executes it, where, and since when
    :param state: what changes whenever it gets on
    :param remedy: how to end it
    """

    name: str
    state: tuple[str, ...]
    remedy: str


@dataclass
class Turn:
    """The right of a command to materialise tables.

    :param command: which, such as "hawk refresh"
    :param keys: the tables; a run that materialises none of them is not waited for
    :param waited: whether a run of somebody else was waited for: what it read may have changed
    """

    instance: dg.DagsterInstance
    command: str
    keys: Collection[TableKey]
    report: Report
    waited: bool = False

    def wait_for_runs(self) -> None:
        """Wait until no run of anybody else is queued or under way.

        :raises BusyError: one of them does not end
        """
        self.waited |= _wait(lambda: find_busy(self.instance, self.keys), self.report)


@contextmanager
def take_turn(
    instance: dg.DagsterInstance, command: str, keys: Collection[TableKey], report: Report
) -> Iterator[Turn]:
    """The turn of this command: waits for other commands first, then for all other runs.

    :raises BusyError: one of them does not end
    """
    locks = instance_locks(instance)
    try:
        _wait(lambda: _take(instance, locks, command), report)
        fail_dead_runs(instance, of_commands_only=False)
        turn = Turn(instance, command, keys, report)
        turn.wait_for_runs()
        yield turn
    finally:
        locks.release(COMMAND_LOCK)


def _take(instance: dg.DagsterInstance, locks: Locks, command: str) -> list[Busy]:
    """Take the lock of commands; else the command that has it."""
    if locks.take(COMMAND_LOCK, describe_process(command)):
        return []
    if not (holder := find_command(instance)):
        return _take(instance, locks, command)
    runs = sorted(found.run.run_id for found in fetch_in_progress(instance))
    name = f"{holder.text}, at work since {_at(holder.since)}"
    return [Busy(name, (name, *runs), "press Ctrl-C there, or end that process")]


def find_activity(instance: dg.DagsterInstance) -> list[str]:
    """What is at work on the instance, or waits to be: one line each."""
    command, runs = find_command(instance), fetch_in_progress(instance)
    lines = [f"{command.text}, at work since {_at(command.since)}"] if command else []
    return lines + [describe_run(found) for found in runs]


def find_busy(instance: dg.DagsterInstance, keys: Collection[TableKey]) -> list[Busy]:
    """The runs of living processes, and those that wait for one, that materialise tables."""
    return [
        Busy(describe_run(found), (found.run.run_id,), _remedy(found))
        for found in fetch_in_progress(instance)
        if not found.tables or found.tables.intersection(keys)
    ]


def describe_run(found: UnfinishedRun) -> str:
    """A run in one line: its tables and months, who executes it, where, and since when."""
    stages = sorted({key[0] for key in found.tables}) or ["all tables"]
    first, last = ((month or "")[:7] for month in partition_range(found.run))
    months = f", {first}" + (f" to {last}" if last != first else "") if first else ""
    return (
        f"run {found.run.run_id[:8]} ({', '.join(stages)}{months}) by {found.owner}, "
        f"since {_at(found.created)}"
    )


def _remedy(found: UnfinishedRun) -> str:
    if found.is_command:
        return "press Ctrl-C there, or end that process"
    page = "on the page Runs of the Dagster UI (hawk dev)"
    if found.has_process:
        return f"terminate it {page}"
    return f"start the Dagster daemon, which executes it (hawk dev), or terminate it {page}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _wait(look: Callable[[], list[Busy]], report: Report) -> bool:
    """Wait until ``look`` finds nothing any more.

    :return: whether there was anything
    :raises BusyError: something has not got on for ``PATIENCE_SECONDS``
    """
    names: set[str] = set()
    since: dict[tuple[str, ...], float] = {}
    while busy := look():
        raise_if_received()
        now = time.monotonic()
        since = {it.state: since.get(it.state, now) for it in busy}
        for it in busy:
            if it.name not in names:
                report(Notice(f"waiting for {it.name}"))
            if now - since[it.state] > PATIENCE_SECONDS:
                raise BusyError(
                    f"{it.name}, has not ended within {PATIENCE_SECONDS / 60:.0f} minutes: "
                    f"{it.remedy}; then run the same command again"
                )
            names.add(it.name)
        time.sleep(LOOK_SECONDS)
    return bool(names)
