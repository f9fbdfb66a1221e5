"""Variables from the file ``.env`` in the current folder, as ``dagster dev`` reads it too.

The environment goes before the file, and the file before ``hawk.yaml``.
"""

import io
import logging
import os
from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from hawk_assets.core.errors import SettingsError

ENV_FILE = ".env"
_read: dict[str, str] = {}
_contradicted: list[str] = []


def read_env_file(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables of the file that are not set, or empty.

    :raises SettingsError: the file cannot be read
    """
    _read.clear()
    _contradicted.clear()
    if not os.path.exists(ENV_FILE):
        return
    try:
        text = Path(ENV_FILE).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(
            f"{ENV_FILE} in the current folder cannot be read: {why}; correct it, or remove it"
        ) from None
    if "\0" in text:
        raise SettingsError(f"{ENV_FILE} has a character with the number 0 in it; remove it")
    found = _parse(text)
    for name, value in found.items():
        if value and not environment.get(name):
            environment[name] = _read[name] = value
        elif value and environment[name] != value:
            _contradicted.append(name)


def _parse(text: str) -> dict[str, str | None]:
    """:raises SettingsError: a line that is none; names it"""
    log = logging.getLogger("dotenv.main")
    said: list[str] = []
    handler = _Lines(said)
    log.addHandler(handler)
    try:
        found = dotenv_values(stream=io.StringIO(text))
    finally:
        log.removeHandler(handler)
    if said:
        raise SettingsError(f"{ENV_FILE}:{said[0]}: the line is not understood; write name=value")
    return found


class _Lines(logging.Handler):
    """Collects the numbers of the lines that dotenv warns of and leaves out."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(str(record.args[0] if isinstance(record.args, tuple) else "?"))


def check_env_file() -> None:
    """``dagster dev`` lets the file go before the environment: both must say the same.

    :raises SettingsError: names the first variable with two values
    """
    for name in _contradicted:
        raise SettingsError(
            f"{name} has one value in the environment and another in {ENV_FILE}, which dagster dev "
            "follows; unset the variable, or change the file"
        )


def place_of(variable: str, value: str) -> str:
    """Where a variable was set: its own name, or with that of the file before it."""
    return f"{ENV_FILE}: {variable}" if _read.get(variable) == value else variable
