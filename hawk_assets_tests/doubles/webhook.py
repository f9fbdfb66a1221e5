"""A webhook on loopback that keeps the alerts posted to it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hawk_assets_tests.doubles.faults import Faults, Reply, Request, serve


class Listener:
    """:ivar alerts: the alerts received, in order"""

    def __init__(self) -> None:
        self.url, self.faults = "", Faults()
        self.alerts: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Reply:
        assert request.headers["Content-Type"] == "application/json"
        self.alerts.append(json.loads(request.body))
        return Reply(200, b"ok")


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    with serve(listener, listener.faults) as address:
        listener.url = f"{address}/services/secret"
        yield listener
