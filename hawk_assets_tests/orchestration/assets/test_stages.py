"""The stages on prices that are awkward but allowed, and what each stage says about its work."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from hawk_assets.commands.runs import run_stage
from hawk_assets.commands.selection import select_tables
from hawk_assets.orchestration.assets.stage import CONTRACT
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    COMBINED_METRICS,
    COMBINED_PERFORMANCE,
    MARKET_DATA,
    WEIGHTS,
    insights,
    model_states,
)
from hawk_assets_tests.pipelines import MODELS, assert_same, open_desk, ragged_prices


def of(*tickers: str) -> pd.DataFrame:
    prices = ragged_prices()
    return prices[prices["ticker"].isin(tickers)].reset_index(drop=True)


def a_single_ticker() -> pd.DataFrame:
    return of("FULL")


def shuffled() -> pd.DataFrame:
    return of("FULL", "TICK", "GONE").sample(frac=1.0, random_state=0)


def holes_everywhere() -> pd.DataFrame:
    """Every ticker lacks a close on one session in five, and nobody has one on 20 March."""
    prices = of("FULL", "TICK", "NANS").copy()
    holes = np.random.default_rng(0).random(len(prices)) < 0.2
    holes |= (prices["date"] == "2015-03-20").to_numpy()
    prices.loc[holes, ["open", "high", "low", "close", "volume"]] = np.nan
    return prices


def a_newcomer() -> pd.DataFrame:
    """HALT has no more than forty bars, fewer than any model and its volatility need."""
    prices = of("FULL", "HALT")
    listed = prices["date"].unique()[-40]
    return prices[(prices["ticker"] == "FULL") | (prices["date"] >= listed)]


@pytest.mark.parametrize(
    "prices", [a_single_ticker, shuffled, holes_everywhere, a_newcomer], ids=lambda p: p.__name__
)
def test_awkward_prices_still_give_a_book(
    prices: Callable[[], pd.DataFrame], tmp_path: Path
) -> None:
    market = prices()
    with open_desk(tmp_path, market, "2015-12") as desk:
        assert desk.backfill() == {}
        tables = desk.tables()
    sessions = market.loc[market["close"].notna(), "date"].nunique()
    assert len(tables[COMBINED_PERFORMANCE]) == sessions
    assert tables[COMBINED_INSIGHTS]["date"].nunique() == sessions
    assert tables[COMBINED_INSIGHTS]["weight"].abs().max() > 0
    for model in MODELS:
        table = tables[insights(model.name)].merge(
            tables[model_states(model.name)][["date", "ticker", "vol_63"]], how="left"
        )
        unready = table["vol_63"].isna()
        assert unready.any()
        assert (table.loc[unready & (table["ticker"] == "HALT"), "weight"] == 0).all()
        assert (table["weight"].abs() <= 0.10 + 1e-12).all()


def test_a_month_without_sessions_is_empty_and_the_account_goes_on(tmp_path: Path) -> None:
    """Nothing trades before February, nor in May; month by month as in one go."""
    prices = of("FULL", "TICK")
    prices = prices[prices["date"].dt.month.isin([2, 3, 4, 6, 7])]
    with open_desk(tmp_path / "one", prices, "2015-07") as desk:
        assert desk.backfill() == {}
        whole = desk.tables()
    with open_desk(tmp_path / "by_month", prices, "2015-07") as desk:
        tables = list(desk.pipeline.catalog.values())
        for month in desk.pipeline.months:
            run = run_stage(desk.pipeline, desk.instance, tables, month, month)
            assert run.failed == {}
        assert_same(desk.tables(), whole)
    assert whole[COMBINED_PERFORMANCE]["date"].nunique() == prices["date"].nunique()
    metrics = whole[COMBINED_METRICS]
    assert sorted(metrics["as_of"].dt.month.unique()) == [2, 3, 4, 6, 7]
    since_start = metrics[(metrics["window"] == "running") & (metrics["metric"] == "days")]
    assert since_start["value"].iloc[-1] == prices["date"].nunique()


def test_after_a_backfill_every_check_has_passed_on_the_materialisation_of_its_run(
    tmp_path: Path,
) -> None:
    """A fresh desk shows no check as failed, skipped or never run."""
    with open_desk(tmp_path, ragged_prices(), "2015-06") as desk:
        assert desk.backfill() == {}
        graph = desk.pipeline.defs.resolve_asset_graph()
        storage = desk.instance.event_log_storage
        checks = storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
        assert checks.keys() == graph.asset_check_keys
        for key, record in checks.items():
            assert record.status == AssetCheckExecutionRecordStatus.SUCCEEDED
            assert record.event
            (latest,) = desk.instance.fetch_materializations(key.asset_key, limit=1).records
            assert record.run_id == latest.run_id
            if key.name == CONTRACT:
                found = record.event.get_dagster_event().asset_check_evaluation_data
                assert found.target_materialization_data
                assert found.target_materialization_data.storage_id == latest.storage_id


def test_a_contract_that_was_broken_has_passed_after_the_next_run(tmp_path: Path) -> None:
    key = dg.AssetCheckKey(dg.AssetKey(MARKET_DATA), CONTRACT)
    with open_desk(tmp_path, ragged_prices(), "2015-02") as desk:
        for factor, passes in ((-1.0, False), (1.0, True)):
            desk.feed(ragged_prices().assign(close=lambda t, f=factor: f * t["close"]))
            assert (MARKET_DATA not in desk.backfill(None, None, "market_data")) == passes
            (record,) = desk.instance.event_log_storage.get_asset_check_execution_history(key, 1)
            assert (record.status == AssetCheckExecutionRecordStatus.SUCCEEDED) == passes


def test_a_month_before_any_record_is_no_unsolved_one(tmp_path: Path) -> None:
    """What the desk is to look at: a solver that failed, not an objective without data."""
    with open_desk(tmp_path, ragged_prices(), "2015-06") as desk:
        assert desk.backfill(None, None, "market_data", "model_states", "insights") == {}
        assert desk.backfill(None, None, "performance") == {}
        (weights,) = select_tables(desk.pipeline.catalog, ["weights"])
        run = run_stage(desk.pipeline, desk.instance, [weights], "2015-01-01", "2015-06-01")
        fallbacks = desk.tables()[WEIGHTS]["fallback"]
    assert set(fallbacks) == {"equal_weight", "min_variance"}
    assert run.warnings == []
