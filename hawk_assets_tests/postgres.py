"""A real PostgreSQL server, of Debian's programs, that tests start, stop and start again."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import Any

import psycopg2
import pytest

_START_SECONDS = 30


class Cluster:
    """A cluster in a folder of its own: on a socket there, and on a port of loopback.

    :param folder: must be short, since a socket's path is
    """

    def __init__(self, folder: Path) -> None:
        self._programs = _programs()
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self.port, self.password = free_port(), secrets.token_hex(8)
        # The server refuses to run as root.
        self._user: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            try:
                shutil.chown(folder, "postgres", "postgres")
            except LookupError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            self._user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        word = folder / "password"
        word.write_text(self.password)
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", folder / "data", "-U", "postgres", "-N"),
                *("-E", "UTF8", "--auth-local=trust", "--auth-host=scram-sha-256"),
                f"--pwfile={word}",
            ],
            check=True,
            capture_output=True,
            **self._user,
        )

    @property
    def url(self) -> str:
        """The database ``postgres`` through the socket, for its superuser."""
        return f"postgresql://postgres@/postgres?host={self._folder}&port={self.port}"

    def start(self) -> None:
        """:raises RuntimeError: it does not come up; with its log"""
        with open(self._folder / "log", "ab") as log:
            self._server = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data", "-F"),
                    *("-k", self._folder, "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
                ],
                stdout=log,
                stderr=log,
                **self._user,
            )
        for _ in range(_START_SECONDS * 50):
            try:
                psycopg2.connect(self.url).close()
                return
            except psycopg2.OperationalError:
                if self._server.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}")

    def stop(self, how: int = SIGINT) -> None:
        """Break off all connections; what has been committed stays."""
        if self._server:
            self._server.send_signal(how)
            self._server.wait()
            self._server = None


@contextmanager
def open_cluster() -> Iterator[Cluster]:
    """A running cluster, thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop(SIGQUIT)


def create_database(url: str, name: str) -> str:
    """An empty database on the server.

    :return: its URL
    """
    with closing(psycopg2.connect(url)) as conn:
        conn.autocommit = True
        with conn.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _programs() -> Path:
    found = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    initdb = shutil.which("initdb") or (found[-1] if found else None)
    if not initdb:
        pytest.skip("no PostgreSQL server here: no initdb in PATH or /usr/lib/postgresql/*/bin")
    return Path(initdb).resolve().parent
