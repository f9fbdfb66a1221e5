import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from hawk_assets.core.schemas import MARKET_DATA_SCHEMA
from hawk_assets.core.types import Flags, TableKey
from hawk_assets.orchestration.automation.staleness import (
    History,
    months_to_materialise,
    months_to_request,
    newer_upstreams,
    read_history,
    stale_months,
)
from hawk_assets.orchestration.catalog import (
    ATTRIBUTION,
    COMBINED_INSIGHTS,
    RAW_DATA,
    WEIGHTS,
    Table,
    Upstream,
    insights,
    model_states,
    performance_timeseries,
)
from hawk_assets.orchestration.instance.internals import MATERIALISED, PLANNED
from hawk_assets_tests.orchestration.automation.ledger import (
    A,
    B,
    Ledger,
    Month,
    latest,
    month_keys,
    record,
    small_catalog,
)

MONTHS = month_keys(5)
CATALOG = small_catalog()
Open = Callable[[], AbstractContextManager[dg.DagsterInstance]]


def sqlite(home: Path) -> dg.DagsterInstance:
    """An instance on this project's own event log."""
    (home / "dagster.yaml").write_text(
        "event_log_storage:\n"
        "  module: hawk_assets.orchestration.instance.event_log\n"
        "  class: BatchedSqliteEventLogStorage\n"
        f"  config: {{base_dir: {home}/events}}\n"
        "telemetry: {enabled: false}\n"
    )
    return dg.DagsterInstance.from_config(str(home))


@pytest.fixture(params=["in memory", "sqlite"])
def instance(request: pytest.FixtureRequest, tmp_path: Path):
    with dg.DagsterInstance.ephemeral() if request.param == "in memory" else sqlite(tmp_path) as it:
        yield it


def make_table(key: str, *upstreams: Upstream) -> Table:
    return Table(
        key=(key,), stage="stage", schema=MARKET_DATA_SCHEMA, description="", upstreams=upstreams
    )


def of(
    materialised: list[int], by: list[int], planned: list[int], planned_by: list[int]
) -> History:
    return History(*(np.array(column) for column in (materialised, by, planned, planned_by)))


# What the event log says


def test_history_is_what_the_events_say(instance: dg.DagsterInstance) -> None:
    rng = random.Random(2)
    months = [((key,), month) for key in ("one", "two", "three") for month in MONTHS]
    events: dict[Month, list[tuple[int, str, str]]] = {}
    for storage_id in range(1, 121):
        month, kind = rng.choice(months), rng.choice([MATERIALISED, PLANNED])
        run = rng.choice(["a", "b", "c"] if kind == PLANNED else ["a", "b", "c", ""])
        record(instance, run, kind, [month])
        events.setdefault(month, []).append((storage_id, kind, run))
    history = read_history(instance, [("one",), ("three",), ("never",)], MONTHS[1:])
    runs = set()
    for key in [("one",), ("three",), ("never",)]:
        for i, month in enumerate(MONTHS[1:]):
            materialised, materialised_by, planned, planned_by = latest(
                events.get((key, month), [])
            )
            its = history[key]
            assert (its.materialised[i], its.planned[i]) == (materialised, planned)
            runs |= {(materialised_by, its.materialised_by[i]), (planned_by, its.planned_by[i])}
    assert {name for name, _ in runs} == {"a", "b", "c", "", "never"}
    assert len(runs) == len({run for _, run in runs}) == 5


def test_what_was_wiped_has_not_happened(instance: dg.DagsterInstance) -> None:
    for kind in (PLANNED, MATERIALISED):
        record(instance, "run", kind, [(("one",), MONTHS[0]), (("two",), MONTHS[0])])
    instance.wipe_assets([dg.AssetKey("one")])
    record(instance, "again", PLANNED, [(("one",), MONTHS[1])])
    history = read_history(instance, [("one",), ("two",)], MONTHS)
    assert not history["one",].materialised.any()
    assert (history["one",].planned > 0).tolist() == [False, True, False, False, False]
    assert history["two",].materialised[0] > history["two",].planned[0] > 0


