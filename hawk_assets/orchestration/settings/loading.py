"""Settings put together: environment variables, then ``hawk.yaml``, then defaults."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings.declaration import SECTIONS, Settings
from hawk_assets.orchestration.settings.entries import Entries, Entry, describe, find_about
from hawk_assets.orchestration.settings.environment import read_environment
from hawk_assets.orchestration.settings.hawk_yaml import find_file, read_file


@dataclass(frozen=True)
class Loaded:
    """:param entries: what has been written, as far as it counts; the rest are defaults
    :param file: the file that was read, if there is one
    """

    settings: Settings
    entries: Entries
    file: str | None


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    :raises SettingsError: names the variable, or file and line, and the remedy
    """
    return load(environment).settings


def load(environment: Mapping[str, str] = os.environ) -> Loaded:
    """The settings of this process, and where they come from.

    :raises SettingsError: as ``load_settings``
    """
    file = find_file(environment)
    # Highest first.
    given = read_environment(environment), read_file(file) if file else {}
    entries = {**given[1], **given[0]}
    sources = tuple(_Source(each) for each in given)
    try:
        settings = Settings(_build_sources=(sources, {}))  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError(_explain(error, entries)) from None
    _check_span(settings, entries)
    return Loaded(settings, entries, file)


def find_dagster_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Where Dagster's folder is; no other setting is looked at.

    :raises SettingsError: as ``load_settings``
    """
    variable = find_about("dagster_home").variable
    if text := environment.get(variable):
        entry: Entry | None = Entry(text, variable, variable)
    else:
        file = find_file(environment)
        entry = read_file(file).get("dagster_home") if file else None
    try:
        return Settings.model_validate({"dagster_home": entry.text} if entry else {}).dagster_home
    except ValidationError as error:
        raise SettingsError(_explain(error, {"dagster_home": entry} if entry else {})) from None


class _Source(PydanticBaseSettingsSource):
    """What has been written in one place, as pydantic-settings takes it."""

    def __init__(self, entries: Entries) -> None:
        super().__init__(Settings)
        self._entries = entries

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("all values come at once")

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, entry in self._entries.items():
            section, _, name = key.rpartition(".")
            (values.setdefault(section, {}) if section else values)[name] = entry.text
        return values


_NUMBERS = {
    "float": "is not a number; write it like {default}",
    "finite": "is not a finite number; write it like {default}",
    "int": "is not a whole number; write it like {default}",
}


def _explain(error: ValidationError, entries: Entries) -> str:
    """The first thing that is wrong."""
    found = error.errors(include_url=False)[0]
    key = ".".join(map(str, found["loc"][:2]))
    kind = found["type"].partition("_")[0]
    if found["type"] != "value_error":
        section, _, name = key.partition(".")
        default = SECTIONS[section][name].default
        problem = _NUMBERS.get(kind, "is of the wrong type; write it like {default}")
        return f"{describe(key, entries[key])} {problem.format(default=default)}"
    problem = str(found["ctx"]["error"])
    if key in SECTIONS:
        return f"{_blame(key, problem, entries).place}: {problem}"
    return f"{describe(key, entries[key])} {problem}"


def _blame(section: str, problem: str, entries: Entries) -> Entry:
    """The entry that a message about a section is about: it names its parameters."""
    written = {key: e for key, e in entries.items() if key.startswith(f"{section}.")}
    for name in re.findall(r"\w+", problem):
        if f"{section}.{name}" in written:
            return written[f"{section}.{name}"]
    return next(iter(written.values()))


def _check_span(settings: Settings, entries: Entries) -> None:
    start, end = settings.start, settings.end

    def name(key: str, month: pd.Timestamp) -> str:
        label = entries[key].label if key in entries else find_about(key).variable
        return f"{label}={month:%Y-%m-%d}"

    if end is not None and end < start:
        raise SettingsError(
            f"{name('end', end)} is before {name('start', start)}; swap them, or unset the end"
        )
    now = pd.Timestamp.now("UTC").tz_localize(None)
    if start > now:
        raise SettingsError(
            f"{name('start', start)} is in the future; write a month that has begun"
        )
    if end is not None and end + pd.offsets.MonthBegin() > now:
        raise SettingsError(
            f"{name('end', end)} is not over yet; it is the last month of a history that has "
            "ended. Unset it to keep the current month open"
        )
