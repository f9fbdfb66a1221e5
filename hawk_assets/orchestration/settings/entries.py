"""A setting as somebody has written it: the text, and where it stands."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS, About

_LONGEST = 80


@dataclass(frozen=True)
class Entry:
    """:param text: what is written; None: nothing, which in a section means none
    :param place: the variable, or ``hawk.yaml:3``
    :param label: what messages call it, ``HAWK_START`` or ``hawk.yaml:3: start``
    """

    text: str | None
    place: str
    label: str


def section_entry(section: str, key: str, text: str, place: str, label: str) -> Entry:
    """The part of a section; where nothing is a value, ``none`` means it."""
    nothing = SECTIONS[section][key].default is None and text.lower() == "none"
    return Entry(None if nothing or not text else text, place, label)


Entries = Mapping[str, Entry]
"""By key, as ``start`` or ``aggregation.cap``."""


def find_about(key: str) -> About:
    """What there is to know of a setting, or of the section it is in."""
    return ABOUT[key.partition(".")[0]]


def describe(key: str, entry: Entry) -> str:
    """What messages call a setting, with its value unless that may be a secret."""
    if find_about(key).secret or find_about(key).address:
        return entry.label
    return f"{entry.label}={quote(entry.text or '')}"


def quote(text: str) -> str:
    """A value for a message: on one line, not too long, without a password in an address."""
    short = mask_password(text)
    return repr(short if len(short) <= _LONGEST else f"{short[:_LONGEST]}...")


def show_name(name: str) -> str:
    """A name for a message: as it is, unless it would break the line."""
    return name if name and name.isprintable() and len(name) <= _LONGEST else quote(name)


def mask_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/\s]*@", "***@", text)


def holds_password(text: str) -> bool:
    return mask_password(text) != text


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    found = get_close_matches(name, known, n=1) or [
        candidate for candidate in known if len(name) > 2 and name in candidate
    ]
    return f"did you mean {found[0]}?" if found else f"known are {', '.join(known)}"


def sections_with(key: str) -> list[str]:
    """The full names of a key that stands in sections."""
    return [f"{section}.{key}" for section, keys in SECTIONS.items() if key in keys]