def test_a_run_is_in_progress_until_it_has_materialised_its_months(
    instance: dg.DagsterInstance,
) -> None:
    seen = {}

    @dg.multi_asset(
        specs=[dg.AssetSpec(name, skippable=True) for name in ("good", "bad")],
        partitions_def=dg.StaticPartitionsDefinition(MONTHS),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def stage(context: dg.AssetExecutionContext):
        runs = instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        for name, its in read_history(instance, [("good",), ("bad",)], MONTHS).items():
            seen[name] = its.in_progress(runs).tolist()
        yield dg.MaterializeResult("good")

    dg.Definitions(assets=[stage]).resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": MONTHS[1],
            "dagster/asset_partition_range_end": MONTHS[2],
        },
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    asked = [False, True, True, False, False]
    assert seen == {("good",): asked, ("bad",): asked}
    history = read_history(instance, [("good",), ("bad",)], MONTHS)
    assert not instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    good, bad = history["good",], history["bad",]
    assert (good.materialised > good.planned).tolist() == asked
    assert (good.materialised_by == good.planned_by).all()
    assert not good.failed.any()
    assert bad.failed.tolist() == asked
    assert not bad.in_progress([]).any()


def test_a_month_that_a_run_has_materialised_is_not_in_progress(
    instance: dg.DagsterInstance,
) -> None:
    months = [(("one",), month) for month in MONTHS[:2]]
    record(instance, "run", PLANNED, months)
    record(instance, "run", MATERIALISED, months[:1])
    its = read_history(instance, [("one",)], MONTHS[:3])["one",]
    assert its.in_progress(["other", "run"]).tolist() == [False, True, False]
    assert not its.in_progress(["other"]).any()


# The arithmetic, against loops over months written from the same sentences


def random_world(seed: int) -> tuple[list[Table], dict[TableKey, History], dict[TableKey, Flags]]:
    """A catalog of six tables with a history that no scheduler would have produced."""
    rng = random.Random(seed)
    tables = [make_table("t0")]
    for i in range(1, 6):
        sources = rng.sample(range(i), rng.randint(1, min(i, 3)))
        upstreams = [
            Upstream(
                key=(f"t{s}",),
                first=(first := rng.randint(-3, 0)),
                last=rng.randint(first, 0),
                optional=rng.random() < 0.3,
            )
            for s in sources
        ]
        chained = [Upstream(key=(f"t{i}",), first=-1, last=-1)] if rng.random() < 0.5 else []
        tables.append(make_table(f"t{i}", *upstreams, *chained))
    history = {}
    for table in tables:
        events: list[list[tuple[int, str, str]]] = [[] for _ in MONTHS]
        for i in range(len(MONTHS)):
            for _ in range(rng.choice([0, 1, 2, 2, 3, 3])):
                kind = rng.choice([MATERIALISED, PLANNED])
                events[i].append((rng.randint(1, 60), kind, rng.choice("abcd")))
        rows = [latest(sorted(month)) for month in events]
        numbers = {"never": 0} | {run: ord(run) for run in "abcd"}
        materialised, by, planned, planned_by = zip(*rows, strict=True)
        history[table.key] = of(
            list(materialised),
            [numbers[r] for r in by],
            list(planned),
            [numbers[r] for r in planned_by],
        )
    seeds = {
        table.key: np.array([rng.random() < 0.1 for _ in MONTHS]) for table in rng.sample(tables, 2)
    }
    return tables, history, seeds


def read_by(table: Table, i: int) -> list[tuple[Upstream, int]]:
    """The months that month ``i`` reads."""
    return [
        (source, i + offset)
        for source in table.upstreams
        for offset in range(source.first, source.last + 1)
        if 0 <= i + offset < len(MONTHS)
    ]


