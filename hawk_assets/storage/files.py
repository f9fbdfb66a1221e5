"""Files in a folder or a bucket. A file is read whole, and written whole or not at all."""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from hawk_assets.core.errors import SettingsError, StorageError
from hawk_assets.storage.gcs import GcsFiles


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

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a file; of several writers the last one to finish wins.

        :raises StorageError: names the cause and the remedy; the file is unchanged
        """

    def list(self, folder: str) -> Sequence[str]:
        """The names of the files in a folder; none where the folder does not exist.

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

    def write(self, path: str, content: bytes) -> None:
        folder, name = os.path.split(self.uri(path))
        temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
        with self._explained_errors():
            os.makedirs(folder, exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(content)
                os.replace(temporary, self.uri(path))
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise

    def list(self, folder: str) -> Sequence[str]:
        with self._explained_errors():
            try:
                return os.listdir(self.uri(folder))
            except FileNotFoundError:
                return []

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{error}. Correct its permissions, or point HAWK_STORAGE elsewhere"
            ) from None
