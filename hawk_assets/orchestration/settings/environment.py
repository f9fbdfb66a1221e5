"""Settings from environment variables."""

import re
from collections.abc import Iterator, Mapping

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS
from hawk_assets.orchestration.settings.entries import (
    Entries,
    Entry,
    holds_password,
    quote,
    section_entry,
    show_name,
    suggest,
)
from hawk_assets.orchestration.settings.env_file import place_of

CONFIG = "HAWK_CONFIG"
FOR_TESTS = "HAWK_TEST_"
"""How the names of variables begin that only the test suite reads."""

# What Kubernetes and Docker put into every container for a service whose name begins with "hawk-".
_NAME = r"HAWK(_[A-Z0-9_]+)?_"
_INJECTED = re.compile(
    rf"{_NAME}(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|ENV_\w+|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)"
)
_INJECTED_PORT, _PORT = re.compile(rf"{_NAME}PORT"), re.compile(r"(tcp|udp|sctp)://")
_INJECTED_NAME = re.compile(rf"{_NAME}NAME")


def read_environment(environment: Mapping[str, str]) -> dict[str, Entry]:
    """Every setting that a variable holds; an empty variable holds none.

    :raises SettingsError: an unknown name that begins with ``HAWK_``, or a section that cannot be
        read; names the variable and the remedy
    """
    keys = {about.variable: key for key, about in ABOUT.items()}
    entries: dict[str, Entry] = {}
    for name, text in environment.items():
        if _is_injected(name, text) or not text:
            continue
        if name not in keys:
            _check_name(name, text, [*keys, CONFIG])
        elif keys[name] in SECTIONS:
            entries |= _read_pairs(keys[name], place_of(name, text), text)
        else:
            entries[keys[name]] = _entry(keys[name], name, text)
    return entries


def _entry(key: str, variable: str, text: str) -> Entry:
    if holds_password(text) and not (ABOUT[key].secret or ABOUT[key].address):
        raise SettingsError(
            f"{variable} holds a user or a password, which nothing it can name takes; remove it"
        )
    place = place_of(variable, text)
    return Entry(text, place, place)


def _is_injected(name: str, text: str) -> bool:
    return bool(
        _INJECTED.fullmatch(name)
        or (_INJECTED_PORT.fullmatch(name) and _PORT.match(text))
        or (_INJECTED_NAME.fullmatch(name) and text.startswith("/"))
    )


def _check_name(name: str, text: str, known: list[str]) -> None:
    # The value of an unknown variable is not repeated: it may be a misspelt secret.
    if not name.upper().startswith("HAWK_") or name == CONFIG or name.startswith(FOR_TESTS):
        return
    hawk = [n for n in known if n.startswith("HAWK_")]
    place = place_of(show_name(name), text) if name.isprintable() else show_name(name)
    raise SettingsError(f"{place} is not a setting; {suggest(name.upper(), hawk)}")


def _read_pairs(section: str, variable: str, text: str) -> Entries:
    """``cap=0.3, family_cap=0.5``"""
    entries: dict[str, Entry] = {}
    for key, value in _pairs(section, variable, text):
        full = f"{section}.{key}"
        if full in entries:
            raise SettingsError(
                f"{variable} has {key} twice, as {quote(entries[full].text or '')} and as "
                f"{quote(value)}; keep one"
            )
        entries[full] = section_entry(section, key, value, variable, f"{variable}: {key}")
    return entries


def _pairs(section: str, variable: str, text: str) -> Iterator[tuple[str, str]]:
    for pair in filter(str.strip, text.split(",")):
        key, separator, value = (part.strip() for part in pair.partition("="))
        if not (separator and value):
            raise SettingsError(
                f"{variable}: {quote(pair.strip())} is not understood; write name=value, separated "
                f"by commas, with the names {', '.join(SECTIONS[section])}"
            )
        if key not in SECTIONS[section]:
            raise SettingsError(
                f"{variable}: {quote(pair.strip())}: {show_name(key)} is not a setting; "
                + (
                    f"it is one of its own, set {ABOUT[key].variable}"
                    if key in ABOUT
                    else suggest(key, SECTIONS[section])
                )
            )
        yield key, value
