"""A Google service account on loopback: its key, and the server that issues its tokens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import parse_qs

import google.auth.jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hawk_assets_tests.doubles.faults import Faults, Reply, Request, json_reply, serve

ACCOUNT = "pipeline@desk.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"  # for any URI
TOKEN = f"for {ACCOUNT}"


@cache
def _pair() -> tuple[str, str]:
    """A private key and its public one."""
    private = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.private_bytes(pem, kind, plain).decode(), public.public_bytes(pem, spki).decode()


def _give_token(request: Request) -> Reply:
    asked = parse_qs(request.body.decode())["assertion"][0]
    claims = google.auth.jwt.decode(asked, _pair()[1], audience=AUDIENCE)  # type: ignore[no-untyped-call]
    return json_reply({"access_token": f"for {claims['iss']}", "expires_in": 3600})


@contextmanager
def service_account() -> Iterator[str]:
    """The text of an account's key, for which the server issues ``TOKEN``."""
    with serve(_give_token, Faults()) as url:
        yield json.dumps(
            {
                "type": "service_account",
                "project_id": "desk",
                "private_key_id": "1",
                "private_key": _pair()[0],
                "client_email": ACCOUNT,
                "token_uri": f"{url}/token",
            }
        )
