"""Which objective weighs the models: the setting for all runs, the launchpad for one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from hawk_assets.aggregation.parameters import BENCHMARKS, OBJECTIVES, AggregationParameters
from hawk_assets.cli import cli
from hawk_assets.commands.compare import compare_objectives
from hawk_assets.commands.runs import run_stage
from hawk_assets.commands.selection import select_tables
from hawk_assets.core.errors import MissingMonthError, SettingsError
from hawk_assets.core.schemas import PERFORMANCE_TIMESERIES_SCHEMA, arrow_schema
from hawk_assets.models import discover
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.catalog import WEIGHTS, performance_timeseries
from hawk_assets.orchestration.instance.internals import range_tags
from hawk_assets.storage.tables import Tables
from hawk_assets_tests.pipelines import MODELS, Desk, desk_to_be_weighed

FIRST, LAST = "2015-01-01", "2015-06-01"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_to_be_weighed(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


def launch(desk: Desk, **config: str) -> pd.DataFrame:
    """The weights of a run from the launchpad."""
    done = desk.pipeline.job.execute_in_process(
        instance=desk.instance,
        asset_selection=[dg.AssetKey(WEIGHTS)],
        tags=range_tags(FIRST, LAST),
        run_config={
            "ops": {"weights": {"config": config}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )
    assert done.success
    return desk.tables()[WEIGHTS]


def test_the_launchpad_overrides_the_objective_for_one_run(desk: Desk) -> None:
    usual = launch(desk)
    assert set(usual["objective"]) == {"min_variance"}
    once = launch(desk, objective="inverse_vol")
    assert set(once["objective"]) == {"inverse_vol"}
    assert set(once["fallback"]) == {"equal_weight", "inverse_vol"}
    assert not once["weight"].equals(usual["weight"])
    pd.testing.assert_frame_equal(launch(desk), usual)


def test_equal_weight_and_risk_parity_are_stored_beside_it(desk: Desk) -> None:
    for benchmark in BENCHMARKS:
        chosen = launch(desk, objective=benchmark)
        np.testing.assert_array_equal(chosen["weight"], chosen[benchmark])


def test_the_launchpad_refuses_an_objective_that_is_not_on_the_menu(desk: Desk) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="best"):
        launch(desk, objective="best")


def test_when_no_model_is_eligible_any_more_the_desk_is_warned(desk: Desk, tmp_path: Path) -> None:
    """Never an empty book: all weigh the same, and a check says so."""
    storage = shutil.copytree(desk.settings.storage, tmp_path / "storage")
    tables = Tables(str(storage))
    for model in MODELS:
        key = performance_timeseries(model.name)
        months = tables.months(key)
        frame = tables.read(key, months).assign(daily_return=1e-4)
        schema = arrow_schema(PERFORMANCE_TIMESERIES_SCHEMA, frame.columns)
        tables.write(key, frame, months, schema)
    pipeline = build_pipeline(
        settings=desk.settings.model_copy(update={"storage": str(storage)}),
        models={m.name: m for m in MODELS},
    )
    (weights,) = select_tables(pipeline.catalog, ["weights"])
    run = run_stage(pipeline, desk.instance, [weights], FIRST, LAST)
    table = pipeline.storage.read(weights.key, pipeline.storage.months(weights.key))
    np.testing.assert_array_equal(table["weight"], 1 / len(MODELS))
    assert run.warnings == [
        "weights: 2015-04: equal_weight (no model is eligible); "
        "2015-05: equal_weight (no model is eligible); "
        "2015-06: equal_weight (no model is eligible)"
    ]


def test_the_settings_choose_for_all_runs(desk: Desk) -> None:
    chosen = AggregationParameters("hrp", cap=0.6)
    settings = desk.settings.model_copy(update={"aggregation": chosen})
    pipeline = build_pipeline(settings=settings, models={m.name: m for m in MODELS})
    assert pipeline.settings.aggregation == chosen
    weights = pipeline.catalog[WEIGHTS]
    assert weights.code_version() != desk.pipeline.catalog[WEIGHTS].code_version()


def test_families_that_cannot_fill_the_book_stop_the_graph_from_being_built(desk: Desk) -> None:
    settings = desk.settings.model_copy(
        update={"aggregation": AggregationParameters(family_cap=0.4)}
    )
    with pytest.raises(SettingsError, match=r"family_cap 0.4: 2 families cannot hold"):
        build_pipeline(settings=settings, models={m.name: m for m in MODELS})


def test_the_comparison_needs_a_year_of_weights(desk: Desk) -> None:
    with pytest.raises(MissingMonthError, match="less than a year to compare"):
        compare_objectives(desk.pipeline, None, None)


@pytest.fixture
def three_years(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Performance of two of the registered models, stored as production stores it."""
    rng, tables = np.random.default_rng(0), Tables(str(tmp_path / "storage"))
    template = desk.tables()[performance_timeseries(MODELS[0].name)].iloc[[0]]
    dates = pd.bdate_range("2015-01-01", "2017-12-31")
    months = pd.date_range("2015-01-01", "2017-12-01", freq="MS")
    for name in list(discover())[:2]:
        frame = pd.concat([template] * len(dates), ignore_index=True)
        frame = frame.assign(date=dates, daily_return=rng.normal(3e-4, 0.01, len(dates)))
        schema = arrow_schema(PERFORMANCE_TIMESERIES_SCHEMA, frame.columns)
        tables.write(performance_timeseries(name), frame, months, schema)
    monkeypatch.setenv("HAWK_STORAGE", tables.root)
    monkeypatch.setenv("HAWK_START", "2015-01-01")
    monkeypatch.setenv("HAWK_END", "2017-12-01")
    monkeypatch.setenv("HAWK_AGGREGATION", "window_months=24")
    return tmp_path


def hawk(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments])


def test_hawk_compare_shows_every_objective_and_a_conclusion(three_years: Path) -> None:
    said = hawk().output
    assert "models, 2016-01-05 to 2017-12-29, after costs of 10 bp per change of weight" in said
    for objective in OBJECTIVES:
        assert f"\n{objective} " in said
    assert "None of 9 objectives differs significantly from equal weight at the 5% level" in said


def test_hawk_compare_is_also_for_programs(three_years: Path) -> None:
    found = json.loads(hawk("--json", "--from", "2016-07-01", "--to", "2017-06-01").output)
    assert {row["objective"] for row in found["rows"]} == set(OBJECTIVES)
    # Decided at the first close of July, traded at the second, earning from the third.
    assert (found["first"], found["last"]) == ("2016-07-05", "2017-06-30")
    for row in found["rows"]:
        assert sum(row["months_per_fallback"].values()) == 12
        assert row["sharpe"]["standard_error"] > 0


def test_hawk_compare_says_what_it_cannot_compare(three_years: Path) -> None:
    assert "--from 2014-01-01 is not a month" in str(hawk("--from", "2014-01-01").exception)
    shutil.rmtree(three_years / "storage")
    assert "hawk backfill" in str(hawk().exception)
