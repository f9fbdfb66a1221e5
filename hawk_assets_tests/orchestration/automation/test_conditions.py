import gc
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.repository_definition import RepositoryDefinition
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.test_utils import freeze_time
from dagster._serdes import deserialize_value, serialize_value

from hawk_assets.commands.backfill import backfill
from hawk_assets.commands.runs import run_stage
from hawk_assets.core.types import TableKey
from hawk_assets.models.ema_cross import EmaCross
from hawk_assets.orchestration.automation import conditions
from hawk_assets.orchestration.automation.conditions import refresh_when_stale
from hawk_assets.orchestration.build import build_pipeline
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    RAW_DATA,
    SERVICES,
    WEIGHTS,
    insights,
    model_states,
    performance_metrics,
    performance_timeseries,
)
from hawk_assets.orchestration.partitions import monthly
from hawk_assets.orchestration.settings import Settings
from hawk_assets_tests.orchestration.automation.ledger import (
    A,
    B,
    InstanceLedger,
    month_keys,
    small_catalog,
    small_defs,
)
from hawk_assets_tests.orchestration.automation.test_staleness import (
    assert_settled,
    mend_everything,
    play,
)

CATALOG = small_catalog()
MODELS = {m.name: m for m in (EmaCross(2, 9), EmaCross(3, 9))}


def partitions_of(months: list[str]) -> dg.MonthlyPartitionsDefinition:
    return monthly(pd.Timestamp(months[0]), pd.Timestamp(months[-1]))


def new_ledger(instance: dg.DagsterInstance, months: list[str]) -> InstanceLedger:
    return InstanceLedger(instance, small_defs(CATALOG, partitions_of(months)), CATALOG, months)


def restart(ledger: InstanceLedger) -> None:
    """Another process: the same code and event log, nothing remembered."""
    ledger.defs, ledger.cursor = small_defs(CATALOG, partitions_of(ledger.months)), None


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as it:
        yield it


@pytest.fixture
def ledger(instance: dg.DagsterInstance) -> InstanceLedger:
    ledger = new_ledger(instance, month_keys(4))
    ledger.backfill()
    return ledger


def settings(home: Path, first: str, last: str | None) -> Settings:
    end = pd.Timestamp(last) if last else None
    return Settings(
        storage=str(home / "tables"), start=pd.Timestamp(first), end=end, dagster_home=home
    )


# Nothing to do


def test_nothing_is_asked_for_after_a_backfill_or_a_restart(ledger: InstanceLedger) -> None:
    assert [ledger.tick(), ledger.tick()] == [{}, {}]
    restart(ledger)
    assert ledger.tick() == {}


def test_nothing_is_asked_for_before_there_is_raw_data(instance: dg.DagsterInstance) -> None:
    assert new_ledger(instance, month_keys(3)).tick() == {}


# Changes of the source


def test_a_change_is_worked_off_stage_by_stage_and_each_month_materialised_once(
    ledger: InstanceLedger,
) -> None:
    before = dict(ledger.times_materialised)
    ledger.restate(ledger.months[1])
    ticks = [sorted({key[0] for key in asked}) for asked in ledger.settle()]
    assert ticks[:3] == [
        ["model_states"],
        ["insights"],
        ["attribution", "combined_insights", "performance_metrics", "performance_timeseries"],
    ]
    assert len(ticks) == 6
    assert ledger.contents == ledger.from_scratch()
    new = {month: n - before[month] for month, n in ledger.times_materialised.items()}
    assert {new[key, month] for key in CATALOG for month in ledger.months[2:]} == {1}
    assert not any(new[key, month] for key in CATALOG for month in ledger.months[:1])


