"""Ctrl-C and SIGTERM: recorded as they arrive, whoever swallows the exception that they raise.

Libraries do: an import that fails, a callback whose errors are ignored, Dagster between two steps.
What was recorded decides how the process ends. Nothing heavy is imported here: this is the first
module of the ``hawk`` command.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STOPPED = "stopped; run the same command again to continue"
_ENDING = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []
_pipe: int | None = None


@contextmanager
def recording() -> Iterator[None]:
    """Within the block both signals are recorded, and raise KeyboardInterrupt.

    One that the process was started to ignore stays ignored. The record is written by Python's own
    handler in C, also while Dagster has put another handler in place.
    """
    global _pipe
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    _pipe = reader
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    heard = [it for it in _ENDING if signal.getsignal(it) is not signal.SIG_IGN]
    handlers = {it: signal.signal(it, signal.default_int_handler) for it in heard}
    try:
        yield
    finally:
        for it, handler in handlers.items():
            signal.signal(it, handler)
        signal.set_wakeup_fd(before)
        _pipe = None
        _received.clear()
        os.close(reader)
        os.close(writer)


def received() -> int | None:
    """The first signal that was recorded; None while there is none."""
    with suppress(BlockingIOError):
        if _pipe is not None:
            _received.extend(number for number in os.read(_pipe, 4096) if number in _ENDING)
    return _received[0] if _received else None


def raise_if_received() -> None:
    """:raises KeyboardInterrupt: a signal was recorded, and something has swallowed it"""
    if received():
        raise KeyboardInterrupt


def end(code: int) -> None:
    """Leave ``recording`` with a code, or with that of the signal that was received.

    After a signal nothing is waited for any more, such as threads that still talk to a bucket.

    :raises SystemExit: the code is not 0
    """
    if signum := received():
        for it in _ENDING:
            signal.signal(it, signal.SIG_IGN)
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
            sys.stderr.write(f"{STOPPED}\n")
            sys.stderr.flush()
        os._exit(128 + signum)
    if code:
        sys.exit(code)


def end_process(code: int) -> None:
    """``end`` without Python's own end, which takes a second and knows no signals any more."""
    if not received():
        with suppress(OSError, ValueError):
            if sys.stdout:  # None where it was closed
                sys.stdout.flush()
        atexit._run_exitfuncs()
    end(0)
    os._exit(code)