def stale_by_loops(table: Table, history: dict[TableKey, History]) -> list[bool]:
    own = history[table.key]
    stale = [
        any(
            history[source.key].materialised[j] > own.planned[i]
            and history[source.key].materialised_by[j] != own.planned_by[i]
            for source, j in read_by(table, i)
        )
        for i in range(len(MONTHS))
    ]
    failed = [own.planned[i] > own.materialised[i] for i in range(len(MONTHS))]
    blamed = {own.planned_by[i] for i in range(len(MONTHS)) if failed[i] and stale[i]}
    return [stale[i] or bool(failed[i] and own.planned_by[i] in blamed) for i in range(len(MONTHS))]


@pytest.mark.parametrize("seed", range(40))
def test_stale_months_are_those_that_loops_find(seed: int) -> None:
    tables, history, _ = random_world(seed)
    for table in tables:
        assert stale_months(table, history).tolist() == stale_by_loops(table, history)


def months_by_loops(
    tables: list[Table], history: dict[TableKey, History], seeds: dict[TableKey, Flags]
) -> dict[TableKey, list[bool]]:
    n = range(len(MONTHS))
    chosen: dict[TableKey, list[bool]] = {}
    usable: dict[TableKey, list[bool]] = {}
    for table in tables:
        own, stale = history[table.key], stale_by_loops(table, history)
        chained = any(source.key == table.key for source in table.upstreams)
        reads = [[(s, j) for s, j in read_by(table, i) if s.key != table.key] for i in n]
        want = [
            stale[i]
            or bool(seeds.get(table.key, [False] * 5)[i])
            or any(chosen[source.key][j] for source, j in reads[i])
            for i in n
        ]
        if chained:
            want = [want[i] or (own.planned[i] == 0 and any(want[i:])) for i in n]
            want = [any(want[: i + 1]) for i in n]
        chosen[table.key], usable[table.key] = [], []
        for i in n:
            there = all(source.optional or usable[source.key][j] for source, j in reads[i])
            if chained and i > 0:
                there = there and usable[table.key][i - 1]
            outdated = own.planned[i] > own.materialised[i] and any(
                history[source.key].materialised[j] > own.materialised[i]
                and history[source.key].materialised_by[j] != own.materialised_by[i]
                for source, j in read_by(table, i)
            )
            chosen[table.key].append(want[i] and there)
            usable[table.key].append(
                there and (want[i] or (own.materialised[i] > 0 and not outdated))
            )
    return chosen


@pytest.mark.parametrize("seed", range(40))
def test_months_to_materialise_are_those_that_loops_find(seed: int) -> None:
    tables, history, seeds = random_world(seed)
    found = {
        key: flags.tolist() for key, flags in months_to_materialise(tables, history, seeds).items()
    }
    assert found == months_by_loops(tables, history, seeds)


@pytest.mark.parametrize("seed", range(40))
def test_what_reads_a_month_in_progress_near_or_far_is_left_out_and_nothing_else(
    seed: int,
) -> None:
    tables, history, seeds = random_world(seed)
    rng = random.Random(seed)
    running = {
        table.key: history[table.key].failed & np.array([rng.random() < 0.5 for _ in MONTHS])
        for table in tables
    }
    waits: dict[TableKey, list[bool]] = {}
    for table in tables:
        waits[table.key] = own = []
        for i in range(len(MONTHS)):
            reads = read_by(table, i)
            own.append(
                running[table.key][i]
                or any(waits[s.key][j] for s, j in reads if j < i or s.key != table.key)
            )
    found = months_to_materialise(tables, history, seeds, running)
    undisturbed = months_to_materialise(tables, history, seeds)
    for key, flags in found.items():
        assert not (flags & waits[key]).any()
        left_out = undisturbed[key] & ~flags
        assert (left_out <= np.array(waits[key])).all()


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_asked_for_before_what_it_reads(seed: int) -> None:
    tables, history, running = random_world(seed)
    running = {t.key: running.get(t.key, np.zeros(len(MONTHS), bool)) for t in tables}
    stages = random.Random(seed).choices("xy", k=len(tables))
    tables = [replace(table, stage=stage) for table, stage in zip(tables, stages, strict=True)]
    of_stage = {table.key: table.stage for table in tables}
    chosen, request = (
        months_to_materialise(tables, history, running),
        months_to_request(tables, history, running),
    )
    for table in tables:
        key = table.key
        assert not (request[key] & ~chosen[key]).any()
        assert not (request[key] & running[key]).any()
        for i in np.flatnonzero(request[key]):
            for source, j in read_by(table, int(i)):
                if source.key == key:
                    assert request[key][j] or not chosen[key][j]
                elif chosen[source.key][j]:
                    assert of_stage[source.key] == table.stage
                    assert (request[source.key] == request[key]).all()
    idle = not any(months.any() for months in running.values())
    wanted = any(months.any() for months in chosen.values())
    assert not (idle and wanted) or any(months.any() for months in request.values())


