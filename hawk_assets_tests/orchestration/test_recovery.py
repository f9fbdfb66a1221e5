"""A killed process, a restated price, a model that breaks and is repaired: all recover."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from hawk_assets.commands.status import find_status
from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.models import ema_cross, rsi
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.catalog import MARKET_DATA, WEIGHTS
from hawk_assets.orchestration.instance.dagster_home import open_instance
from hawk_assets.orchestration.settings import Settings, load_settings
from hawk_assets_tests.pipelines import (
    MODELS,
    Desk,
    assert_same,
    open_desk,
    ragged_prices,
    stored,
)

HAWK = str(Path(sys.executable).with_name("hawk"))
TREND, FADE = ema_cross.MODELS[0].name, rsi.MODELS[0].name
SOME = ["market_data", TREND, FADE, "weights", "combined_insights", "combined_performance"]


def settings_of(folder: Path) -> dict[str, str]:
    return {
        "HAWK_MARKET_DATA": str(folder.parent / "prices.parquet"),
        "HAWK_STORAGE": str(folder / "storage"),
        "HAWK_START": "2015-01-01",
        "HAWK_END": "2015-12-01",
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def start_backfill(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    chosen = [word for name in SOME for word in ("--select", name)]
    return subprocess.Popen(
        [HAWK, "backfill", *chosen],
        cwd=folder,
        env=os.environ | settings_of(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when(process: subprocess.Popen[str], root: Path, written: int) -> None:
    """SIGKILL once so many files are new; every file that shows up can be read, at any time."""
    began, read = time.time(), set[tuple[Path, int]]()
    while len(read) < written:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
        for file in root.rglob("*.parquet"):
            version = file.stat().st_mtime_ns
            if version > began * 1e9 and (file, version) not in read:
                pq.read_table(file)
                read.add((file, version))
    process.kill()
    process.communicate()
    for file in root.rglob("*.parquet"):
        pq.read_table(file)


def test_a_backfill_killed_at_any_moment_is_finished_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ragged_prices().to_parquet(tmp_path / "prices.parquet")
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    undisturbed = start_backfill(quiet)
    # Of 168 files; the second time in the middle of a stage, so that its run cannot have ended.
    for written in np.random.default_rng(3).integers([1, 75], [160, 95]):
        kill_when(start_backfill(killed), killed / "storage", int(written))
    monkeypatch.setenv("DAGSTER_HOME", str(killed / "dagster"))
    assert_dead_run_blocks_nothing(load_settings(settings_of(killed)))
    for process in (undisturbed, start_backfill(killed)):
        said = process.communicate()
        assert process.returncode == 0, said
    assert_same(stored(killed / "storage"), stored(quiet / "storage"))


def assert_dead_run_blocks_nothing(settings: Settings) -> None:
    """``hawk`` marks the run of the dead process as failed, and materialises its months again."""
    pipeline = build_pipeline(settings=settings)
    unfinished = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)
    with dg.DagsterInstance.get() as instance:
        (left,) = instance.get_run_ids(unfinished)
        tables = find_status(pipeline, instance)
        assert not any(table.running for table in tables)
        months = {month for table in tables for month in table.failed}
        assert months
    with open_instance(settings.dagster_home) as instance:
        assert instance.get_run_ids(unfinished) == []
        assert instance.get_run_by_id(left).status == dg.DagsterRunStatus.FAILURE
        tables = find_status(pipeline, instance)
        assert not any(table.running for table in tables)
        assert months <= {month for table in tables for month in table.failed}


def test_a_restated_price_is_announced_recomputed_and_reported_and_nothing_else(
    tmp_path: Path,
) -> None:
    prices = ragged_prices()
    with open_desk(tmp_path, prices, "2015-12") as desk:
        assert desk.backfill() == {}
        assert desk.pending() == set()
        before, last = desk.files(), desk.latest_event()

        at = prices.index[(prices["ticker"] == "FULL") & (prices["date"] == "2015-09-15")]
        restated = prices.copy()
        restated.loc[at, "close"] *= 1.001
        desk.feed(restated)
        announced = desk.pending()
        runs, failed = desk.refresh()

        assert not failed
        assert desk.materialised(since=last) == announced
        assert desk.pending() == set()
        line = (
            "restated: 1 row of market_data from 2015-09-15 to 2015-09-15, the first FULL on "
            "2015-09-15"
        )
        assert runs[0].warnings == [line]
        notes = metadata(desk, MARKET_DATA, "2015-09-01")
        assert (notes["restated_rows"], notes["source_changes"]) == (1, line)

        after = desk.files()
        assert {file for file in after if after[file] != before[file]} == announced
        assert {month for table, month in announced if table == "market_data"} == {"2015-09-01"}
        # States reach back five months, an account and the weights to the start of the restated.
        assert {month for _, month in announced} == set(desk.pipeline.months[8:])
    with open_desk(tmp_path / "afresh", restated, "2015-12") as fresh:
        assert fresh.backfill() == {}
        assert_same(stored(tmp_path / "storage"), fresh.tables())


def metadata(desk: Desk, key: tuple[str, ...], month: str) -> dict[str, object]:
    record = desk.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(key), asset_partitions=[month]), limit=1
    ).records[0]
    assert record.asset_materialization
    return {k: v.value for k, v in record.asset_materialization.metadata.items()}


STRANGE = 77.0


@dataclass(frozen=True)
class Brittle(TradingModel):
    """Holds everything; in its broken forms it comes to grief in December."""

    broken: str = ""
    name = "brittle"
    warmup = 0
    lookback = 0

    def features(self, bars: Bars) -> dict[str, Array]:
        one = np.ones_like(bars["close"])
        infinite = self.broken == "feature"
        return {"one": np.where(bars["close"] == STRANGE, np.inf, one) if infinite else one}

    def signal(self, states: States) -> pd.DataFrame:
        one = states["one"]
        december = one.index >= "2015-12-01"
        if self.broken == "raises" and december.any():
            raise ZeroDivisionError("no volume in December")
        too_much = np.where(december & (self.broken == "signal"), 1.5, 1.0)
        return one * too_much[:, None]


LOST = ["performance_timeseries/brittle", "performance_metrics/brittle"]


@pytest.mark.parametrize(
    ("broken", "says", "lost"),
    [
        (
            "signal",
            "brittle: signal 1.5 for FLAT on 2015-12-01 is outside [-1, 1]; "
            "scale or clip it in signal()",
            ["insights/brittle", *LOST],
        ),
        (
            "raises",
            "ZeroDivisionError: no volume in December",
            ["insights/brittle", *LOST],
        ),
        (
            "feature",
            "brittle: feature 'one' of FULL is infinite on 2015-12-03; "
            "guard the division in features()",
            ["model_states/brittle", "insights/brittle", *LOST],
        ),
    ],
)
def test_a_model_that_fails_loses_its_own_tables_until_it_is_repaired(
    broken: str, says: str, lost: list[str], tmp_path: Path
) -> None:
    prices = ragged_prices().copy()
    strange = (prices["ticker"] == "FULL") & (prices["date"] == "2015-12-03")
    prices.loc[strange, ["open", "high", "low", "close"]] = STRANGE
    trend, month = MODELS[0], "2015-12-01"
    with open_desk(tmp_path, prices, "2015-12", models=[Brittle(), trend]) as sound:
        assert sound.backfill(None, "2015-11") == {}
        last = sound.latest_event()

        runs, failed = sound.with_models(Brittle(broken), trend).refresh()
        assert {"/".join(key): why for key, why in failed.items()} == {
            lost[0]: says,
            **dict.fromkeys(lost[1:], f"skipped: upstream failed: {lost[0]}"),
        }
        assert contract(sound, lost[0]) == (False, says)
        reasons = {s.table.name: s.reasons for s in find_status(sound.pipeline, sound.instance)}
        assert f"the latest attempt failed: {says}" in reasons[lost[0]]
        materialised = sound.materialised(since=last)
        tables = {"/".join(key) for key in sound.pipeline.catalog}
        assert {table for table, m in materialised if m == month} == tables - set(lost)
        share = shares(sound, month)
        assert share["brittle"] > 0
        book, own = (
            last_session(sound, "combined_insights"),
            last_session(sound, f"insights/{trend.name}"),
        )
        pd.testing.assert_series_equal(book, share[trend.name] * own)
        assert any("brittle: latest insights are" in text for run in runs for text in run.warnings)

        last = sound.latest_event()
        assert {table for table, _ in sound.pending()} == set(lost)
        _, failed = sound.with_models(Brittle(broken), trend).refresh()
        assert "/".join(next(iter(failed))) == lost[0]
        assert sound.materialised(since=last) == set()  # above all no weights and no book

        _, failed = sound.refresh()
        assert failed == {}
        assert {table for table, _ in sound.materialised(since=last)} == {
            *lost,
            "combined_insights",
            "attribution",
            "combined_performance",
            "combined_metrics",
        }
        assert contract(sound, lost[0]) == (True, "")
        assert sound.pending() == set()


def contract(desk: Desk, table: str) -> tuple[bool, str]:
    """The latest verdict on a table: whether it is good, and why not."""
    key = dg.AssetCheckKey(dg.AssetKey(table.split("/")), "contract")
    found = desk.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert found.event
    assert found.event.dagster_event
    evaluation = found.event.dagster_event.asset_check_evaluation_data
    return evaluation.passed, evaluation.description or ""


def shares(desk: Desk, month: str) -> "pd.Series[float]":
    weights = desk.tables()[WEIGHTS]
    return weights[weights["month"] == month].set_index("model")["weight"]


def last_session(desk: Desk, table: str) -> "pd.Series[float]":
    rows = desk.tables()[tuple(table.split("/"))]
    return rows[rows["date"] == rows["date"].max()].set_index("ticker")["weight"]
