"""Local licence servers and OptServers for MOSEK; none of them grants a licence."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

LICENCE = "MOSEKLM_LICENSE_FILE"
"""The environment variable with the place of MOSEK's licence."""


@dataclass
class Listener:
    """:param port: the port it listens on
    :param received: the body of each request; empty bytes for each caller of a silent server
    """

    port: int
    received: list[bytes] = field(default_factory=list)


@contextmanager
def silent_server() -> Iterator[Listener]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener, callers = Listener(server.getsockname()[1]), []

        def accept() -> None:
            while True:
                try:
                    callers.append(server.accept()[0])
                except OSError:
                    return
                listener.received.append(b"")

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield listener
        # Wakes up accept; closing alone does not.
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for caller in callers:
            caller.close()


@contextmanager
def refusing_optserver() -> Iterator[Listener]:
    """Receives a problem and answers that no licence is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            listener.received.append(body)
            self.send_error(503, "all tokens are taken")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener = Listener(server.server_port)
        Thread(target=server.serve_forever, daemon=True).start()
        yield listener
        server.shutdown()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
