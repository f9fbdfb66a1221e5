"""Locks in Dagster's database, for an instance that many machines share. It needs psycopg2."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from hawk_assets.orchestration.instance.locks import Holder

LOOK_SECONDS = 5.0
"""How often a process looks whether the server still has its locks, and takes them again."""

START_SECONDS = 30.0
"""After a start of the server, until which a lock that nobody holds may still be taken again."""

_log = logging.getLogger(__name__)
# Both ends notice within half a minute that the other machine is gone.
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}
_HELD = text(
    """
    SELECT (classid::bigint << 32) | objid::bigint,
           coalesce(a.application_name, 'another user'), coalesce(a.backend_start, now())
    FROM pg_locks JOIN pg_stat_activity a USING (pid)
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)
_UP = text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")


class PostgresLocks:
    """Session-level advisory locks, all of a process on one connection of its own.

    The server forgets them when it restarts or the connection breaks: a thread takes them again.
    Whoever looks at a lock gives it the time for that.
    """

    on_one_machine = False

    def __init__(self, url: str) -> None:
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_CONNECTION
        )
        self._mutex = threading.RLock()
        self._taken: dict[str, str] = {}
        self._connection: Connection | None = None
        self._watch: threading.Thread | None = None

    def take(self, name: str, holder: str) -> bool:
        with self._mutex:
            if name in self._taken or not self._try(name, holder):
                return False
            self._taken[name] = holder
            if not self._watch:
                self._watch = threading.Thread(target=self._keep, daemon=True, name="locks")
                self._watch.start()
            return True

    def _try(self, name: str, holder: str) -> bool:
        """A session takes a lock that it holds a second time: ``take`` prevents that."""
        conn = self._connection = self._connection or self._engine.connect()
        # What others read of it in pg_stat_activity; the server keeps 63 bytes.
        conn.execute(text("SELECT set_config('application_name', :it, false)"), {"it": holder})
        taken = conn.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)})
        return bool(taken.scalar())

    def release(self, name: str) -> None:
        with self._mutex:
            if self._taken.pop(name, None) is None:
                return
            if not self._taken:
                self._disconnect()  # gives back the last one
            elif self._connection:
                try:
                    self._connection.execute(
                        text("SELECT pg_advisory_unlock(:key)"), {"key": _key(name)}
                    )
                except SQLAlchemyError:  # lost with its connection
                    self._disconnect()

    def release_all(self) -> None:
        for name in list(self._taken):
            self.release(name)

    def has(self, name: str) -> bool:
        return name in self._taken

    def find_held(self, names: Iterable[str]) -> set[str]:
        """A lock counts as free when it is at two looks, so that a lost one can be taken again."""
        wanted = {_key(name): name for name in names}
        if not wanted:
            return set()
        seconds_up, held = self._look()
        free = [key for key in wanted if key not in held]
        if free and seconds_up < START_SECONDS:
            return set(wanted.values())
        if free:
            time.sleep(LOOK_SECONDS + 1)
            held |= self._look()[1]
        return {name for key, name in wanted.items() if key in held}

    def _look(self) -> tuple[float, dict[int, Holder]]:
        """The seconds since the server started, and who holds which lock."""
        with self._engine.connect() as conn:
            rows: Sequence[Any] = conn.execute(_HELD).all()
            seconds_up = float(conn.execute(_UP).scalar_one())
        return seconds_up, {key: Holder(text, since) for key, text, since in rows}

    def find_holder(self, name: str) -> Holder | None:
        return self._look()[1].get(_key(name))

    def clear(self) -> None:
        """Nothing to do: the server keeps no lock of a dead process."""

    def _keep(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._mutex:
                if not self._taken:
                    self._watch = None
                    return
                try:
                    if self._connection:
                        self._connection.execute(text("SELECT 1"))
                    else:
                        self._take_again()
                except SQLAlchemyError as error:
                    _log.warning("the connection that holds the locks is lost: %s", error.args[0])
                    self._disconnect()

    def _take_again(self) -> None:
        for name, holder in self._taken.items():
            if not self._try(name, holder):
                _log.warning("the lock %s was lost, and somebody else has it", name)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection:
                connection.close()
        except SQLAlchemyError:
            pass


def _key(name: str) -> int:
    return int.from_bytes(blake2b(f"hawk {name}".encode(), digest_size=8).digest(), signed=True)
