"""A small desk on a folder of its own: prices in one file, quick models, Dagster as in production.

Everything is real: the file is read as a user's would be, the runs are stored as ``dagster.yaml``
says, and the tables are Parquet below ``storage``, or in a bucket.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.commands.backfill import backfill
from hawk_assets.commands.events import Notice, StageResult
from hawk_assets.commands.refresh import refresh
from hawk_assets.commands.selection import select_months, select_tables
from hawk_assets.commands.status import find_status
from hawk_assets.core.model import TradingModel
from hawk_assets.core.types import TableKey
from hawk_assets.models.ema_cross import EmaCross
from hawk_assets.models.rsi import Rsi
from hawk_assets.orchestration.build import Pipeline, build_pipeline
from hawk_assets.orchestration.instance.dagster_home import open_instance
from hawk_assets.orchestration.settings import Settings
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.storage.tables import Tables
from hawk_assets_tests.markets import mixed_market, ragged_market

REPOSITORY = Path(__file__).parents[1]
REAL_PRICES = Path(
    os.environ.get("HAWK_TEST_REAL_PRICES")
    or REPOSITORY.parent / "shared" / "data" / "us12_ohlcv.parquet"
)
MODELS = (EmaCross(2, 4), Rsi(3, max_hold=5))
"""Recursive features, and a signal with a memory; both ready after four months."""

CAPITAL = SimulationParameters().initial_value
AGGREGATION = AggregationParameters("min_variance", cap=0.9, window_months=4, min_months=2)


@cache
def ragged_prices() -> pd.DataFrame:
    """2015: a late listing, a delisting, holes of all kinds, and prices that do not move."""
    return ragged_market(years=1)


@cache
def mixed_prices() -> pd.DataFrame:
    """New York, Tokyo and every day, from January 2019 to the end of September, a Monday."""
    return mixed_market(years=273 / 365, start="2019-01-01")


@cache
def real_prices() -> pd.DataFrame:
    """Twelve US tickers, 2010 to 2013; skips the test where the file is absent."""
    if not REAL_PRICES.exists():
        pytest.skip("the real prices are not here")
    prices = pd.read_parquet(REAL_PRICES)
    return prices[prices["date"].dt.year.between(2010, 2013)]


@dataclass(frozen=True)
class Desk:
    """One storage root, its instance and its pipeline."""

    settings: Settings
    pipeline: Pipeline
    instance: dg.DagsterInstance

    def feed(self, prices: pd.DataFrame) -> None:
        """Replace the source's file."""
        prices.to_parquet(str(self.settings.market_data))

    def backfill(
        self, first: str | None = None, last: str | None = None, *names: str
    ) -> dict[TableKey, str]:
        """``hawk backfill``; months as ``2015-01``."""
        span = [month and f"{month}-01" for month in (first, last)]
        return backfill(
            self.pipeline,
            self.instance,
            select_tables(self.pipeline.catalog, names),
            *select_months(self.pipeline.months, *span),
            lambda event: None,
        )

    def refresh(self, new_source: bool = False) -> tuple[list[StageResult], dict[TableKey, str]]:
        """``hawk refresh``: what it ran, and what failed."""
        events: list[StageResult | Notice | str] = []
        failed = refresh(self.pipeline, self.instance, events.append, new_source=new_source)
        return [event for event in events if isinstance(event, StageResult)], failed

    def pending(self) -> set[tuple[str, str]]:
        """Table and month of all that ``hawk status`` announces."""
        return {
            (status.table.name, month)
            for status in find_status(self.pipeline, self.instance)
            for month in (*status.stale, *status.missing, *status.failed)
        }

    def materialised(self, since: int = 0) -> set[tuple[str, str]]:
        """Table and month of all materialisations stored later than an id."""
        return {
            ("/".join(record.asset_key.path), str(record.partition_key))
            for key in self.pipeline.catalog
            for record in self.instance.fetch_materializations(
                dg.AssetRecordsFilter(dg.AssetKey(key), after_storage_id=since), limit=1000
            ).records
            if record.asset_key
        }

    def latest_event(self) -> int:
        """The storage id of the latest event of any table."""
        found = (
            self.instance.fetch_materializations(dg.AssetKey(key), limit=1).records
            for key in self.pipeline.catalog
        )
        return max(records[0].storage_id for records in found if records)

    def tables(self) -> dict[TableKey, pd.DataFrame]:
        """Everything stored, whole."""
        store = self.pipeline.storage
        months = {key: store.months(key) for key in self.pipeline.catalog}
        return {key: store.read(key, found) for key, found in months.items() if len(found)}

    def files(self) -> dict[tuple[str, str], tuple[int, bytes]]:
        """When each file was last written, and its bytes; by table and month."""
        root = Path(self.settings.storage)
        return {
            (str(file.parent.relative_to(root)), file.stem): (
                file.stat().st_mtime_ns,
                file.read_bytes(),
            )
            for file in root.rglob("*.parquet")
        }

    def with_models(self, *models: TradingModel) -> "Desk":
        """The same folder and instance, other models."""
        return replace(self, pipeline=_pipeline(self.settings, models))


