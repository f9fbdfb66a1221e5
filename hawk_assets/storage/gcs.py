"""A bucket of Google Cloud Storage: patient with what passes, quick to name what does not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hawk_assets.core.errors import StorageError
from hawk_assets.storage.credentials import find_credentials

if TYPE_CHECKING:
    from google.cloud.storage import Bucket as Client

REPLY_SECONDS = 30.0
"""How long the bucket may be silent before a request is made again."""

PATIENCE_SECONDS = 300.0
"""How long a request is made again and again, after silence and errors that pass."""

PAUSE_SECONDS = 1.0
"""Before a request is made for the second time; doubled before each further one, up to 20."""


class Bucket:
    """A place for files, see ``Place``; of the server STORAGE_EMULATOR_HOST where that is set.

    Google's own client and not pyarrow's: it sends a file in one request and is told how long to
    wait. pyarrow's waits for 120 seconds, and stores half a file when its writer is interrupted.

    :param prefix: of all its files, without slashes around it; may be empty
    """

    threads = 16  # a bucket keeps a processor waiting

    def __init__(self, name: str, prefix: str) -> None:
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""
        self._given_up = False

    def where(self, path: str) -> str:
        return f"gs://{self._name}/{self._prefix}{path}"

    def read(self, path: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        with self._explained():
            try:
                blob = self._client.blob(self._prefix + path)
                return bytes(blob.download_as_bytes(**self._patience()))
            except NotFound as error:
                if "bucket does not exist" in str(error):
                    raise
                return None

    def write(self, path: str, content: bytes) -> None:
        with self._explained():
            blob = self._client.blob(self._prefix + path)
            blob.upload_from_string(content, "application/octet-stream", **self._patience())

    def names(self, folder: str) -> list[str]:
        prefix = f"{self._prefix}{folder}/"
        with self._explained():
            blobs = self._client.list_blobs(prefix=prefix, delimiter="/", **self._patience())
            return [blob.name.removeprefix(prefix) for blob in blobs]

    @cached_property
    def _client(self) -> "Client":
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage
        from requests.adapters import HTTPAdapter

        emulated = os.environ.get("STORAGE_EMULATOR_HOST")
        client = storage.Client(
            project=None, credentials=AnonymousCredentials() if emulated else find_credentials()
        )
        for scheme in ("https://", "http://"):  # a connection per thread, kept
            client._http.mount(scheme, HTTPAdapter(pool_maxsize=self.threads))
        return client.bucket(self._name)

    def _patience(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        # A bucket that was given up is not waited for again, file after file, until it answers.
        seconds = 0.0 if self._given_up else PATIENCE_SECONDS
        # To send a file twice is harmless: it is the same file, and takes the place of itself.
        retry = DEFAULT_RETRY.with_delay(initial=PAUSE_SECONDS, maximum=20.0).with_timeout(seconds)
        return {"retry": retry, "timeout": REPLY_SECONDS}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from google.api_core.exceptions import GoogleAPIError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
        from requests.exceptions import RequestException

        try:
            yield
        except (
            GoogleAPIError,
            GoogleAuthError,
            DataCorruption,
            InvalidResponse,
            RequestException,
        ) as error:
            self._given_up = isinstance(error, RetryError)
            raise StorageError(f"{_text(error)}. {self._remedy(error)}") from None
        self._given_up = False

    def _remedy(self, error: Exception) -> str:
        from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
        from google.auth.exceptions import InvalidOperation, RefreshError

        if isinstance(error, NotFound):
            return (
                "Correct HAWK_STORAGE, or make the bucket: gcloud storage buckets create "
                f"gs://{self._name}"
            )
        if isinstance(error, Forbidden | Unauthorized | RefreshError | InvalidOperation):
            return (
                f"Give the account the role Storage Object User on the bucket {self._name}, use "
                "another account (GOOGLE_APPLICATION_CREDENTIALS or SERVICE_ACCOUNT_JSON), or "
                "correct HAWK_STORAGE"
            )
        return f"Run it again when the bucket {self._name} can be used, or correct HAWK_STORAGE"


def _text(error: Exception) -> str:
    """What the server says, or else the client, without the request around it."""
    cause = getattr(error, "cause", None) or error
    response = getattr(cause, "response", None)
    if response is None:
        return str(cause.args[0] if cause.args else cause).rstrip(".")
    try:
        said = response.json()["error"]["message"]
    except (ValueError, LookupError, TypeError):
        said = response.text or response.reason
    return f"{response.status_code} {said}".rstrip(".")
