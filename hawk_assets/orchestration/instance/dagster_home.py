"""Dagster's own folder, the instance that lives in it, and the runs a dead process left there."""

import os
import re
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
WORKSPACE = Path(__file__).with_name("workspace.yaml")
"""Links to the files at the root of the project; copies of them in an installation."""

HOST, PROCESS = "hawk/host", "hawk/pid"
# Dagster wraps what PostgreSQL's driver raises in an exception of its own, once.
_UNUSABLE = (dg.DagsterError, SQLAlchemyError, OSError)
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
        if not theirs.exists() or _links_to_another_installation(theirs):
            theirs.unlink(missing_ok=True)
            theirs.symlink_to(INSTANCE_SETTINGS)
    except OSError as error:
        raise SettingsError(
            f"DAGSTER_HOME={home} cannot be made: {error}; point DAGSTER_HOME to a folder that can"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)


def _links_to_another_installation(file: Path) -> bool:
    """Whether it is a link of an earlier call, to a version of this project that may be another."""
    if not file.is_symlink():
        return False
    target = file.readlink()
    return target != INSTANCE_SETTINGS and "hawk_assets" in target.parts


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a folder, for runs in this process.

    :raises SettingsError: the folder, its ``dagster.yaml`` or its database cannot be used
    """
    prepare_home(home)
    try:
        ref = InstanceRef.from_dir(str(home), overrides=_OVERRIDES)
        instance = dg.DagsterInstance.from_ref(ref)
        fail_dead_runs(instance)
    except Exception as error:
        if not any(isinstance(e, _UNUSABLE) for e in (error, error.__cause__)):
            raise
        raise SettingsError(f"DAGSTER_HOME={home} cannot be used: {_explained(error)}") from None
    with instance:
        yield instance


def _explained(error: BaseException) -> str:
    """What is wrong with an instance, in a line, and what to do."""
    if unset := re.search(r'environment variable "(\w+)" which is not set', str(error)):
        return f"its dagster.yaml reads {unset[1]}, which is not set; set it"
    while error.__cause__:
        error = error.__cause__
    if type(error).__module__.startswith("psycopg2"):
        said = str(error).split("\n")[0].strip()
        return (
            f"{said}; start PostgreSQL, or correct HAWK_POSTGRES_HOST, HAWK_POSTGRES_PORT, "
            "HAWK_POSTGRES_USER, HAWK_POSTGRES_PASSWORD or HAWK_POSTGRES_DB"
        )
    return f"{error}; correct its dagster.yaml or its permissions, or point DAGSTER_HOME elsewhere"


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
