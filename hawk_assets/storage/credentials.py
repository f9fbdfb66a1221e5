"""Credentials for Google's clients: ``SERVICE_ACCOUNT_JSON``, or what google-auth finds."""

import json
import os
from typing import TYPE_CHECKING

from hawk_assets.core.errors import SettingsError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

_NO_KEY = "SERVICE_ACCOUNT_JSON is not the JSON of a service account's key"
_FIELDS = ("client_email", "token_uri", "private_key")
_WHAT_IT_IS = (
    "set it to the whole text of the key's file, or unset it and put the path of the file into "
    "GOOGLE_APPLICATION_CREDENTIALS"
)


def find_credentials() -> "Credentials":
    """The key whose text is in ``SERVICE_ACCOUNT_JSON``, or else the application default.

    Every client of Google's is given these: it would look for the application default alone.

    :return: without scopes, a client adds its own; they renew themselves while they are used
    :raises SettingsError: none were found, or what was found is not usable
    """
    text = os.environ.get("SERVICE_ACCOUNT_JSON")
    return _from_text(text) if text else _application_default()


def _from_text(text: str) -> "Credentials":
    # No message repeats the text: it may be a secret, and messages end up in logs.
    from google.oauth2.service_account import Credentials

    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict) or key.get("type") != "service_account":
        raise SettingsError(f"{_NO_KEY}; {_WHAT_IT_IS}")
    if missing := [name for name in _FIELDS if name not in key]:
        raise SettingsError(f"{_NO_KEY} (it has no {', '.join(missing)}); {_WHAT_IT_IS}")
    try:
        return Credentials.from_service_account_info(key)  # type: ignore[no-any-return, no-untyped-call]
    except (ValueError, TypeError):  # their messages repeat what they cannot read
        raise SettingsError(f"{_NO_KEY} (its private key is not one); {_WHAT_IT_IS}") from None


def _application_default() -> "Credentials":
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default()[0]
    except DefaultCredentialsError as error:
        if path := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            raise SettingsError(
                f"GOOGLE_APPLICATION_CREDENTIALS={path} is not usable: {error}; set it to the path "
                "of the key's JSON file"
            ) from None
        raise SettingsError(
            "no credentials for Google Cloud were found: set GOOGLE_APPLICATION_CREDENTIALS to the "
            "path of a service account's key, or SERVICE_ACCOUNT_JSON to its text, or run: gcloud "
            "auth application-default login"
        ) from None
