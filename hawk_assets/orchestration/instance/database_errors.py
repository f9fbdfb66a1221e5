"""What a broken database of DAGSTER_HOME means, in one line, wherever it is met.

Dagster and SQLAlchemy meet it in a hundred places, also in the middle of a run. SQLAlchemy passes
every error of a database through one door, and there it becomes an error of ours.
"""

import os

from sqlalchemy import Engine
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.event import contains, listen

from hawk_assets.core.errors import SettingsError

_ELSEWHERE = "or point DAGSTER_HOME to another folder"
_DAMAGED = "restore it from a backup, or move the folder DAGSTER_HOME away and run: hawk adopt"
_REMEDIES = {
    "disk is full": f"free space there, {_ELSEWHERE}",
    "disk I/O error": f"free space there or repair the disk, {_ELSEWHERE}",
    "malformed": _DAMAGED,
    "not a database": _DAMAGED,
    "readonly": f"make it writable, {_ELSEWHERE}",
    "unable to open": f"make the folder writable, {_ELSEWHERE}",
}
"""By what SQLite says. Its other errors pass in time, or Dagster expects them."""


def translate_database_errors() -> None:
    """From now on, a SQLite database that cannot be used is a ``SettingsError`` in this process."""
    if not contains(Engine, "handle_error", _translate):
        listen(Engine, "handle_error", _translate)


def _translate(context: ExceptionContext) -> None:
    said = str(context.original_exception)
    remedy = next((its for words, its in _REMEDIES.items() if words in said), None)
    if context.dialect.name != "sqlite" or remedy is None:
        return
    file = context.engine.url.database if context.engine else None
    home = os.environ.get("DAGSTER_HOME", "")
    raise SettingsError(f"DAGSTER_HOME={home} cannot be used: {said} ({file}); {remedy}")
