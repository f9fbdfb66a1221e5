"""Files in a folder or a bucket. A file is read whole, and written whole or not at all."""

import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from hawk_assets.core.errors import SettingsError, StorageError
from hawk_assets.storage.gcs import GcsFiles

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")
_sync_content = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter
_LEFT_OVER_SECONDS = 3600.0
"""A file takes less time to write; an older temporary file belongs to a process that has died."""


class FileStore(Protocol):
    """Files below one root. Paths are relative to it, with slashes.

    :param threads: how many files to handle at a time
    """

    threads: int

    def uri(self, path: str) -> str:
        """The path in full, as a user writes it."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none.

        :raises StorageError: names the cause and the remedy
        """

    def write(self, path: str, content: bytes, began: str = "") -> str:
        """Create or replace a file, and return its stamp.

        :param began: when the work that wrote the content began, ISO text in UTC. In a bucket, the
            file of work that began later is not replaced: whoever began first has been superseded
        :raises StorageError: names the cause and the remedy; the file is unchanged
        """

    def list(self, folder: str) -> Mapping[str, str]:
        """The files in a folder and their stamps; none where the folder does not exist.

        A stamp changes whenever the file is written, copied or restored, and not otherwise.

        :raises StorageError: names the cause and the remedy
        """

    def sync(self, folder: str) -> None:
        """Return when the files that were written to a folder would survive a power failure.

        :raises StorageError: names the cause and the remedy
        """


def open_files(root: str) -> FileStore:
    """The files below a root; nothing is touched until one is read, written or listed.

    :param root: the value of HAWK_STORAGE
    :raises SettingsError: neither a folder nor ``gs://bucket/prefix``
    """
    bucket, _, prefix = root.removeprefix("gs://").strip("/").partition("/")
    if root.startswith("gs://") and bucket:
        return GcsFiles(bucket, prefix)
    if ":" in root.split("/")[0] or root.startswith("gs//"):
        raise SettingsError(
            f"HAWK_STORAGE={root!r} is neither a folder nor gs://bucket/prefix; correct it"
        )
    return LocalFiles(root)


class LocalFiles:
    """Files in a folder of this machine, see ``FileStore``.

    :param root: ``~`` and relative paths are allowed
    """

    threads = 2  # a folder keeps the processor busy

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(os.path.expanduser(root))

    def uri(self, path: str) -> str:
        return f"{self._root}/{path}"

    def read(self, path: str) -> bytes | None:
        with self._explained_errors():
            try:
                with open(self.uri(path), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def write(self, path: str, content: bytes, began: str = "") -> str:
        folder, name = os.path.split(self.uri(path))
        temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
        with self._explained_errors():
            os.makedirs(folder, exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(content)
                    file.flush()
                    _sync_content(file.fileno())
                    # A rename keeps what the stamp is made of.
                    stamp = _stamp(os.fstat(file.fileno()))
                os.replace(temporary, self.uri(path))
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
        return stamp

    def list(self, folder: str) -> Mapping[str, str]:
        with self._explained_errors():
            try:
                with os.scandir(self.uri(folder)) as entries:
                    return {e.name: _stamp(e.stat()) for e in entries if e.is_file()}
            except FileNotFoundError:
                return {}

    def sync(self, folder: str) -> None:
        """See ``FileStore``; also removes the temporary files that killed processes have left."""
        with self._explained_errors():
            self._remove_leftovers(self.uri(folder))
            descriptor = os.open(self.uri(folder), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _remove_leftovers(self, folder: str) -> None:
        """Remove the temporary files of processes that were killed."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if _TEMPORARY.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        if time.time() - entry.stat().st_mtime > _LEFT_OVER_SECONDS:
                            os.unlink(entry.path)

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{error}. Correct its permissions, or point HAWK_STORAGE elsewhere"
            ) from None


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
