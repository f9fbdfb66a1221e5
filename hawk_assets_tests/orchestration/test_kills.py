"""Commands are killed at any moment, alone and in pairs, on a machine that changes its name.

After each kill the status is true: what it calls up to date is what an undisturbed desk has. The
book is never newer than the signals it stands on, and the next refresh puts everything right.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dagster import RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from hawk_assets.commands.status import find_status
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS, MARKET_DATA
from hawk_assets.orchestration.instance.run_owners import HOST, PROCESS
from hawk_assets_tests.pipelines import Desk, assert_same, open_desk, ragged_prices

LAST = "2015-06"
KILLS = 50 if os.environ.get("HAWK_TEST_LONG") else 3
Tables = dict[TableKey, pd.DataFrame]


def versions() -> list[pd.DataFrame]:
    """The market a session earlier; as it is; and with a price of March restated."""
    prices = ragged_prices()
    prices = prices[prices["date"] < "2015-07-01"].reset_index(drop=True)
    restated = prices.copy()
    at = (prices["ticker"] == "FULL") & (prices["date"] == "2015-03-10")
    restated.loc[at, ["close", "high"]] *= 1.05
    return [prices[prices["date"] < prices["date"].max()], prices, restated]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Tables]:
    """What each version of the market comes to."""
    found = []
    for i, prices in enumerate(versions()):
        with open_desk(tmp_path_factory.mktemp(f"quiet{i}"), prices, LAST) as desk:
            assert desk.backfill() == {}
            found.append(desk.tables())
    return found


def work(folder: Path, command: str) -> None:
    with open_desk(folder, None, LAST) as desk:
        desk.refresh() if command == "refresh" else desk.backfill()


@pytest.fixture(scope="module")
def begin() -> Callable[[Path, str], BaseProcess]:
    """Start a command in a process of its own, which has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])

    def begin(folder: Path, command: str) -> BaseProcess:
        process = context.Process(target=work, args=(folder, command))
        process.start()
        return process

    return begin


def rename_machine(desk: Desk) -> None:
    """The runs of killed commands name another machine, and a process that lives."""
    for run in desk.instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        tags = {HOST: "earlier-name", PROCESS: str(os.getpid())}
        desk.instance.add_run_tags(run.run_id, tags)


def months_of(table: pd.DataFrame) -> pd.Series:
    column = next(name for name in ("date", "as_of", "month", "release_date") if name in table)
    return pd.to_datetime(table[column]).dt.strftime("%Y-%m-01")


def assert_status_is_true(desk: Desk, right: Tables) -> None:
    """What is up to date according to the status is what it would be on an undisturbed desk."""
    stored = desk.tables()
    for status in find_status(desk.pipeline, desk.instance):
        assert not status.running
        open_months = {*status.stale, *status.missing, *status.failed}
        sound = [month for month in status.materialised if month not in open_months]
        key = status.table.key
        if sound:
            pairs = [
                {key: table[months_of(table).isin(sound)].reset_index(drop=True)}
                for table in (stored[key], right[key])
            ]
            assert_same(*pairs)


def assert_book_is_not_newer_than_its_signals(desk: Desk) -> None:
    stored = desk.tables()
    if COMBINED_INSIGHTS not in stored:
        return
    booked = stored[COMBINED_INSIGHTS]["date"].max()
    for key, table in stored.items():
        if key[0] == "insights" or key == MARKET_DATA:
            assert table["date"].max() >= booked, key


def test_whatever_is_killed_the_status_is_true_and_the_next_refresh_puts_it_right(
    undisturbed: list[Tables],
    begin: Callable[[Path, str], BaseProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(int(os.environ.get("HAWK_TEST_SEED", 11)))
    market, hit = versions(), 0
    with open_desk(tmp_path, market[0], LAST) as desk:
        began = time.monotonic()
        first = begin(tmp_path, "backfill")
        first.join()
        seconds = time.monotonic() - began
        assert first.exitcode == 0
        assert_same(desk.tables(), undisturbed[0])
        for i in range(1, KILLS + 1):
            version = 2 - i % 2  # never a shorter market, which would be refused
            desk.feed(market[version])
            commands = rng.choice(["refresh", "backfill"], size=1 + (i % 3 == 0))
            processes = [begin(tmp_path, str(command)) for command in commands]
            time.sleep(rng.uniform(0, seconds))
            hit += processes[0].is_alive()
            processes[0].kill()
            for process in processes:
                process.join()
            rename_machine(desk)
            assert_book_is_not_newer_than_its_signals(desk)
            assert_status_is_true(desk, undisturbed[version])
            with monkeypatch.context() as patch:
                patch.setattr("socket.gethostname", lambda name=f"machine-{i}": name)
                _, failed = desk.refresh()
            assert failed == {}
            assert desk.pending() == set()
            assert_same(desk.tables(), undisturbed[version])
    assert hit >= KILLS // 3  # the others had ended
