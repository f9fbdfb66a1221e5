"""Which credentials Google's clients are given, and what is said of those that cannot be used."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import google.auth.jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dagster_gcp import BigQueryResource, GCSResource
from google.auth.credentials import with_scopes_if_required
from google.auth.transport.requests import Request as Transport

from hawk_assets.core.errors import SettingsError
from hawk_assets.storage.credentials import find_credentials
from hawk_assets_tests.doubles.faults import Faults, Reply, Request, json_reply, serve

ACCOUNT = "pipeline@desk.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever the URI


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that nobody has logged in from, and that is not Google's."""
    for name in ("SERVICE_ACCOUNT_JSON", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture(scope="module")
def pair() -> tuple[str, str]:
    """A private key and its public one."""
    private = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.private_bytes(pem, kind, plain).decode(), public.public_bytes(pem, spki).decode()


@pytest.fixture
def key(pair: tuple[str, str]) -> Iterator[str]:
    """The text of an account's key, and a server that gives tokens for it."""

    def give_token(request: Request) -> Reply:
        asked = parse_qs(request.body.decode())["assertion"][0]
        claims = google.auth.jwt.decode(asked, pair[1], audience=AUDIENCE)  # type: ignore[no-untyped-call]
        return json_reply({"access_token": f"for {claims['iss']}", "expires_in": 3600})

    with serve(give_token, Faults()) as url:
        yield json.dumps(
            {
                "type": "service_account",
                "project_id": "desk",
                "private_key_id": "1",
                "private_key": pair[0],
                "client_email": ACCOUNT,
                "token_uri": f"{url}/token",
            }
        )


def token() -> str:
    """What a client sends that has been given these credentials."""
    credentials = with_scopes_if_required(find_credentials(), ["scope"])  # type: ignore[no-untyped-call]
    credentials.refresh(Transport())  # type: ignore[no-untyped-call]
    return str(credentials.token)


def test_the_text_of_a_key_is_enough(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
    assert token() == f"for {ACCOUNT}"
    assert token() == f"for {ACCOUNT}"  # also for the next client


def test_clients_that_look_for_themselves_find_the_same(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "desk")
    find_credentials()
    with BigQueryResource().get_client() as warehouse:
        clients = [GCSResource().get_client(), warehouse]
    assert [client._credentials.service_account_email for client in clients] == [ACCOUNT] * 2
    path = os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert Path(path).read_text() == key
    assert Path(path).resolve().parts[1].startswith("memfd:")  # on no disk
    assert not Path(path).stat().st_mode & 0o077


def test_a_process_that_inherits_them_has_its_own(key: str) -> None:
    child = (
        "import os; from hawk_assets.storage.credentials import find_credentials; "
        "print(find_credentials().service_account_email, "
        "os.environ['GOOGLE_APPLICATION_CREDENTIALS'])"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", child],
        env={
            **os.environ,
            "SERVICE_ACCOUNT_JSON": key,
            "GOOGLE_APPLICATION_CREDENTIALS": "/proc/1/fd/999",
        },
        text=True,
    )
    assert said.startswith(f"{ACCOUNT} /proc/")
    assert "/proc/1/" not in said


def test_a_file_is_enough_and_the_text_goes_before_it(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    path.write_text(key.replace(ACCOUNT, "another"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert token() == "for another"
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
    assert token() == f"for {ACCOUNT}"


@pytest.mark.parametrize(
    "text",
    [
        "/secrets/hush.json",
        '{"private_key": "hush',
        '["hush"]',
        '"hush"',
        '{"type": "authorized_user", "refresh_token": "hush"}',
        '{"type": "service_account", "private_key": "hush"}',
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
