"""What is set reaches the tables it is for, and the code version of those and no others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.core.types import TableKey
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.orchestration.build import Pipeline, build_pipeline
from hawk_assets.orchestration.settings import Settings
from hawk_assets.simulation.settings import SimulationSettings
from hawk_assets_tests.doubles.bigquery import BigQueryDouble
from hawk_assets_tests.pipelines import Desk, open_desk, ragged_prices

MODEL = "ema_cross_2_4"
BARS = "bigquery://hawk-desk/market/bars"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk"), ragged_prices(), "2015-08") as desk:
        yield desk


def with_settings(desk: Desk, folder: Path, **values: object) -> Desk:
    """The same prices and instance, other settings and an empty storage."""
    settings = desk.settings.model_copy(update={"storage": str(folder), **values})
    return replace(
        desk,
        settings=settings,
        pipeline=build_pipeline(settings=settings, models=desk.pipeline.models),
    )


def changed(before: Pipeline, after: Pipeline) -> set[str]:
    """The folders of the tables that are of another code version."""
    return {
        key[0]
        for key, table in after.catalog.items()
        if table.code_version() != before.catalog[key].code_version()
    }


@pytest.mark.parametrize(
    ("values", "folders"),
    [
        ({"sizing": SizingParameters(hold_sessions=1)}, {"insights"}),
        ({"simulation": SimulationSettings(model_capital=1e5)}, {"performance_timeseries"}),
        ({"simulation": SimulationSettings(book_capital=1e5)}, {"combined_performance"}),
        (
            {"simulation": SimulationSettings(slippage_bps=2.0)},
            {"performance_timeseries", "combined_performance"},
        ),
        (
            {"simulation": SimulationSettings(sessions_per_year=365.0)},
            {"performance_metrics", "combined_metrics"},
        ),
        (
            {"simulation": SimulationSettings(execution_lag=2)},
            {"performance_timeseries", "combined_performance", "attribution"},
        ),
    ],
)
def test_a_setting_is_in_the_code_version_of_what_depends_on_it(
    values: dict[str, object], folders: set[str], desk: Desk, tmp_path: Path
) -> None:
    assert changed(desk.pipeline, with_settings(desk, tmp_path, **values).pipeline) == folders


def test_capital_costs_lag_and_sizing_reach_the_tables(desk: Desk, tmp_path: Path) -> None:
    simulation = SimulationSettings(0, 20.0, "ibkr_pro_fixed", model_capital=2e4, book_capital=3e7)
    set_up = with_settings(desk, tmp_path, simulation=simulation, sizing=SizingParameters(cap=0.2))
    assert desk.backfill() == set_up.backfill() == {}
    usual, other = desk.tables(), set_up.tables()

    def first_value(tables: dict[TableKey, pd.DataFrame], *key: str) -> float:
        return float(tables[key]["portfolio_value"].iloc[0])

    for key in (("performance_timeseries", MODEL), ("combined_performance",)):
        assert first_value(usual, *key) == pytest.approx(1e6, rel=0.01)
    assert first_value(other, "performance_timeseries", MODEL) == pytest.approx(2e4, rel=0.01)
    assert first_value(other, "combined_performance") == pytest.approx(3e7, rel=0.01)
    account = other["performance_timeseries", MODEL]
    costs = account[["daily_slippage_cost", "daily_commission_cost"]].sum()
    assert costs["daily_slippage_cost"] == pytest.approx(account["volume_traded"].sum() * 20e-4)
    assert costs["daily_commission_cost"] > 0
    assert (usual["performance_timeseries", MODEL]["daily_commission_cost"] == 0).all()

    def first_trade(tables: dict[TableKey, pd.DataFrame]) -> int:
        traded = tables["performance_timeseries", MODEL]["volume_traded"]
        return int((traded.to_numpy() > 0).argmax())

    assert first_trade(other) == first_trade(usual) - 1, "no lag: traded at the same close"
    insights = {name: t["insights", MODEL] for name, t in (("usual", usual), ("other", other))}
    assert insights["usual"]["weight"].abs().max() == pytest.approx(0.1)
    assert 0.1 < insights["other"]["weight"].abs().max() <= 0.2


def test_the_project_that_is_set_pays_for_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    double, month = BigQueryDouble(), pd.DatetimeIndex(["2015-01-01"])
    with double.running(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        double.put("hawk-desk.market.bars", ragged_prices())
        for project in (None, "hawk-pays"):
            settings = Settings(market_data=BARS, google_cloud_project=project)
            build_pipeline(settings=settings, models={}).source.poll(month)
            (*_, asked) = double.faults.log("POST .*/(queries|jobs)")
            assert f"projects/{project or 'hawk-desk'}/" in asked
