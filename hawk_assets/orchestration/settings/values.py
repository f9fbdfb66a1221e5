"""What a setting may be: each function takes what is written and returns it in the right type.

A message is the end of a sentence that begins with the setting: "HAWK_START='x' is not ...".
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, time
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from hawk_assets.aggregation.solvers import is_address
from hawk_assets.core.errors import SettingsError

_T = TypeVar("_T")


def parse_month(value: Any) -> pd.Timestamp:
    """``2006-01``, or the first day of the month."""
    if isinstance(value, pd.Timestamp) and value == value.to_period("M").to_timestamp():
        return value
    if written := re.fullmatch(r"((?:1[89]|2[01])[0-9]{2}-[0-9]{2})(-01)?", str(value)):
        with suppress(ValueError):
            return pd.Timestamp(f"{written[1]}-01")
    raise ValueError("is not a month; write it like 2006-01, or as its first day, 2006-01-01")


def parse_seconds(value: Any) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", str(value)):
        raise ValueError("is not a number of seconds from 1; write it like 30")
    return int(value)


def parse_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    try:
        return datetime.strptime(value, "%H:%M").time()
    except ValueError:
        raise ValueError("is not a time of day; write it in UTC, like 06:00") from None


def check_http_address(value: Any) -> Any:
    if value is not None and not re.fullmatch(r"https?://[^\s/]+\S*", value):
        raise ValueError("is not an address; write it like https://host/path")
    return value


def check_port(value: Any) -> Any:
    if value is not None and not (str(value).isascii() and str(value).isdigit()):
        raise ValueError("is not the number of a port; write it like 5432")
    return value


def check_path(value: Any) -> Any:
    """A path, glob or address that the operating system can be asked for."""
    text = str(value)
    if "\0" in text:
        raise ValueError("has a character with the number 0 in it, which no path has; remove it")
    if text.startswith("~") and os.path.expanduser(text) == text:
        raise ValueError("names the home of a user that this machine does not have")
    return value


def resolve_path(value: Any) -> Path:
    return Path(check_path(value)).expanduser().absolute()


def check_choice(names: Mapping[str, str] | tuple[str, ...]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in names:
            raise ValueError(f"is not known; choose one of {', '.join(names)}")
        return value

    return check


def check_optserver(value: Any) -> Any:
    if value is not None and not is_address(value):
        raise ValueError("is not the address of an OptServer; write it like http://host:30080")
    return value


def translate_errors(value: Any, build: Callable[[Any], _T]) -> _T:
    """Let pydantic say to which setting an error of ours belongs."""
    try:
        return build(value)
    except SettingsError as error:
        raise ValueError(str(error)) from None
