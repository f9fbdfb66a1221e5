"""Credentials for Google's clients: ``SERVICE_ACCOUNT_JSON``, or what their libraries find."""

import json
import os
from typing import TYPE_CHECKING

from hawk_assets.core.errors import SettingsError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials


def find_credentials() -> "Credentials":
    """The key whose text is in ``SERVICE_ACCOUNT_JSON``, or else the application default.

    They renew themselves for as long as a client uses them. The key is never written to a file.

    :return: without scopes; a client adds its own
    :raises SettingsError: none were found, or what was found is not usable
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from google.oauth2.service_account import Credentials as ServiceAccount

    if text := os.environ.get("SERVICE_ACCOUNT_JSON"):
        try:
            return ServiceAccount.from_service_account_info(_key(text))  # type: ignore[no-any-return, no-untyped-call]
        except ValueError as error:
            raise SettingsError(
                f"SERVICE_ACCOUNT_JSON is not the key of a service account: {error}; set it to the "
                "whole text of the key's JSON file"
            ) from None
    try:
        return google.auth.default()[0]  # type: ignore[no-any-return, no-untyped-call]
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


def _key(text: str) -> dict[str, str]:
    # No part of the text is repeated: it may be a secret, and the message ends up in a log.
    try:
        key = json.loads(text)
    except ValueError:
        raise SettingsError(
            "SERVICE_ACCOUNT_JSON is not JSON; set it to the whole text of the key's file, or "
            "unset it and put the path of the file into GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    if not isinstance(key, dict):
        raise ValueError("it is not a JSON object")
    return key
