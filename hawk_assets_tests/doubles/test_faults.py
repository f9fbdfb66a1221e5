"""The server under the doubles: what the switches do, seen by a plain HTTP client."""

import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import pytest

from hawk_assets_tests.doubles.faults import Faults, Reply, Request, serve


class Echo:
    """Answers with what it was sent, and remembers it."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.done: list[bytes] = []
        self.url = ""

    def __call__(self, request: Request) -> Reply:
        if request.parts()[0] == "broken":
            raise KeyError("broken")
        self.done.append(request.body)
        return Reply(body=request.body)

    def post(self, body: bytes | Iterator[bytes], path: str = "/a", timeout: float = 10) -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=timeout)
        try:
            connection.request("POST", path, body, encode_chunked=not isinstance(body, bytes))
            response = connection.getresponse()
            return f"{response.status} ".encode() + response.read()
        finally:
            connection.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    with serve(echo, echo.faults) as echo.url:
        yield echo


def test_without_faults_everything_is_answered_and_logged(echo: Echo) -> None:
    assert echo.post(b"x" * 100_000) == b"200 " + b"x" * 100_000
    assert echo.post(b"", "/b?c=%2F") == b"200 "
    assert echo.faults.log() == ["200 POST /a", "200 POST /b?c=%2F"]
    assert echo.faults.log("c=") == ["200 POST /b?c=%2F"]


def test_a_body_in_chunks_is_put_together(echo: Echo) -> None:
    connection = HTTPConnection(urlsplit(echo.url).netloc, timeout=10)
    for _ in range(2):  # the connection is usable afterwards
        connection.request("POST", "/a", iter([b"one", b"two" * 1000]), encode_chunked=True)
        assert connection.getresponse().read() == b"one" + b"two" * 1000
    connection.close()


def test_an_error_occurs_as_often_as_requested_and_nothing_is_carried_out(echo: Echo) -> None:
    echo.faults.add(503, times=2, match="POST /a")
    assert [echo.post(b"x", path)[:3] for path in ("/a", "/b", "/a", "/a")] == [
        b"503",
        b"200",
        b"503",
        b"200",
    ]
    assert len(echo.done) == 2
    echo.faults.add(403, times=None, reason="forbidden")
    assert all(b'"reason": "forbidden"' in echo.post(b"x") for _ in range(3))
    echo.faults.clear()
    assert echo.post(b"x") == b"200 x"


def test_a_request_with_a_late_reply_is_carried_out(echo: Echo) -> None:
    fault = echo.faults.stall(60)
    with pytest.raises(TimeoutError):
        echo.post(b"late", timeout=0.2)
    assert fault.hit.is_set()
    assert not echo.done
    fault = echo.faults.stall(60)
    waiting = threading.Thread(target=echo.post, args=[b"second"])
    waiting.start()
    assert fault.hit.wait(10)
    assert not echo.done
    echo.faults.clear()
    waiting.join()
    # Nobody waits for the reply to the first any more.
    until = time.monotonic() + 10
    while len(echo.done) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert sorted(echo.done) == [b"late", b"second"]


def test_a_request_with_a_torn_reply_is_carried_out(echo: Echo) -> None:
    echo.faults.tear()
    with pytest.raises(HTTPException, match="IncompleteRead"):
        echo.post(b"x" * 1000)
    assert echo.done == [b"x" * 1000]
    assert echo.faults.log() == ["torn POST /a"]


def test_a_torn_request_is_not_carried_out(echo: Echo) -> None:
    echo.faults.tear(where="request")
    with pytest.raises(OSError):  # depends on who notices first
        echo.post(b"x" * 10_000_000)
    assert not echo.done
    assert echo.post(b"x") == b"200 x"


@pytest.mark.parametrize("how", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_an_incomplete_request_of_a_dying_client_is_not_carried_out(echo: Echo, how: str) -> None:
    url = urlsplit(echo.url)
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(f"POST /a HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n5\r\nabc".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    assert not echo.done


def test_a_defect_of_a_double_differs_from_a_fault(echo: Echo) -> None:
    assert b"defect of the double: KeyError('broken')" in echo.post(b"", "/broken")


def test_a_closed_server_answers_no_request_and_frees_its_port(echo: Echo) -> None:
    second = Echo()
    with serve(second, second.faults) as second.url:
        kept = HTTPConnection(urlsplit(second.url).netloc, timeout=10)
        kept.request("GET", "/a")
        kept.getresponse().read()
    with pytest.raises((HTTPException, OSError)):
        second.post(b"x")
    kept.request("GET", "/a")
    with pytest.raises((HTTPException, OSError)):
        kept.getresponse()
    kept.close()
    port = urlsplit(second.url).port
    assert port
    with serve(second, second.faults, port) as url:
        assert url == second.url
        assert second.post(b"again") == b"200 again"