@contextmanager
def open_desk(
    folder: Path,
    prices: pd.DataFrame | None,
    last: str,
    first: str = "2015-01",
    models: Sequence[TradingModel] = MODELS,
    storage: str | None = None,
) -> Iterator[Desk]:
    """A desk on an empty folder, or on one that has been worked on.

    :param prices: None: those that the folder has
    :param last: last month of the history
    :param storage: default: below the folder
    """
    settings = Settings(
        market_data=str(folder / "prices.parquet"),
        storage=storage or str(folder / "storage"),
        start=pd.Timestamp(f"{first}-01"),
        end=pd.Timestamp(f"{last}-01"),
        dagster_home=folder / "dagster",
        aggregation=AGGREGATION,
        solver="clarabel",  # the same numbers whatever licence a machine has
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        with open_instance(settings.dagster_home) as instance:
            desk = Desk(settings, _pipeline(settings, models), instance)
            if prices is not None:
                desk.feed(prices)
            yield desk


@contextmanager
def desk_to_be_weighed(folder: Path) -> Iterator[Desk]:
    """A desk with half a year of all that weights are computed from."""
    with open_desk(folder, ragged_prices(), "2015-06") as desk:
        for stage in ("market_data", "model_states", "insights", "performance"):
            assert desk.backfill(None, None, stage) == {}
        yield desk


def stored(root: str | Path) -> dict[TableKey, pd.DataFrame]:
    """All tables below a root, whole."""
    store, folders = Tables(str(root)), {file.parent for file in Path(root).rglob("*.parquet")}
    keys = sorted(folder.relative_to(root).parts for folder in folders)
    return {key: store.read(key, store.months(key)) for key in keys}


def _pipeline(settings: Settings, models: Sequence[TradingModel]) -> Pipeline:
    return build_pipeline(settings=settings, models={m.name: m for m in models})


def assert_same(
    found: Mapping[TableKey, pd.DataFrame], expected: Mapping[TableKey, pd.DataFrame]
) -> None:
    """The product's promise: states and insights to the bit, the rest to what it depends on.

    The simulation engine adds up in a random order: performance agrees to 1e-9 of the account, and
    what is solved from it, weights and the book, to 1e-6.
    """
    assert found.keys() == expected.keys()
    for key, table in expected.items():
        if key[0] in ("market_data", "commitments_of_traders", "model_states", "insights"):
            pd.testing.assert_frame_equal(found[key], table, check_exact=True, obj="/".join(key))
            continue
        tolerance = 1e-9 if key[0].startswith("performance") else 1e-6
        pairs = [(found[key], table)]
        if "positions" in table:
            maps = ["positions", "last_closes", "waiting_orders"]
            pairs = [(f.drop(columns=maps), t.drop(columns=maps)) for f, t in pairs]
            pairs += [_entries(name, found[key], table) for name in maps]
        for ours, theirs in pairs:
            pd.testing.assert_frame_equal(
                ours, theirs, rtol=tolerance, atol=tolerance, obj="/".join(key)
            )


def _entries(name: str, *tables: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """A column of maps, wide and on the same columns; dollars as fractions of the start capital."""
    unit = CAPITAL if name == "positions" else 1.0
    wide = []
    for table in tables:
        rows = [
            {(k, i): x / unit for k, v in row for i, x in enumerate(np.atleast_1d(v))}
            for row in table[name]
        ]
        wide.append(pd.DataFrame(rows, index=table.index, dtype=np.float64))
    columns = sorted(set().union(*wide))
    return tuple(frame.reindex(columns=columns).fillna(0.0) for frame in wide)
