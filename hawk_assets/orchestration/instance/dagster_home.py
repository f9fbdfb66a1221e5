"""DAGSTER_HOME: the folder, and the instance in it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from sqlalchemy.exc import SQLAlchemyError

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.instance.database_errors import translate_database_errors
from hawk_assets.orchestration.instance.run_owners import fail_dead_runs

INSTANCE_SETTINGS = Path(__file__).with_name("dagster.yaml")
WORKSPACE = Path(__file__).with_name("workspace.yaml")
"""Links to the files at the root of the project; copies of them in an installation."""

# Dagster wraps an error of PostgreSQL's driver in one exception of its own.
_UNUSABLE = (dg.DagsterError, SQLAlchemyError, OSError)
# Four more processes per run copy what a step prints, and these steps print nothing.
_OVERRIDES = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def prepare_home(home: Path) -> None:
    """Create the folder, with a link to this project's dagster.yaml unless it has its own.

    :raises SettingsError: it cannot be created, or no database can be in it
    """
    if "?" in str(home):
        raise SettingsError(
            f"DAGSTER_HOME={home} has a '?' in it, where the address of a SQLite database ends; "
            "rename the folder, or point DAGSTER_HOME to another one"
        )
    theirs = home / INSTANCE_SETTINGS.name
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not theirs.exists() or _links_to_another_installation(theirs):
            theirs.unlink(missing_ok=True)
            theirs.symlink_to(INSTANCE_SETTINGS)
    except OSError as error:
        raise SettingsError(
            f"DAGSTER_HOME={home} cannot be created: {error}; point DAGSTER_HOME to another folder"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)


def _links_to_another_installation(file: Path) -> bool:
    """Whether an earlier call made it a link to another checkout or version of this project."""
    if not file.is_symlink():
        return False
    target = file.readlink()
    return target != INSTANCE_SETTINGS and "hawk_assets" in target.parts


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a folder, for runs in this process.

    :raises SettingsError: the folder, its ``dagster.yaml`` or its database cannot be used, now or
        later within the block
    """
    prepare_home(home)
    translate_database_errors()
    try:
        ref = InstanceRef.from_dir(str(home), overrides=_OVERRIDES)
        instance = dg.DagsterInstance.from_ref(ref)
        fail_dead_runs(instance)
    except SettingsError:
        raise
    except Exception as error:
        if not any(isinstance(e, _UNUSABLE) for e in (error, error.__cause__)):
            raise
        raise SettingsError(f"DAGSTER_HOME={home} cannot be used: {_explain(error)}") from None
    with instance:
        yield instance


def _explain(error: BaseException) -> str:
    """Why an instance cannot be opened, and the remedy, in one line."""
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
