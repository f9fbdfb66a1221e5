"""Ctrl-C and SIGTERM end the command with their own code, at any moment, whoever swallows them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from hawk_assets.core.model import Array, Bars
from hawk_assets.models.ema_cross import EmaCross
from hawk_assets.orchestration.instance.instance_locks import instance_locks
from hawk_assets.orchestration.instance.locks import COMMAND_LOCK
from hawk_assets.orchestration.interrupts import raise_if_received, received, recording
from hawk_assets_tests.pipelines import open_desk, ragged_prices
from hawk_assets_tests.test_cli import BACKFILL, settings

STOPPED = "stopped; run the same command again to continue"
SIGNALS = [signal.SIGINT, signal.SIGTERM]
long = pytest.mark.skipif(
    not os.environ.get("HAWK_TEST_LONG"), reason="takes minutes; set HAWK_TEST_LONG=1"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prices = ragged_prices()
    prices[prices["date"] < "2015-04-01"].to_parquet(tmp_path / "prices.parquet")
    return tmp_path


def begin(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "hawk_assets", *arguments],
        cwd=folder,
        env=os.environ | settings(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What is started in the background inherits that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def assert_stopped(process: "subprocess.Popen[str]", signum: int) -> None:
    began = time.monotonic()
    out, err = process.communicate()
    assert process.returncode == 128 + signum, (out, err)
    assert err.strip().splitlines()[-1] == STOPPED
    assert "Traceback" not in err
    assert "failed" not in err
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_while_the_command_is_imported(folder: Path, signum: int, seconds: float) -> None:
    process = begin(folder, "status")
    time.sleep(seconds)
    process.send_signal(signum)
    assert_stopped(process, signum)


@pytest.mark.parametrize("signum", SIGNALS)
def test_while_it_waits_for_another_command(folder: Path, signum: int) -> None:
    with open_desk(folder, None, "2015-03") as desk:
        assert instance_locks(desk.instance).take(COMMAND_LOCK, "hawk refresh, process 7 on desk")
        process = begin(folder, *BACKFILL)
        assert process.stderr
        assert process.stderr.readline().startswith("waiting for hawk refresh, process 7 on desk")
        process.send_signal(signum)
        assert_stopped(process, signum)


@pytest.mark.parametrize("signum", SIGNALS)
def test_within_a_stage_and_its_run_does_not_stay_in_progress(folder: Path, signum: int) -> None:
    process = begin(folder, *BACKFILL)
    assert process.stdout
    assert process.stdout.readline().startswith("market_data")
    process.send_signal(signum)
    assert_stopped(process, signum)
    with open_desk(folder, None, "2015-03") as desk:
        assert not desk.instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        assert list((folder / "dagster" / "history" / "runs" / "locks").iterdir()) == []


@long
def test_at_random_moments(folder: Path) -> None:
    began, process = time.monotonic(), begin(folder, *BACKFILL)
    process.communicate()
    assert process.returncode == 0
    seconds, rng = time.monotonic() - began, Random(5)
    for _ in range(40):
        process, signum = begin(folder, *BACKFILL), rng.choice(SIGNALS)
        time.sleep(rng.uniform(0.1, seconds))
        if process.poll() is None:
            process.send_signal(signum)
            assert_stopped(process, signum)
        process.communicate()


@pytest.fixture
def recorded() -> Iterator[None]:
    with recording():
        yield


def test_a_signal_that_a_library_swallows_still_counts() -> None:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    with recording():
        assert received() is None
        raise_if_received()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert received() == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            raise_if_received()
    assert received() is None  # the next command in this process begins anew
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


@dataclass(frozen=True)
class Deaf(EmaCross):
    """A model whose library turns a signal into an error of its own."""

    def features(self, bars: Bars) -> dict[str, Array]:
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException:
            raise ValueError("the callback has failed") from None
        return super().features(bars)


def test_an_error_that_a_signal_has_caused_is_no_failed_table(
    tmp_path: Path, recorded: None
) -> None:
    models = [Deaf(2, 4), EmaCross(3, 6)]
    with open_desk(tmp_path, ragged_prices(), "2015-02", models=models) as desk:
        with pytest.raises(KeyboardInterrupt):
            desk.backfill()
        assert not desk.instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
