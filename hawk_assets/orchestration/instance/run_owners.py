"""Which process executes a run, and whether it still lives."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, NOT_FINISHED_STATUSES

from hawk_assets.core.errors import SettingsError
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.locks import COMMAND_LOCK, Holder, holding

LOCK, HOST, PROCESS, BY = "hawk/lock", "hawk/host", "hawk/pid", "hawk/by"
"""Tags: a run whose ``LOCK`` is its own id holds a lock of that name while its process lives.

Dagster copies the tags of a run to its retries, where ``LOCK`` is then the id of another run.
"""

_DAGSTER = "Dagster"
_GONE = "The process that ran this is gone."


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that is queued, starting or under way."""

    run: dg.DagsterRun
    created: datetime

    @property
    def tables(self) -> set[TableKey]:
        """What it materialises; empty for everything."""
        return {tuple(key.path) for key in self.run.asset_selection or ()}

    @property
    def has_process(self) -> bool:
        """Whether a process has begun to execute it."""
        return _has_lock(self.run) or self.run.status in IN_PROGRESS_RUN_STATUSES

    @property
    def is_command(self) -> bool:
        return is_command_run(self.run)

    @property
    def owner(self) -> str:
        """Who executes it, and where."""
        tags = self.run.tags
        if not (_has_lock(self.run) or _is_of_older_command(self.run)):
            return f"{_DAGSTER}, {self.run.status.value.lower().replace('_', ' ')}"
        return f"{tags.get(BY, 'hawk')}, process {tags[PROCESS]} on {tags[HOST]}"


def describe_process(what: str) -> str:
    """This process, for a lock that others want as well."""
    return f"{what}, process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def new_command_run(
    instance: dg.DagsterInstance, command: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """The id and the tags of a run of this process, which holds its lock meanwhile.

    :param command: what runs it, such as "hawk refresh"
    """
    run_id = str(uuid4())
    with holding(instance_locks(instance), run_id, describe_process(command)):
        try:
            yield run_id, _tags(run_id, command)
        except BaseException:
            with suppress(SettingsError):  # a database that is lost says so once
                run = instance.get_run_by_id(run_id)
                if run and not run.is_finished:
                    instance.report_run_failed(run, "The hawk command was stopped.")
            raise


def hold_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Take the lock of a run that this process is about to execute, until it ends."""
    locks = instance_locks(instance)
    if not locks.has(run_id) and locks.take(run_id, describe_process(_DAGSTER)):
        instance.add_run_tags(run_id, _tags(run_id, _DAGSTER))


def _tags(run_id: str, by: str) -> dict[str, str]:
    return {LOCK: run_id, HOST: socket.gethostname(), PROCESS: str(os.getpid()), BY: by}


def is_command_run(run: dg.DagsterRun) -> bool:
    """Whether the ``hawk`` command executes it, and no launcher knows it."""
    return (_has_lock(run) and run.tags[BY] != _DAGSTER) or _is_of_older_command(run)


def _has_lock(run: dg.DagsterRun) -> bool:
    return run.tags.get(LOCK) == run.run_id


def _is_of_older_command(run: dg.DagsterRun) -> bool:
    """Releases before locks named the host and the process only."""
    return PROCESS in run.tags and LOCK not in run.tags and not run.parent_run_id


def find_command(instance: dg.DagsterInstance) -> Holder | None:
    """The ``hawk`` command that is working on the instance."""
    return instance_locks(instance).find_holder(COMMAND_LOCK)


def fetch_unfinished(instance: dg.DagsterInstance) -> list[UnfinishedRun]:
    """The runs that are queued, starting or under way; also those of dead processes."""
    records = instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return [UnfinishedRun(r.dagster_run, r.create_timestamp.astimezone(UTC)) for r in records]


def fetch_in_progress(instance: dg.DagsterInstance) -> list[UnfinishedRun]:
    """The runs that living processes execute, and those that wait for a process."""
    runs = fetch_unfinished(instance)
    dead = find_dead(instance, runs)
    return [found for found in runs if found not in dead]


def find_dead(instance: dg.DagsterInstance, runs: Sequence[UnfinishedRun]) -> list[UnfinishedRun]:
    """Those whose process has ended without saying so."""
    locks = instance_locks(instance)
    locked = [found.run.run_id for found in runs if _has_lock(found.run)]
    held = locks.find_held(locked)
    dead = [
        found
        for found in runs
        if (_has_lock(found.run) and found.run.run_id not in held)
        or (_is_of_older_command(found.run) and not _may_live(found, locks.on_one_machine))
    ]
    # A run that ends between the two looks gives back its lock after it has said so.
    ended = {found.run.run_id for found in dead} - {
        found.run.run_id for found in (fetch_unfinished(instance) if dead else [])
    }
    return [found for found in dead if found.run.run_id not in ended]


def _may_live(found: UnfinishedRun, on_one_machine: bool) -> bool:
    """Whether the process of a run without a lock may be the one that the run names."""
    if found.run.tags.get(HOST) != socket.gethostname():
        return not on_one_machine  # this machine has had another name since then
    process = int(found.run.tags[PROCESS])
    return process != os.getpid() and lives_since(process, found.created)


def is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool | None:
    """Whether the process of an unfinished run has ended; None where a run does not tell."""
    if not (_has_lock(run) or _is_of_older_command(run)):
        return None
    found = [it for it in fetch_unfinished(instance) if it.run.run_id == run.run_id]
    return bool(find_dead(instance, found))


def fail_dead_runs(instance: dg.DagsterInstance, of_commands_only: bool = True) -> None:
    """Mark the runs of dead processes as failed.

    Dagster would count them as in progress for ever, and never request their months again.

    :param of_commands_only: leave the others to the daemon, which can run them again
    """
    for found in find_dead(instance, fetch_unfinished(instance)):
        if is_command_run(found.run) or not of_commands_only:
            instance.report_run_failed(found.run, _GONE)
    instance_locks(instance).clear()


def lives_since(process: int, moment: datetime) -> bool:
    """Whether a process of this machine lives, and is not a later one with the same number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    began = _began(process)
    return began is None or began <= moment.timestamp() + _CLOCK_SECONDS


_CLOCK_SECONDS = 2.0
"""How far the start of a process, counted from the start of the machine, may be off."""


def _began(process: int) -> float | None:
    """When a process began, in seconds since 1970; None where the system does not tell."""
    with suppress(OSError, StopIteration, IndexError, ValueError):
        after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        lines = Path("/proc/stat").read_text().splitlines()
        booted = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return booted + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return None