def test_an_upstream_of_the_same_run_is_not_newer() -> None:
    source, own = of([5], [7], [3], [7]), of([6], [7], [4], [7])
    table = make_table("own", Upstream(key=("source",)))
    assert newer_upstreams(table, {("source",): source, ("own",): own}) == {}
    another = of([5], [8], [3], [8])
    found = newer_upstreams(table, {("source",): another, ("own",): own})
    assert found["source",].tolist() == [True]


# Whatever happens


def play(ledger: Ledger, seed: int, steps: int) -> None:
    """Ticks, changes, runs by hand, failures, repairs and crashes in any order; runs overlap.

    Checks that no request lacks anything or repeats an earlier one on the same upstreams.
    """
    rng, open_runs, asked_before = random.Random(seed), [], set()
    models = [key for key, table in ledger.catalog.items() if table.model]

    def request() -> bool:
        asked = ledger.tick()
        for keys, months in ledger.runs(asked):
            planned = {(key, month) for key in keys for month in months}
            for key, month in planned:
                needed = {read for read, optional in ledger.upstreams(key, month) if not optional}
                assert needed <= ledger.contents.keys() | planned
            reads = {r for month in planned for r, _ in ledger.upstreams(*month)} - planned
            what = (*planned, *((r, ledger.times_materialised.get(r, 0)) for r in reads))
            assert frozenset(what) not in asked_before
            asked_before.add(frozenset(what))
            open_runs.append(ledger.begin(keys, months))
        return bool(asked)

    def end_one() -> None:
        if open_runs:
            ledger.end(open_runs.pop(rng.randrange(len(open_runs))))

    def crash_one() -> None:
        if open_runs:
            ledger.crash(open_runs.pop(rng.randrange(len(open_runs))))

    def span() -> list[str]:
        first = rng.randrange(len(ledger.months))
        return ledger.months[first : rng.randint(first, len(ledger.months)) + 1]

    def by_hand() -> None:
        key = rng.choice(list(ledger.catalog))
        if not any(key == planned for run in open_runs for planned, _ in run.planned):
            open_runs.append(ledger.begin([key], span()))

    def change() -> None:
        months = span()
        ledger.restate(months[0], months[-1])

    def break_one() -> None:
        key = rng.choice(models)
        ledger.broken.add(rng.choice([key, (key, rng.choice(ledger.months))]))

    def mend_one() -> None:
        if ledger.broken:
            ledger.broken.remove(rng.choice(sorted(ledger.broken, key=str)))

    acts = [request] * 5 + [end_one] * 4 + [change, by_hand, break_one, mend_one, crash_one]
    for _ in range(steps):
        rng.choice(acts)()
    while open_runs:
        end_one()
    ticks = 0
    while request():
        ticks += 1
        assert ticks <= 6, "one tick per stage is enough"
        while open_runs:
            end_one()


