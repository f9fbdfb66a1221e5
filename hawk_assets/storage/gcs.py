"""Files in a bucket of Google Cloud Storage.

Transient errors are retried; permanent ones are reported at once, with the remedy.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hawk_assets.core.errors import StorageError
from hawk_assets.storage.credentials import find_credentials

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud.storage import Bucket, Client

REPLY_SECONDS = 30.0
"""How long to wait for a reply before the request counts as failed and is retried."""

RETRY_SECONDS = 300.0
"""How long a request is retried after transient errors and missing replies."""

PAUSE_SECONDS = 1.0
"""Pause before the first retry; it doubles with each further one, up to 20 seconds."""

DOWNLOADS = 4
"""How often an object is read that arrives with another checksum than it is stored with."""

_BEGAN, _WRITER = "hawk-began", "hawk-writer"


def open_client() -> "Client":
    """A client with this process's credentials; without any if STORAGE_EMULATOR_HOST is set.

    :raises SettingsError: no usable credentials
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    emulated = os.environ.get("STORAGE_EMULATOR_HOST")
    anonymous: Credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return Client(project=None, credentials=anonymous if emulated else find_credentials())


class GcsFiles:
    """Files in a bucket, see ``FileStore``; STORAGE_EMULATOR_HOST chooses another server.

    It uses Google's own client, not pyarrow's. Google's sends a file in one request and takes a
    timeout. pyarrow's waits for 120 seconds, and stores half a file when its writer is interrupted.

    :param name: of the bucket
    :param prefix: of all its files, without slashes around it; may be empty
    """

    threads = 16  # a bucket keeps the processor waiting

    def __init__(self, name: str, prefix: str) -> None:
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""
        self._out_of_reach = False

    def uri(self, path: str) -> str:
        return f"gs://{self._name}/{self._prefix}{path}"

    def read(self, path: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        with self._explained_errors():
            try:
                return self._download(path)
            except NotFound as error:
                if "bucket does not exist" in str(error):
                    raise
                return None

    def _download(self, path: str) -> bytes:
        """The content of an object, as often as it arrives with another checksum.

        :raises StorageError: it does so every time
        """
        from google.cloud.storage.exceptions import DataCorruption

        for _ in range(DOWNLOADS):
            try:
                blob = self._bucket.blob(self._prefix + path)
                return bytes(blob.download_as_bytes(**self._retry_options()))
            except DataCorruption as error:
                stored = error.response.headers.get("x-goog-hash", "unknown")
        raise StorageError(
            f"{self.uri(path)} has arrived damaged {DOWNLOADS} times: its checksum is {stored}, "
            "and that of what arrives is another. Look for a proxy or a network card that changes "
            "data, then try again"
        )

    def write(self, path: str, content: bytes, began: str = "") -> str:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        name, writer = self._prefix + path, uuid.uuid4().hex
        expected = 0  # the generation that this write replaces; 0 is none
        with self._explained_errors():
            while True:
                blob = self._bucket.blob(name)
                blob.metadata = {_BEGAN: began, _WRITER: writer}
                with suppress(PreconditionFailed):
                    blob.upload_from_string(
                        content,
                        "application/octet-stream",
                        if_generation_match=expected,
                        **self._retry_options(),
                    )
                    return str(blob.generation)
                try:
                    blob.reload(**self._retry_options())
                except NotFound:
                    expected = 0
                    continue
                found = blob.metadata or {}
                if found.get(_WRITER) == writer:  # only the reply was lost
                    return str(blob.generation)
                if began and found.get(_BEGAN, "") > began:
                    raise StorageError(
                        f"{self.uri(path)} was written by a run that began later, at "
                        f"{found[_BEGAN]}; this run, of {began}, has been replaced and stops here"
                    )
                expected = blob.generation

    def list(self, folder: str) -> Mapping[str, str]:
        prefix = f"{self._prefix}{folder}/"
        with self._explained_errors():
            blobs = self._bucket.list_blobs(
                prefix=prefix,
                delimiter="/",
                fields="items(name,generation),nextPageToken",
                **self._retry_options(),
            )
            return {blob.name.removeprefix(prefix): str(blob.generation) for blob in blobs}

    def sync(self, folder: str) -> None:
        """A file that a bucket has confirmed is safe."""

    @cached_property
    def _bucket(self) -> "Bucket":
        from requests.adapters import HTTPAdapter

        client = open_client()
        for scheme in ("https://", "http://"):  # one open connection per thread
            client._http.mount(scheme, HTTPAdapter(pool_maxsize=self.threads))
        return client.bucket(self._name)

    def _retry_options(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        # Once the retries of a file have run out, further files fail at once until one succeeds.
        seconds = 0.0 if self._out_of_reach else RETRY_SECONDS
        # Sending a file twice is harmless: a write names the generation that it replaces.
        retry = DEFAULT_RETRY.with_delay(initial=PAUSE_SECONDS, maximum=20.0).with_timeout(seconds)
        return {"retry": retry, "timeout": REPLY_SECONDS}

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
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
            self._out_of_reach = isinstance(error, RetryError)
            raise StorageError(f"{_message(error)}. {self._remedy(error)}") from None
        self._out_of_reach = False

    def _remedy(self, error: Exception) -> str:
        from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
        from google.auth.exceptions import InvalidOperation, RefreshError

        if isinstance(error, NotFound):
            return (
                "Correct HAWK_STORAGE, or create the bucket: gcloud storage buckets create "
                f"gs://{self._name}"
            )
        if isinstance(error, Forbidden | Unauthorized | RefreshError | InvalidOperation):
            return (
                f"Give the account the role Storage Object User on the bucket {self._name}, use "
                "another account (GOOGLE_APPLICATION_CREDENTIALS or SERVICE_ACCOUNT_JSON), or "
                "correct HAWK_STORAGE"
            )
        return f"Try again when the bucket {self._name} is available, or correct HAWK_STORAGE"


def _message(error: Exception) -> str:
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