@pytest.mark.parametrize("status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED])
def test_no_book_is_asked_for_while_signals_are_on_their_way(
    ledger: InstanceLedger, status: DagsterRunStatus
) -> None:
    ledger.begins_as = status
    ledger.restate(ledger.months[-1])
    for stage in ("model_states", "insights"):
        asked = ledger.tick()
        assert {key[0] for key in asked} == {stage}
        running = [ledger.begin(keys, months) for keys, months in ledger.runs(asked)]
        assert ledger.tick() == {}
        restart(ledger)
        assert ledger.tick() == {}
        for run in running:
            ledger.end(run)


def test_an_upstream_that_changes_during_a_run_is_found_after_it(ledger: InstanceLedger) -> None:
    ledger.restate(ledger.months[-1])
    running = [ledger.begin(keys, months) for keys, months in ledger.runs(ledger.tick())]
    ledger.restate(ledger.months[-2])
    assert ledger.tick() == {model_states(m): [ledger.months[-2]] for m in (A, B)}
    for run in running:
        ledger.end(run)
    ledger.settle()
    assert ledger.contents == ledger.from_scratch()


def test_a_past_month_materialised_by_hand_is_followed_by_one_range(ledger: InstanceLedger) -> None:
    ledger.materialise([performance_timeseries(A)], ledger.months[1:2])
    ticks = ledger.settle()
    first, second, *_ = ticks
    assert first[performance_timeseries(A)] == ledger.months[2:]
    assert first[performance_metrics(A)] == ledger.months[1:2]
    assert second[performance_metrics(A)] == ledger.months[2:]
    assert first[WEIGHTS] + second[WEIGHTS] == ledger.months[2:]
    assert not any(performance_timeseries(A) in tick for tick in ticks[1:])
    assert ledger.contents == ledger.from_scratch()


# One model fails


@pytest.mark.parametrize("table", [model_states(A), performance_timeseries(A)])
def test_a_model_that_fails_stops_nobody_but_itself(
    ledger: InstanceLedger, table: TableKey
) -> None:
    own = [key for key, its in CATALOG.items() if its.model == A]
    lost = own[own.index(table) + 1 :]
    ledger.broken.add(table)
    before = dict(ledger.times_materialised)
    ledger.restate(ledger.months[-2])
    asked = [key for tick in ledger.settle() for key in tick]
    assert asked.count(table) == 1
    # The simulator's step takes a model's account and figures together.
    assert not set(asked) & set(lost) - {performance_metrics(A)}
    others = [key for key, its in CATALOG.items() if its.model != A]
    assert all(
        ledger.times_materialised[key, month] > before[key, month]
        for key in others
        for month in ledger.months[-1:]
    )
    restart(ledger)
    assert ledger.tick() == {}
    assert_settled(ledger)


def test_a_repair_asks_for_just_the_rest(ledger: InstanceLedger) -> None:
    ledger.broken.add(insights(A))
    ledger.restate(ledger.months[-2])
    ledger.settle()
    ledger.broken.clear()
    ledger.materialise([insights(A)], ledger.months[-2:])
    asked = {key for tick in ledger.settle() for key in tick}
    book = (
        "weights",
        "combined_insights",
        "attribution",
        "combined_performance",
        "combined_metrics",
    )
    assert asked == {
        performance_timeseries(A),
        performance_metrics(A),
        *((table,) for table in book),
    }
    assert ledger.contents == ledger.from_scratch()


# Whatever happens


@pytest.mark.parametrize("seed", range(2))
def test_after_the_last_tick_everything_is_newer_than_its_upstreams(
    instance: dg.DagsterInstance, seed: int
) -> None:
    ledger = new_ledger(instance, month_keys(4))
    ledger.backfill()
    for part in range(2):
        play(ledger, 10 * seed + part, steps=12)
        assert_settled(ledger)
        restart(ledger)
    mend_everything(ledger)
    assert ledger.contents == ledger.from_scratch()


# Why not eager()


def book_after_two_models_in_turn(ledger: InstanceLedger) -> dict[TableKey, list[str]]:
    """The book is requested and materialised after A changes; B changes on the next tick."""
    month = ledger.months[-1:]
    ledger.tick()
    ledger.materialise([insights(A)], month)
    assert ledger.tick()[COMBINED_INSIGHTS] == month
    ledger.materialise([COMBINED_INSIGHTS], month)
    ledger.materialise([insights(B)], month)
    return {key: months for _ in range(4) for key, months in ledger.tick().items()}


def test_eager_forgets_the_second_of_two_models_and_this_does_not(
    ledger: InstanceLedger,
) -> None:
    eager = ledger.defs.map_asset_specs(
        func=lambda spec: spec.replace_attributes(
            automation_condition=dg.AutomationCondition.eager()
            if spec.key == dg.AssetKey(COMBINED_INSIGHTS)
            else None
        )
    )
    ours, ledger.defs = ledger.defs, eager
    assert book_after_two_models_in_turn(ledger) == {}
    ledger.defs, ledger.cursor = ours, None
    ledger.settle()
    assert ledger.contents == ledger.from_scratch()
    ledger.defs = ours.map_asset_specs(
        func=lambda spec: spec.replace_attributes(
            automation_condition=refresh_when_stale(CATALOG[COMBINED_INSIGHTS])
            if spec.key == dg.AssetKey(COMBINED_INSIGHTS)
            else None
        )
    )
    asked = book_after_two_models_in_turn(ledger)
    assert asked == {COMBINED_INSIGHTS: ledger.months[-1:]}


# The calendar


def test_the_new_month_waits_for_prices_and_has_its_weights_at_once(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with freeze_time(datetime(2020, 3, 31, 23, 59, tzinfo=UTC)):
        pipeline = build_pipeline(settings=settings(tmp_path, "2020-01-01", None), models=MODELS)
        ledger = InstanceLedger(instance, pipeline.defs, pipeline.catalog, month_keys(3))
        ledger.backfill()
        assert ledger.tick() == {}
    with freeze_time(datetime(2020, 4, 1, 0, 1, tzinfo=UTC)):
        april = ["2020-04-01"]
        ledger.months += april
        ledger.source |= {april[0]: 0}
        assert ledger.settle() == [{WEIGHTS: april}]
        ledger.materialise(RAW_DATA, ["2020-03-01", *april])
        asked = ledger.settle()
        assert asked[0] == {model_states(m): ["2020-03-01", *april] for m in (A, B)}
        assert asked[3][WEIGHTS] == april
        assert ledger.contents == ledger.from_scratch()


# As the daemon sees it


def requests(defs: dg.Definitions, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """What the sensor of a code location answers."""
    repository: RepositoryDefinition = defs.get_repository_def()
    sensor = next(s for s in repository.sensor_defs if s.name.endswith("_automation"))
    with dg.build_sensor_context(instance, repository_def=repository) as context:
        return list(sensor.evaluate_tick(context).run_requests or [])


def test_account_and_figures_of_a_model_go_into_one_run(ledger: InstanceLedger) -> None:
    ledger.restate(ledger.months[-1])
    for _ in range(2):
        for keys, months in ledger.runs(ledger.tick()):
            ledger.materialise(keys, months)
    asked = {
        frozenset(key.to_user_string() for key in request.asset_selection or [])
        for request in requests(ledger.defs, ledger.instance)
    }
    simulated = {
        "/".join(table(m))
        for table in (performance_timeseries, performance_metrics)
        for m in (A, B)
    }
    assert any(simulated <= run for run in asked)


def test_adjacent_months_are_one_backfill(ledger: InstanceLedger) -> None:
    ledger.restate(ledger.months[2])
    (request,) = requests(ledger.defs, ledger.instance)
    subset = request.asset_graph_subset
    assert subset is not None
    asked = subset.partitions_subsets_by_asset_key
    assert {key.path[-1]: sorted(s.get_partition_keys()) for key, s in asked.items()} == {
        model: ledger.months[2:] for model in (A, B)
    }


def test_a_backfill_that_has_not_begun_is_not_asked_for_again(ledger: InstanceLedger) -> None:
    ledger.restate(ledger.months[2])
    (request,) = requests(ledger.defs, ledger.instance)
    assert request.asset_graph_subset is not None
    ledger.instance.add_backfill(
        PartitionBackfill.from_asset_graph_subset(
            "one", time.time(), {}, ledger.instance, request.asset_graph_subset, None, None, None
        )
    )
    assert ledger.tick() == {}
    assert requests(ledger.defs, ledger.instance) == []


def test_services_wait_for_each_other(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    months = month_keys(2)
    built = {
        service: build_pipeline(service, settings(tmp_path, months[0], months[-1]), MODELS)
        for service in SERVICES
    }
    tables = built["trading_models"].catalog
    services = {name: pipeline.defs for name, pipeline in built.items()}
    ledger = InstanceLedger(instance, dg.Definitions(), tables, months)
    ledger.backfill()
    ledger.restate(months[-1])
    order = []
    while asked := {
        name: found for name, d in services.items() if (found := requests(d, instance))
    }:
        order.append(list(asked))
        for request in (request for found in asked.values() for request in found):
            keys = [tuple(key.path) for key in request.asset_selection or []]
            ledger.materialise(keys, [str(request.partition_key)])
    assert order == [
        ["model_state_generator"],
        ["trading_models"],
        ["portfolio_simulator", "model_aggregator"],
        ["model_aggregator"],
    ]
    assert ledger.contents == ledger.from_scratch()
    again = {key for key in tables if ledger.times_materialised[key, months[-1]] == 2}
    assert again == tables.keys() - {WEIGHTS}


def test_a_code_location_can_be_sent_to_the_daemon(tmp_path: Path) -> None:
    built = build_pipeline(settings=settings(tmp_path, "2020-01-01", "2020-02-01"), models=MODELS)
    snap = RepositorySnap.from_def(built.defs.get_repository_def())
    assert deserialize_value(serialize_value(snap), RepositorySnap) == snap
    conditions = [node.automation_condition_snapshot for node in snap.asset_nodes]
    assert sum(c is not None for c in conditions) == len(built.catalog) - len(RAW_DATA)


def test_what_a_tick_found_is_forgotten_with_the_tick(ledger: InstanceLedger) -> None:
    for _ in range(6):
        ledger.tick()
    gc.collect()
    assert len(conditions._TICKS) < 4


# With real runs


def test_a_restated_month_runs_through_the_real_pipeline(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    pipeline = build_pipeline(
        settings=settings(tmp_path, "2020-01-01", "2020-02-01"), models=MODELS
    )
    tables = list(pipeline.catalog.values())
    assert not backfill(pipeline, instance, tables, *pipeline.months, lambda _: None)
    ledger = InstanceLedger(instance, pipeline.defs, pipeline.catalog, pipeline.months)
    assert ledger.tick() == {}
    raw = [pipeline.catalog[key] for key in RAW_DATA]
    run_stage(pipeline, instance, raw, *pipeline.months[1:] * 2)
    materialised = []
    while asked := ledger.tick():
        for keys, months in ledger.runs(asked):
            done = run_stage(
                pipeline, instance, [pipeline.catalog[key] for key in keys], months[0], months[-1]
            )
            assert not done.failed
            materialised += [(key, month) for key in keys for month in months]
    february = pipeline.months[1]
    untouched = {*RAW_DATA, WEIGHTS}
    assert sorted(materialised) == sorted(
        (k, february) for k in pipeline.catalog if k not in untouched
    )
