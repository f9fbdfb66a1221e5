"""Digests of files that have not changed since, kept so that these are not read again."""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hawk_assets.sources.digests import FORMULA, Digest, Digests

_log = logging.getLogger(__name__)

_SETTLED = 2_000_000_000
"""A file that changed less than this many nanoseconds ago is not kept: it may change again within
the resolution of its time."""


@dataclass
class DigestCache:
    """One file below ``DAGSTER_HOME``. Lost, damaged or out of date, it only costs time.

    :param file: None keeps digests in this process only
    """

    file: Path | None = None
    _kept: dict[str, Any] | None = field(default=None, repr=False)
    _added: set[str] = field(default_factory=set, repr=False)

    def get(
        self, content: str, path: Path, state: tuple[int, ...], read: Callable[[], Digests]
    ) -> Digests:
        """The digests of a file.

        :param content: what is read of it
        :param state: changes when the file does; the second and third number are its times
        :param read: reads it
        """
        if self._kept is None:
            self._kept = self._load()
        name = f"{content} {path.absolute()}"
        entry = self._kept.get(name)
        if entry and entry["state"] == list(state):
            return {month: Digest(*its) for month, its in entry["months"].items()}
        found = read()
        if max(state[1:3]) < time.time_ns() - _SETTLED:
            self._kept[name] = {"state": list(state), "path": str(path.absolute()), "months": found}
            self._added.add(name)
        return found

    def save(self) -> None:
        """Write what has been added, beside what other processes have written."""
        if not self._added or self.file is None or self._kept is None:
            return
        self._kept = {**self._load(), **{name: self._kept[name] for name in self._added}}
        self._added.clear()
        lasting = {name: its for name, its in self._kept.items() if os.path.exists(its["path"])}
        text = json.dumps(lasting, separators=(",", ":"))
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part = self.file.with_name(f".{self.file.name}.{os.getpid()}")
            part.write_text(f"{_checksum(text)}\n{text}")
            os.replace(part, self.file)
        except OSError as error:
            _log.debug("digests of files are not kept: %s", error)

    def _load(self) -> dict[str, Any]:
        try:
            checksum, text = self.file.read_text().split("\n", 1) if self.file else ("", "")
            found: dict[str, Any] = json.loads(text) if checksum == _checksum(text) else {}
        except (OSError, ValueError):
            return {}
        return found


def _checksum(text: str) -> str:
    return f"{FORMULA} {blake2b(text.encode(), digest_size=8).hexdigest()}"
