"""The whole pipeline on a bucket: faults in the middle of it, a killed process, two at once."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hawk_assets.core.types import TableKey
from hawk_assets.storage import gcs as bucket
from hawk_assets_tests.doubles.gcs import Gcs, StoredObject, gcs_server
from hawk_assets_tests.pipelines import assert_same, open_desk, ragged_prices

LAST, MONTHS = "2015-05", 5
ROOT = "gs://desk/a/b"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    with gcs_server("desk") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        yield gcs


def restated() -> pd.DataFrame:
    """One price of May is another one."""
    prices = ragged_prices().copy()
    cell = (prices["ticker"] == "FULL") & (prices["date"] == "2015-05-13")
    assert cell.sum() == 1
    prices.loc[cell, ["open", "high", "low", "close"]] *= 1.03
    return prices


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[TableKey, pd.DataFrame]:
    """The tables in a folder."""
    with open_desk(tmp_path_factory.mktemp("folder"), restated(), LAST) as desk:
        assert desk.backfill() == {}
        return desk.tables()


def tables_of(gcs: Gcs) -> dict[str, StoredObject]:
    """The files of tables in the bucket, without the note about their source."""
    found = gcs.objects("desk")
    return {name: stored for name, stored in found.items() if name.endswith(".parquet")}


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(30_000):
        if true():
            return
        time.sleep(0.01)
    raise TimeoutError


def test_a_backfill_outlasts_a_bucket_that_fails_and_does_not_answer_for_a_while(
    gcs: Gcs,
    expected: dict[TableKey, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(bucket, "REPLY_SECONDS", 0.5)
    faults, met = gcs.faults, []

    def fail_and_recover() -> None:
        for written, fault in (
            (15, lambda: faults.add(503, None)),
            (30, lambda: faults.stall(60, None)),
            (45, lambda: faults.tear(None)),
            (60, lambda: faults.tear(None, where="request")),
        ):
            wait_until(lambda n=written: len(gcs.objects("desk")) >= n)  # type: ignore[misc]
            met.append(fault().hit)
            met[-1].wait(300)
            time.sleep(1)
            faults.clear()

    with open_desk(tmp_path, restated(), LAST, storage=ROOT) as desk:
        weather = threading.Thread(target=fail_and_recover)
        weather.start()
        assert desk.backfill() == {}
        weather.join()
        assert [hit.is_set() for hit in met] == [True] * 4
        assert_same(desk.tables(), expected)
        assert len(tables_of(gcs)) == len(desk.pipeline.catalog) * MONTHS
        stored = Counter(
            (key, record.partition_key)
            for key in desk.pipeline.catalog
            for record in desk.instance.fetch_materializations(dg.AssetKey(key), limit=100).records
        )
        assert set(stored.values()) == {1}
        assert len(stored) == len(tables_of(gcs))


WORKER = """
import sys
from pathlib import Path
from hawk_assets_tests.pipelines import open_desk

folder, storage, last, command = sys.argv[1:]
with open_desk(Path(folder), None, last, storage=storage) as desk:
    print("ready", flush=True)
    sys.stdin.readline()
    failed = desk.backfill() if command == "backfill" else desk.refresh()[1]
    sys.exit(str(failed) if failed else 0)
"""


def start(folder: Path, command: str) -> "subprocess.Popen[str]":
    """A process that waits for a line before it begins."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), ROOT, LAST, command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout
    assert worker.stdout.readline() == "ready\n", worker.communicate()
    return worker


def test_after_a_killed_backfill_two_refreshes_at_once_store_what_one_stores(
    gcs: Gcs, expected: dict[TableKey, pd.DataFrame], tmp_path: Path
) -> None:
    ragged_prices().to_parquet(tmp_path / "prices.parquet")
    worker = start(tmp_path, "backfill")
    print(file=worker.stdin, flush=True)
    wait_until(lambda: len(gcs.objects("desk")) > 40)
    held = gcs.faults.stall(60, None, "POST /upload")
    assert held.hit.wait(300)
    worker.kill()
    worker.communicate()
    gcs.faults.clear()
    for stored in tables_of(gcs).values():
        pq.read_table(pa.BufferReader(stored.content))

    restated().to_parquet(tmp_path / "prices.parquet")
    both = [start(tmp_path, "refresh") for _ in range(2)]
    for worker in both:
        print(file=worker.stdin, flush=True)
    said = [worker.communicate(timeout=300) for worker in both]
    assert [worker.returncode for worker in both] == [0, 0], said
    with open_desk(tmp_path, None, LAST, storage=ROOT) as desk:
        assert desk.refresh()[1] == {}
        assert desk.pending() == set()
        assert_same(desk.tables(), expected)
