"""Which solver computed the weights, as Dagster shows it: on the month, and as a check."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from hawk_assets.commands.events import StageResult
from hawk_assets.commands.runs import run_stage
from hawk_assets.commands.selection import select_tables
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.catalog import WEIGHTS
from hawk_assets_tests.aggregation.servers import LICENCE, refusing_optserver
from hawk_assets_tests.pipelines import MODELS, Desk, desk_to_be_weighed

pytestmark = pytest.mark.usefixtures("unlicensed")
MONTH = "2015-06-01"
UNLICENSED = "err_missing_license_file (1008)"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_to_be_weighed(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


def weigh(desk: Desk, **settings: str) -> StageResult:
    pipeline = build_pipeline(
        settings=desk.settings.model_copy(update=settings),
        models={model.name: model for model in MODELS},
    )
    (weights,) = select_tables(pipeline.catalog, ["weights"])
    return run_stage(pipeline, desk.instance, [weights], "2015-01-01", MONTH)


def figures(desk: Desk, month: str) -> dict[str, Any]:
    """What stands on the latest materialisation of a month."""
    (record,) = desk.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(WEIGHTS), asset_partitions=[month]), limit=1
    ).records
    assert record.asset_materialization
    return {name: m.value for name, m in record.asset_materialization.metadata.items()}


def log_lines(desk: Desk) -> list[str]:
    """What the latest run has logged."""
    (run,) = desk.instance.get_runs(limit=1)
    return [log.user_message for log in desk.instance.all_logs(run.run_id)]


def verdict(desk: Desk) -> dg.AssetCheckEvaluation:
    """The latest one on the solver."""
    key = dg.AssetCheckKey(dg.AssetKey(WEIGHTS), "solver")
    (record,) = desk.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event
    assert record.event.dagster_event
    return record.event.dagster_event.asset_check_evaluation_data


def test_without_any_licence_the_check_passes_and_the_month_and_the_log_say_why(
    desk: Desk,
) -> None:
    run = weigh(desk, solver="auto")
    assert (run.failed, run.warnings) == ({}, [])
    found = figures(desk, MONTH)
    assert found["solver"] == "clarabel"
    assert UNLICENSED in found["solver_fallback"]
    result = verdict(desk)
    assert result.passed
    assert "HAWK_SOLVER=clarabel accepts that" in str(result.description)
    assert UNLICENSED in str(result.description)
    assert result.metadata["months_solved_by_clarabel"].value == 1
    assert sum("Clarabel solved 1 month" in line for line in log_lines(desk)) == 1


def test_a_month_that_no_solver_was_needed_for_has_no_fallback(desk: Desk) -> None:
    weigh(desk, solver="auto")
    found = figures(desk, "2015-01-01")
    assert found["solver"] == "none"
    assert "solver_fallback" not in found


def test_a_licence_that_cannot_be_used_is_a_warning_on_the_weights(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "corrupted.lic"
    file.write_text("this is no licence\n")
    monkeypatch.setenv(LICENCE, str(file))
    run = weigh(desk, solver="auto", licence=str(file))
    assert run.failed == {}
    (warning,) = run.warnings
    assert warning.startswith("weights: Clarabel replaced MOSEK")
    assert "MOSEK cannot be used: err_flexlm" in warning
    assert str(file) in warning
    assert str(file) in figures(desk, MONTH)["solver_fallback"]
    assert not verdict(desk).passed
    assert verdict(desk).severity == dg.AssetCheckSeverity.WARN
    assert verdict(desk).metadata["months_solved_by_clarabel"].value > 0


def test_an_optserver_that_refuses_is_a_warning_on_the_weights(desk: Desk) -> None:
    with refusing_optserver() as server:
        run = weigh(desk, solver="auto", optserver=f"http://127.0.0.1:{server.port}")
    (warning,) = run.warnings
    assert f"HAWK_OPTSERVER=http://127.0.0.1:{server.port}" in warning
    assert figures(desk, MONTH)["solver"] == "clarabel"


def test_clarabel_by_name_needs_no_excuse(desk: Desk) -> None:
    run = weigh(desk, solver="clarabel", licence="27000@nowhere")
    assert (run.failed, run.warnings) == ({}, [])
    assert "solver_fallback" not in figures(desk, MONTH)
    assert verdict(desk).passed


def test_mosek_by_name_without_a_licence_stores_nothing_and_says_what_to_do(desk: Desk) -> None:
    weigh(desk, solver="clarabel")
    before = desk.files()
    run = weigh(desk, solver="mosek")
    why = run.failed[WEIGHTS]
    assert why.startswith(f"HAWK_SOLVER=mosek, but MOSEK cannot be used: {UNLICENSED}")
    assert "MOSEKLM_LICENSE_FILE" in why
    assert run.materialised == 0
    assert desk.files() == before


def test_the_weights_do_not_depend_on_how_clarabel_came_to_solve(desk: Desk) -> None:
    weigh(desk, solver="clarabel")
    by_name = desk.tables()[WEIGHTS]
    weigh(desk, solver="auto")
    assert desk.tables()[WEIGHTS].equals(by_name)
