"""A real PostgreSQL server for the length of a test module."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from signal import SIGQUIT
from typing import Any

import psycopg2
import pytest

_START_SECONDS = 30


@contextmanager
def postgres_server() -> Iterator[str]:
    """A cluster of its own on a socket of its own, thrown away afterwards.

    :return: the URL of its database ``postgres``, for its superuser
    """
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        # The server refuses to run as root.
        user: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            try:
                shutil.chown(folder, "postgres", "postgres")
            except LookupError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        data = f"{folder}/data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"],
            check=True,
            capture_output=True,
            **user,
        )
        with open(f"{folder}/log", "wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, "-F", "-c", "listen_addresses="],
                stdout=log,
                stderr=log,
                **user,
            )
        url = f"postgresql://postgres@/postgres?host={folder}"
        try:
            _wait(url, server, Path(folder, "log"))
            yield url
        finally:
            server.send_signal(SIGQUIT)
            server.wait()


def create_database(url: str, name: str) -> str:
    """An empty database on the server.

    :return: its URL
    """
    with closing(psycopg2.connect(url)) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")


def _programs() -> Path:
    found = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    initdb = shutil.which("initdb") or (found[-1] if found else None)
    if not initdb:
        pytest.skip("no PostgreSQL server here: no initdb in PATH or /usr/lib/postgresql/*/bin")
    return Path(initdb).resolve().parent


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(_START_SECONDS * 50):
        try:
            psycopg2.connect(url).close()
            return
        except psycopg2.OperationalError:
            if server.poll() is not None:
                break
            time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