def assert_settled(ledger: Ledger) -> None:
    """Every month is newer than its inputs, or has failed on them, or waits for one that has."""
    held: dict[Month, bool] = {}
    for key in ledger.catalog:
        for month in ledger.months:
            needed = [r for r, optional in ledger.upstreams(key, month) if not optional]
            blocked = any(held[r] or r not in ledger.contents for r in needed)
            current = ledger.is_current(ledger.computed_from.get((key, month)))
            assert current or blocked or ledger.is_current(ledger.failed_on.get((key, month)))
            held[key, month] = blocked or not current


def mend_everything(ledger: Ledger) -> None:
    """Repair, restate the whole history, and let automation do the rest."""
    ledger.broken.clear()
    if (WEIGHTS, ledger.months[0]) not in ledger.contents:
        ledger.materialise([WEIGHTS], ledger.months[:1])  # reads nothing: nothing requests it
    ledger.restate(ledger.months[0])
    ledger.settle()


@pytest.mark.parametrize("seed", range(40))
def test_after_the_last_tick_everything_is_newer_than_its_upstreams(seed: int) -> None:
    ledger = Ledger(CATALOG, MONTHS)
    if seed % 4:
        ledger.backfill()
    else:
        ledger.restate(MONTHS[0])
    play(ledger, seed, steps=5 + seed % 30)
    assert_settled(ledger)
    mend_everything(ledger)
    assert ledger.contents == ledger.from_scratch()


# Single cases


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(CATALOG, MONTHS)
    ledger.backfill()
    return ledger


def test_months_computed_from_old_upstreams_by_a_slow_run_are_stale(ledger: Ledger) -> None:
    slow = ledger.begin([insights(A)], MONTHS[-1:])
    ledger.materialise([model_states(A)], MONTHS[-1:])
    ledger.materialise([insights(A)], MONTHS[-1:])
    ledger.end(slow)
    assert ledger.tick() == {insights(A): MONTHS[-1:]}


def test_a_failed_range_is_tried_again_as_a_whole(ledger: Ledger) -> None:
    ledger.broken.add((insights(A), MONTHS[4]))
    ledger.restate(MONTHS[1])
    ledger.settle()
    ledger.broken.clear()
    ledger.restate(MONTHS[4])
    assert ledger.settle()[1][insights(A)] == MONTHS[1:]
    assert ledger.contents == ledger.from_scratch()


def test_a_range_cut_short_leaves_no_month_behind(ledger: Ledger) -> None:
    ledger.restate(MONTHS[1])
    for keys, months in ledger.runs(ledger.tick()):
        ledger.crash(ledger.begin(keys, months))
    assert ledger.tick().keys() == {COMBINED_INSIGHTS, ATTRIBUTION}
    ledger.restate(MONTHS[4])
    ledger.settle()
    assert ledger.contents == ledger.from_scratch()


def test_a_failed_run_by_hand_stops_nobody(ledger: Ledger) -> None:
    ledger.crash(ledger.begin([performance_timeseries(A)], MONTHS[1:3]))
    ledger.restate(MONTHS[4])
    ledger.settle()
    assert ledger.contents == ledger.from_scratch()


def test_a_month_reported_by_hand_is_newer_than_what_was_materialised_before(
    ledger: Ledger,
) -> None:
    ledger.record("", MATERIALISED, [(model_states(B), MONTHS[2])])
    assert ledger.tick() == {insights(B): MONTHS[2:]}
    ledger.record("", MATERIALISED, [(insights(B), month) for month in MONTHS[2:]])
    asked = ledger.tick()
    assert insights(B) not in asked
    assert asked[performance_timeseries(B)] == MONTHS[2:]


def test_a_chain_begins_where_it_has_never_been_materialised() -> None:
    ledger = Ledger(CATALOG, MONTHS)
    assert ledger.tick() == {}
    ledger.materialise(RAW_DATA)
    asked = [month for tick in ledger.settle() for month in tick.get(WEIGHTS, [])]
    assert asked == MONTHS
    assert ledger.contents == ledger.from_scratch()
