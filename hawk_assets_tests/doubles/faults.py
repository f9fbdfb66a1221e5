"""An HTTP service on loopback that fails when a test says so.

A double is a function from a request to a reply. All doubles share this server and its faults: an
error instead of the reply, a late reply, a broken connection.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """:param path: as sent, still percent-encoded
    :param query: decoded; the last value of a repeated name
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: HTTPMessage
    body: bytes

    def parts(self) -> list[str]:
        """The segments of the path, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]


@dataclass(frozen=True)
class Reply:
    """The response of a double."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Reply]


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status,
        json.dumps(content).encode(),
        {"Content-Type": "application/json; charset=UTF-8", **(headers or {})},
    )


def error_reply(status: int, message: str, reason: str = "backendError") -> Reply:
    """An error in the form of Google's JSON APIs."""
    detail = {"message": message, "domain": "global", "reason": reason}
    return json_reply({"error": {"code": status, "message": message, "errors": [detail]}}, status)


@dataclass
class Fault:
    """One thing that goes wrong, for the next ``times`` requests that match.

    :param times: None means until it is cleared
    :param reply: sent instead of the double's own reply; the double is not called
    :param seconds: delay before the request is carried out
    :param tear: where the connection breaks: in the middle of the ``request``, which is then not
        carried out, or of the ``reply`` to a request that was carried out
    :param spoil: a bit of the reply's body is another
    :param hit: set when a request has met this fault
    """

    match: str
    times: int | None
    reply: Reply | None = None
    seconds: float = 0.0
    tear: str = ""
    spoil: bool = False
    hit: threading.Event = field(default_factory=threading.Event)
    cleared: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The switches of one server, for any thread.

    ``match`` is a regular expression, searched in ``METHOD /path?query`` as sent. If several faults
    match, the one added first applies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._log: list[str] = []

    def add(
        self, status: int, times: int | None = 1, match: str = "", reason: str = "backendError"
    ) -> Fault:
        """Reply with an error of Google's APIs; nothing is carried out."""
        reply = error_reply(status, f"{status} on request of the test", reason)
        return self._put(Fault(match, times, reply=reply))

    def garble(self, content: Any, times: int | None = 1, match: str = "") -> Fault:
        """Reply with JSON that has nothing to do with the request; nothing is carried out."""
        return self._put(Fault(match, times, reply=json_reply(content)))

    def stall(self, seconds: float, times: int | None = 1, match: str = "") -> Fault:
        """Carry out late, even if the client has given up by then; ``clear`` ends the wait."""
        return self._put(Fault(match, times, seconds=seconds))

    def tear(self, times: int | None = 1, match: str = "", where: str = "reply") -> Fault:
        """Break the connection in the middle of the ``reply``, or of the ``request``."""
        return self._put(Fault(match, times, tear=where))

    def spoil(self, times: int | None = 1, match: str = "") -> Fault:
        """Flip one bit in the middle of the reply's body."""
        return self._put(Fault(match, times, spoil=True))

    def clear(self) -> None:
        """Remove all faults, and let the waiting requests continue."""
        with self._lock:
            for fault in self._faults:
                fault.cleared.set()
            self._faults.clear()

    def log(self, match: str = "") -> list[str]:
        """The requests so far as ``200 METHOD /path?query``, in the order of their replies.

        A torn request has ``torn`` instead of the status.
        """
        with self._lock:
            return [line for line in self._log if re.search(match, line)]

    def _put(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def _meet(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times != 0 and re.search(fault.match, line):
                    if fault.times is not None:
                        fault.times -= 1
                    fault.hit.set()
                    return fault
        return None

    def _note(self, status: int | str, line: str) -> None:
        with self._lock:
            self._log.append(f"{status} {line}")


@contextmanager
def serve(answer: Answer, faults: Faults, port: int = 0) -> Iterator[str]:
    """A double on loopback for the duration of the block, with one thread per connection.

    :param port: 0 chooses a free port
    :return: its URL, without a slash at the end
    """
    server = _Server(answer, faults, port)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.closing.set()
        faults.clear()
        server.shutdown()
        server.server_close()
        thread.join()
        # An idle connection keeps the server object alive. It must not keep the double alive: at
        # the end of the process only the main thread may close DuckDB.
        del server.answer


def _with_a_bit_flipped(body: bytes) -> bytes:
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, answer: Answer, faults: Faults, port: int) -> None:
        self.answer, self.faults = answer, faults
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have gone away; an error of a double is in its reply."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self) -> None:
        line = f"{self.command} {self.path}"
        fault = self.server.faults._meet(line) or Fault("", 0)
        if fault.tear == "request":
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            return self._break(line)
        url = urlsplit(self.path)
        request = Request(
            self.command, url.path, dict(parse_qsl(url.query, True)), self.headers, self._body()
        )
        if fault.seconds:
            fault.cleared.wait(fault.seconds)
        if self.server.closing.is_set():
            return self._break(line)
        reply = fault.reply or self._answer(request)
        if fault.tear == "reply":
            return self._break(line, reply)
        self.server.faults._note(reply.status, line)
        self._send(reply, _with_a_bit_flipped(reply.body) if fault.spoil else reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _answer(self, request: Request) -> Reply:
        try:
            return self.server.answer(request)
        except Exception as error:
            return error_reply(500, f"defect of the double: {error!r}", "internalError")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self._read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self._read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _read(self, size: int) -> bytes:
        content = self.rfile.read(size)
        if len(content) < size:
            raise ConnectionResetError("the client disconnected in the middle of its request")
        return content

    def _send(self, reply: Reply, body: bytes) -> None:
        self.send_response(reply.status)
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _break(self, line: str, reply: Reply | None = None) -> None:
        self.server.faults._note("torn", line)
        self.close_connection = True
        if reply and reply.body:
            self._send(reply, reply.body[: len(reply.body) // 2])

    def log_message(self, format: str, *args: Any) -> None:
        """The log of the faults is the server's log."""
