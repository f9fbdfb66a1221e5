"""A folder or a bucket: a file is read as a whole, and appears whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from hawk_assets.core.errors import SettingsError, StorageError
from hawk_assets.storage.gcs import Bucket


class Place(Protocol):
    """Paths are relative, with slashes.

    :param threads: how many files are worth handling at a time
    """

    threads: int

    def where(self, path: str) -> str:
        """The path as a user would write it."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none.

        :raises StorageError: the cause and the remedy
        """

    def write(self, path: str, content: bytes) -> None:
        """Make or replace a file; of several writers the last one to end wins.

        :raises StorageError: the cause and the remedy; the file is what it was before
        """

    def names(self, folder: str) -> list[str]:
        """The files of a folder; none where there is no folder.

        :raises StorageError: the cause and the remedy
        """


def open_place(root: str) -> Place:
    """Nothing is touched until the place is used.

    :param root: the value of HAWK_STORAGE
    :raises SettingsError: neither a folder nor ``gs://bucket/prefix``
    """
    bucket, _, prefix = root.removeprefix("gs://").strip("/").partition("/")
    if root.startswith("gs://") and bucket:
        return Bucket(bucket, prefix)
    if ":" in root.split("/")[0] or root.startswith("gs//"):
        raise SettingsError(
            f"HAWK_STORAGE={root!r} is neither a folder nor gs://bucket/prefix; correct it"
        )
    return Folder(root)


class Folder:
    """:param root: ``~`` and relative ones are allowed"""

    threads = 2  # a folder keeps a processor busy

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(os.path.expanduser(root))

    def where(self, path: str) -> str:
        return f"{self._root}/{path}"

    def read(self, path: str) -> bytes | None:
        with self._explained():
            try:
                with open(self.where(path), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def write(self, path: str, content: bytes) -> None:
        folder, name = os.path.split(self.where(path))
        temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
        with self._explained():
            os.makedirs(folder, exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(content)
                os.replace(temporary, self.where(path))
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise

    def names(self, folder: str) -> list[str]:
        with self._explained():
            try:
                return os.listdir(self.where(folder))
            except FileNotFoundError:
                return []

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{error}. Correct its permissions, or point HAWK_STORAGE elsewhere"
            ) from None
