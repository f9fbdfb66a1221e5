"""Dagster's own folder, the instance that lives in it, and the runs a dead process left there."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from sqlalchemy.exc import SQLAlchemyError

from hawk_assets.core.errors import SettingsError

INSTANCE_SETTINGS = Path(__file__).with_name("dagster.yaml")
HOST, PROCESS = "hawk/host", "hawk/pid"
# What a step prints is copied by four more processes per run; these steps print nothing.
_OVERRIDES = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def prepare_home(home: Path) -> None:
    """Make the folder, with this project's instance settings unless it has its own.

    :raises SettingsError: it cannot be made
    """
    theirs = home / INSTANCE_SETTINGS.name
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not theirs.exists():
            theirs.unlink(missing_ok=True)  # a link to an installation that has moved
            theirs.symlink_to(INSTANCE_SETTINGS)
    except OSError as error:
        raise SettingsError(
            f"DAGSTER_HOME={home} cannot be made: {error}; point DAGSTER_HOME to a folder that can"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a folder, for runs in this process.

    :raises SettingsError: the folder or its ``dagster.yaml`` cannot be used
    """
    prepare_home(home)
    try:
        ref = InstanceRef.from_dir(str(home), overrides=_OVERRIDES)
        instance = dg.DagsterInstance.from_ref(ref)
        fail_dead_runs(instance)
    except (dg.DagsterError, SQLAlchemyError, OSError) as error:
        raise SettingsError(
            f"DAGSTER_HOME={home} cannot be used: {error}; correct its dagster.yaml or its "
            "permissions, or point DAGSTER_HOME elsewhere"
        ) from None
    with instance:
        yield instance


def run_tags() -> dict[str, str]:
    """Who runs it: without these nobody could tell that the process is gone."""
    return {HOST: socket.gethostname(), PROCESS: str(os.getpid())}


def fail_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark the runs of killed ``hawk`` processes on this machine as failed.

    Nothing else would: Dagster takes a run that never ended for one in progress, and waits for its
    months for ever.
    """
    filters = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, tags={HOST: socket.gethostname()})
    for run in instance.get_runs(filters):
        if not is_alive(int(run.tags[PROCESS])):
            instance.report_run_failed(run, "The hawk process that ran this is gone.")


def is_alive(process: int) -> bool:
    # This process has no run yet: a run with its number is of one that had the number before.
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
