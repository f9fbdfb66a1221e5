"""Which credentials Google's clients are given, and what is said of those that cannot be used."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import google.auth.jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import with_scopes_if_required
from google.auth.transport.requests import Request as Transport

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.credentials import find_credentials
from hawk_assets_tests.doubles.faults import Faults, Reply, Request, json_reply, serve

ACCOUNT = "pipeline@desk.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever the URI


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that nobody has logged in from, and that is not Google's."""
    for name in ("SERVICE_ACCOUNT_JSON", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
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
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ


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
    ("text", "says"),
    [
        ("/secrets/key.json", "is not JSON"),
        ('{"private_key": "hush', "is not JSON"),
        ('["hush"]', "is not the key of a service account: it is not a JSON object"),
        ('{"type": "authorized_user", "refresh_token": "hush"}', "is not the key of a service acc"),
        (
            json.dumps({"client_email": "a", "token_uri": "b", "private_key": "hush"}),
            "is not the key of a service account",
        ),
    ],
)
def test_a_text_that_is_no_key_is_refused_and_not_repeated(
    text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", text)
    with pytest.raises(SettingsError, match=f"^SERVICE_ACCOUNT_JSON {says}") as caught:
        find_credentials()
    assert "hush" not in str(caught.value)
    assert "/secrets" not in str(caught.value)


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
