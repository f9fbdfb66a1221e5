"""Credentials for Google's clients: ``SERVICE_ACCOUNT_JSON``, or what their libraries find."""

import json
import os
from functools import cache
from typing import TYPE_CHECKING

from hawk_assets.core.errors import SettingsError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

_NO_KEY = "SERVICE_ACCOUNT_JSON is not the JSON of a service account's key"
_WHAT_IT_IS = (
    "set it to the whole text of the key's file, or unset it and put the path of the file into "
    "GOOGLE_APPLICATION_CREDENTIALS"
)


def find_credentials() -> "Credentials":
    """The key whose text is in ``SERVICE_ACCOUNT_JSON``, or else the application default.

    From then on the application default of this process is the same: not every client of Google's
    can be given credentials, and all of them look there. They renew themselves while they are used.

    :return: without scopes; a client adds its own
    :raises SettingsError: none were found, or what was found is not usable
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    text = os.environ.get("SERVICE_ACCOUNT_JSON")
    if text:
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = _file_of(text)
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    try:
        return google.auth.default()[0]  # type: ignore[no-any-return, no-untyped-call]
    except DefaultCredentialsError as error:
        if text:
            raise SettingsError(f"{_NO_KEY} ({error.__cause__ or error}); {_WHAT_IT_IS}") from None
        if path:
            raise SettingsError(
                f"GOOGLE_APPLICATION_CREDENTIALS={path} is not usable: {error}; set it to the path "
                "of the key's JSON file"
            ) from None
        raise SettingsError(
            "no credentials for Google Cloud were found: set GOOGLE_APPLICATION_CREDENTIALS to the "
            "path of a service account's key, or SERVICE_ACCOUNT_JSON to its text, or run: gcloud "
            "auth application-default login"
        ) from None


@cache
def _file_of(text: str) -> str:
    """The path of a file in memory, which only this user can read and which ends with the process.

    :raises SettingsError: not the text of a key
    """
    try:
        kind = json.loads(text)["type"]
    except (ValueError, LookupError, TypeError):
        kind = None
    if kind != "service_account":
        # The text is not repeated: it may be a secret, and the message ends up in a log.
        raise SettingsError(f"{_NO_KEY}; {_WHAT_IT_IS}")
    if not hasattr(os, "memfd_create"):
        raise SettingsError(
            "SERVICE_ACCOUNT_JSON is for Linux; elsewhere put the path of the key's file into "
            "GOOGLE_APPLICATION_CREDENTIALS"
        )
    file = os.memfd_create("service_account")
    os.fchmod(file, 0o600)
    os.write(file, text.encode())
    return f"/proc/{os.getpid()}/fd/{file}"
