"""``make stack`` ended by a signal leaves no process behind, also of servers that do not end."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hawk_assets_tests.pipelines import REPOSITORY

STUBBORN = """
import os, sys, time
from contextlib import contextmanager
from pathlib import Path
from hawk_assets_tests import stack

class Light(stack.Stack):
    def _command(self, name):
        # Like a code server whose run goes on: it ignores SIGTERM, and so does its child.
        return ["bash", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"]

@contextmanager
def light(folder, *args, **kwargs):
    it = Light(None, None, None, None, folder, {})
    try:
        it.start("a", "b")
        command = it.begin("http.server", "0", "--bind", "127.0.0.1")
        print(*[p.pid for p in (*it.processes.values(), command)], flush=True)
        yield it
    finally:
        it.stop()

stack.open_stack, stack._GRACE_SECONDS = light, 1
Light.url = "light"
stack.main()
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_processes_and_a_second_one_does_not_disturb_that(
    signum: int, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    groups = [int(pid) for pid in process.stdout.readline().split()]
    assert len(groups) == 3
    assert all(is_there(group) for group in groups)
    for _ in range(2):
        process.send_signal(signum)
        time.sleep(0.3)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.endswith("ended\n")
    deadline = time.monotonic() + 10  # a process that was killed is there until it is reaped
    while any(is_there(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_there(group) for group in groups)


def is_there(group: int) -> bool:
    """Whether any process of a session that was started is left."""
    with suppress(ChildProcessError):  # where this process has inherited them, it reaps them
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
