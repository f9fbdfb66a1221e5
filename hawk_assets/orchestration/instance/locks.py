"""Locks that live as long as the process that holds them, where the event log is stored.

A process number says little: after a reboot another program has it, and in another container it
means nothing. A lock is given back by the operating system, or by PostgreSQL, when the process
that holds it ends, however it ends. See docs/decisions/0017.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from hawk_assets.core.errors import SettingsError

COMMAND_LOCK = "command"
"""Held by the ``hawk`` command that is working on the instance; every other lock is a run's."""

_LOOKS, _LOOK_SECONDS = 20, 0.01


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, in words, and since when."""

    text: str
    since: datetime


class Locks(Protocol):
    """Locks by name; a process holds as many as it wants.

    :ivar on_one_machine: whether every process that can reach them is on this machine
    """

    on_one_machine: bool

    def take(self, name: str, holder: str) -> bool:
        """Take a lock unless it is held, also by this process; does not wait."""

    def release(self, name: str) -> None:
        """Give back a lock that this object has taken; nothing if it has not."""

    def release_all(self) -> None:
        """Give back all locks that this object has taken."""

    def has(self, name: str) -> bool:
        """Whether this object has taken the lock."""

    def find_held(self, names: Iterable[str]) -> set[str]:
        """Those locks that a living process holds, or may hold as far as can be known."""

    def find_holder(self, name: str) -> Holder | None:
        """Who holds a lock; None where nobody does."""

    def clear(self) -> None:
        """Remove what dead processes have left."""


class FileLocks:
    """A locked file for each lock, in a folder.

    ``flock`` and not ``lockf``, which gives a lock back as soon as the process closes any other
    handle of the file.
    """

    on_one_machine = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: dict[str, int] = {}

    def take(self, name: str, holder: str) -> bool:
        """:raises SettingsError: the folder cannot be written or has no locks"""
        if self.has(name):
            return False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = self._insist(name)
            if handle is not None:
                os.ftruncate(handle, 0)
                os.pwrite(handle, holder.encode(), 0)
        except OSError as error:
            raise SettingsError(
                f"{self._folder / name} cannot be locked: {error}; point DAGSTER_HOME to a folder "
                "on a disk of this machine that can be written"
            ) from None
        if handle is None:
            return False
        self._taken[name] = handle
        return True

    def _insist(self, name: str) -> int | None:
        """Somebody who only looks has it for less than a millisecond."""
        for _ in range(_LOOKS):
            if (handle := self._lock(name)) is not None:
                return handle
            time.sleep(_LOOK_SECONDS)
        return None

    def _lock(self, name: str) -> int | None:
        """The locked file; None if it is held, or was removed between opening and locking."""
        handle = os.open(self._folder / name, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == os.stat(self._folder / name).st_ino:
                return handle
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def release(self, name: str) -> None:
        if (handle := self._taken.pop(name, None)) is not None:
            (self._folder / name).unlink(missing_ok=True)
            os.close(handle)

    def release_all(self) -> None:
        for name in list(self._taken):
            self.release(name)

    def has(self, name: str) -> bool:
        return name in self._taken

    def find_held(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if self._is_held(name)}

    def _is_held(self, name: str) -> bool:
        try:
            handle = os.open(self._folder / name, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two processes that look at once do not take each other for a holder.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def find_holder(self, name: str) -> Holder | None:
        if not self._is_held(name):
            return None
        with suppress(FileNotFoundError):
            file = self._folder / name
            since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            return Holder(file.read_text(), since)
        return None

    def clear(self) -> None:
        names = os.listdir(self._folder) if self._folder.exists() else []
        for name in names:
            if not self.has(name) and (handle := self._lock(name)) is not None:
                (self._folder / name).unlink(missing_ok=True)
                os.close(handle)


@contextmanager
def holding(locks: Locks, name: str, holder: str) -> Iterator[None]:
    """A lock that nobody else can want, such as that of a new run."""
    locks.take(name, holder)
    try:
        yield
    finally:
        locks.release(name)
