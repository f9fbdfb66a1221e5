"""Every setting, its value and where it comes from; no secret is shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS
from hawk_assets.orchestration.settings.entries import mask_password
from hawk_assets.orchestration.settings.loading import Loaded

MASK = "***"


@dataclass(frozen=True)
class Setting:
    """One line of ``hawk config``.

    :param key: in ``hawk.yaml``, as ``start`` or ``aggregation.cap``
    :param variable: in the environment
    :param value: as text or a number; None: not set
    :param source: ``default``, the variable, or file and line
    :param unset: what happens where it is not set
    """

    key: str
    variable: str
    value: str | int | float | None
    source: str
    unset: str


def list_settings(loaded: Loaded) -> list[Setting]:
    """Every setting, in the order of the declaration."""
    return [_setting(loaded, key, value) for key, value in _values(loaded)]


def _values(loaded: Loaded) -> Iterator[tuple[str, Any]]:
    for key in ABOUT:
        value = getattr(loaded.settings, key)
        if key in SECTIONS:
            yield from ((f"{key}.{name}", getattr(value, name)) for name in SECTIONS[key])
        else:
            yield key, value


def _setting(loaded: Loaded, key: str, value: Any) -> Setting:
    about = ABOUT[key.partition(".")[0]]
    if about.secret and value:
        value = MASK
    entry = loaded.entries.get(key)
    return Setting(
        key, about.variable, _plain(value), entry.place if entry else "default", about.unset
    )


def _plain(value: Any) -> str | int | float | None:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, Path | str):
        return mask_password(str(value))
    return value  # type: ignore[no-any-return]
