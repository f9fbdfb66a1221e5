"""Which credentials Google's clients are given, and what is said of those that cannot be used."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import with_scopes_if_required
from google.auth.transport.requests import Request as Transport

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.storage.credentials import find_credentials
from hawk_assets.storage.gcs import open_client
from hawk_assets_tests.doubles.accounts import ACCOUNT, TOKEN, service_account


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that nobody has logged in from, and that is not Google's."""
    for name in ("SERVICE_ACCOUNT_JSON", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def key() -> Iterator[str]:
    with service_account() as text:
        yield text


def token() -> str:
    """What a client sends that has been given these credentials."""
    credentials = with_scopes_if_required(find_credentials(), ["scope"])  # type: ignore[no-untyped-call]
    credentials.refresh(Transport())  # type: ignore[no-untyped-call]
    return str(credentials.token)


def test_the_text_of_a_key_is_enough(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
    assert token() == TOKEN
    assert token() == TOKEN  # also for the next client


def test_every_client_is_given_the_same(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    clients = [open_client(), connect("desk")]
    assert [client._credentials.service_account_email for client in clients] == [ACCOUNT] * 2
    # No key ends up on the disk or in a variable that child processes inherit.
    assert os.environ["GOOGLE_APPLICATION_CREDENTIALS"] == ""


def test_a_file_is_enough_and_the_text_goes_before_it(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    path.write_text(key.replace(ACCOUNT, "another"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert token() == "for another"
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
    assert token() == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "/secrets/hush.json",
        '{"private_key": "hush',
        '["hush"]',
        '"hush"',
        '{"type": "authorized_user", "refresh_token": "hush"}',
        '{"type": "service_account", "private_key": "hush"}',
        '{"type": "service_account", "client_email": 1, "token_uri": "b", "private_key": ["hush"]}',
        '{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "hush"}',
    ],
)
def test_a_text_that_is_no_key_is_refused_and_not_repeated(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", text)
    match = "^SERVICE_ACCOUNT_JSON is not the JSON of a service account's key"
    with pytest.raises(SettingsError, match=match) as caught:
        find_credentials()
    assert "hush" not in str(caught.value)
    assert "put the path of the file into GOOGLE_APPLICATION_CREDENTIALS" in str(caught.value)


def test_a_file_that_is_no_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    match = rf"^GOOGLE_APPLICATION_CREDENTIALS={path} is not usable: "
    with pytest.raises(SettingsError, match=match):
        find_credentials()
    for content in ("not JSON", "{}", '{"type": "service_account"}'):
        path.write_text(content)
        with pytest.raises(SettingsError, match=match):
            find_credentials()


def test_without_any_the_ways_to_set_them_are_named() -> None:
    with pytest.raises(SettingsError, match="no credentials for Google Cloud") as caught:
        find_credentials()
    for way in (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SERVICE_ACCOUNT_JSON",
        "gcloud auth application-default login",
    ):
        assert way in str(caught.value)
