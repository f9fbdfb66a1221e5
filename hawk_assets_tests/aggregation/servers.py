"""Servers on the loopback that MOSEK asks for the right to optimise, and that do not give it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

LICENCE = "MOSEKLM_LICENSE_FILE"
"""The variable that says where MOSEK finds a licence."""


@dataclass
class Listener:
    """:param port: where it listens
    :param heard: what was received; of a silent server, that somebody came
    """

    port: int
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def silent_server() -> Iterator[Listener]:
    """Accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener, callers = Listener(server.getsockname()[1]), []

        def accept() -> None:
            while True:
                try:
                    callers.append(server.accept()[0])
                except OSError:
                    return
                listener.heard.append(b"")

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield listener
        # Wakes accept up; closing alone does not.
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for caller in callers:
            caller.close()


@contextmanager
def refusing_optserver() -> Iterator[Listener]:
    """Takes a problem, and answers that no licence is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            listener.heard.append(body)
            self.send_error(503, "all tokens are taken")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener = Listener(server.server_port)
        Thread(target=server.serve_forever, daemon=True).start()
        yield listener
        server.shutdown()


def closed_port() -> int:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
