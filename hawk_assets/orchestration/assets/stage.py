"""What all stages share: one step per stage, one spec per table, and failures that stay alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.core.errors import HawkError, MissingMonthError
from hawk_assets.core.schemas import validate
from hawk_assets.core.sessions import shift
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.conditions import refresh_when_stale
from hawk_assets.orchestration.catalog import MARKET_DATA, Table, Upstream
from hawk_assets.orchestration.instance.internals import record_passed_checks
from hawk_assets.orchestration.interrupts import raise_if_received
from hawk_assets.orchestration.metadata import attach, describe
from hawk_assets.orchestration.partitions import month_window, months_of
from hawk_assets.storage.tables import Tables

OWNERS = ["team:quant-desk"]
CONTRACT = "contract"
Compute = Callable[[], pd.DataFrame]


@dataclass(frozen=True)
class StageContext:
    """One run of one stage.

    :param context: Dagster's
    :param storage: the stored tables
    :param tables: every table of the stage
    :param checks: results of further checks, recorded after the tables
    """

    context: dg.AssetExecutionContext
    storage: Tables
    tables: Sequence[Table]
    checks: list[dg.AssetCheckResult] = field(default_factory=list)

    @cached_property
    def months(self) -> pd.DatetimeIndex:
        """The months of this run, ascending and adjacent."""
        return months_of(list(self.context.partition_keys))

    @cached_property
    def selected(self) -> list[Table]:
        """The tables of this run."""
        chosen = self.context.selected_asset_keys
        return [table for table in self.tables if dg.AssetKey(table.key) in chosen]

    @cached_property
    def history(self) -> pd.DatetimeIndex:
        """All months up to the last one of this run."""
        partitions = self.context.assets_def.partitions_def
        assert partitions is not None
        keys = partitions.get_partition_keys()
        return months_of([k for k in keys if pd.Timestamp(k) <= self.months[-1]])

    def window(self, upstream: Upstream) -> pd.DatetimeIndex:
        """The months of an upstream that this run reads."""
        first, last = shift(self.months[0], upstream.first), shift(self.months[-1], upstream.last)
        return self.history[(self.history >= first) & (self.history <= last)]

    def read(self, key: TableKey, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """An upstream, over the widest window that any selected table has of it."""
        upstreams = [u for table in self.selected for u in table.upstreams if u.key == key]
        months = max((self.window(u) for u in upstreams), key=len)
        return self.storage.read(
            key, months, columns, missing_ok=any(u.optional for u in upstreams)
        )

    @cached_property
    def month_before(self) -> pd.DatetimeIndex:
        """The month before this run; empty where the history starts."""
        return self.history[self.history < self.months[0]][-1:]

    @cached_property
    def last_traded_month(self) -> pd.DatetimeIndex:
        """The last month before this run that has sessions; empty where there is none."""
        before = self.history[self.history < self.months[0]]
        for i in reversed(range(len(before))):
            closes = self.storage.read(MARKET_DATA, before[i : i + 1], ["close"])
            if closes["close"].notna().any():
                return before[i : i + 1]
        return before[:0]

    def previous(self, table: Table) -> pd.DataFrame | None:
        """The table's own month before this run; None where the history starts."""
        before = self.month_before
        return self.storage.read(table.key, before) if len(before) else None

    def results(
        self, computations: Iterable[tuple[Table, Compute]]
    ) -> Iterator[dg.MaterializeResult[pd.DataFrame] | dg.AssetCheckResult]:
        """Compute and materialise each table.

        A table that raises becomes a failed check, and the other tables go on.
        """
        passed: list[dg.AssetKey] = []
        failed: set[TableKey] = set()
        for table, compute in computations:
            key = dg.AssetKey(table.key)
            raise_if_received()
            try:
                if lost := failed.intersection(u.key for u in table.upstreams):
                    raise MissingMonthError(f"{'/'.join(lost.pop())} has failed")
                frame = validate(table.schema, compute(), table.name)
                attach(self.context, key, describe(table, frame, self.months))
            except Exception as error:
                raise_if_received()  # libraries turn a signal into an error of their own
                failed.add(table.key)
                known = isinstance(error, HawkError)
                text = str(error) if known else f"{type(error).__name__}: {error}"
                self.context.log.error(f"{table.name}: {text}", exc_info=not known)
                yield dg.AssetCheckResult(
                    asset_key=key, check_name=CONTRACT, passed=False, description=text
                )
                continue
            yield dg.MaterializeResult(asset_key=key, value=frame)
            passed.append(key)
        record_passed_checks(self.context, passed, CONTRACT)
        yield from self.checks


def build_stage(
    name: str,
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition[Any],
    body: Callable[[StageContext], Iterable[tuple[Table, Compute]]],
    resources: Iterable[str] = (),
    checks: Sequence[dg.AssetCheckSpec] = (),
    config: Mapping[str, dg.Field] | None = None,
) -> dg.AssetsDefinition:
    """One step that materialises ``tables``.

    :param body: returns each selected table and the call that computes it, a table after the tables
        of this stage that it reads
    :param resources: further resources that the body needs
    :param checks: further checks
    :param config: what the launchpad can choose for one run
    """

    declared = _declared_upstreams(tables)

    @dg.multi_asset(
        name=name,
        specs=[build_spec(table, partitions, declared) for table in tables],
        check_specs=[
            dg.AssetCheckSpec(
                CONTRACT,
                asset=dg.AssetKey(table.key),
                blocking=True,
                description="The table was computed and its rows match its schema.",
            )
            for table in tables
        ]
        + list(checks),
        can_subset=True,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"storage", *resources},
        config_schema=config,
    )
    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        stage = StageContext(context, context.resources.storage, tables)
        try:
            yield from stage.results(body(stage))
        except HawkError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    return step


def build_spec(
    table: Table,
    partitions: dg.PartitionsDefinition[Any],
    declared: Mapping[TableKey, Upstream],
) -> dg.AssetSpec:
    """The full spec of a table, for the service that computes it.

    :param declared: the upstreams as Dagster is to know them
    """
    return dg.AssetSpec(
        dg.AssetKey(table.key),
        deps=[
            dg.AssetDep(dg.AssetKey(d.key), partition_mapping=month_window(d.first, d.last))
            for d in (declared[u.key] for u in table.upstreams if u.key in declared)
            if d.key != table.key or d.last < 0
        ],
        partitions_def=partitions,
        description=table.description,
        group_name=table.group,
        owners=OWNERS,
        kinds={"python", "parquet"},
        code_version=table.code_version(),
        skippable=True,
        automation_condition=refresh_when_stale(table) if table.upstreams else None,
        tags=table.tags,
    ).with_io_manager_key("io_manager")


def _declared_upstreams(tables: Sequence[Table]) -> dict[TableKey, Upstream]:
    """The upstreams of a step as Dagster is to know them: the widest window of its tables.

    Dagster has one mapping per step and upstream. It draws lineage with it and extends backfills;
    what a table really reads, and when it is stale, follows from the table's own upstreams. Where
    one table of the step reads another, neither declares that it reads its own previous month:
    Dagster would start a separate run for it, for each model.
    """
    own = {table.key for table in tables}
    pairs = [(t.key, u.key) for t in tables for u in t.upstreams if u.key in own - {t.key}]
    paired = {key for pair in pairs for key in pair}
    declared: dict[TableKey, Upstream] = {}
    for u in (u for t in tables for u in t.upstreams if u.key != t.key or t.key not in paired):
        known = declared.get(u.key, u)
        declared[u.key] = Upstream(
            key=u.key, first=min(known.first, u.first), last=max(known.last, u.last)
        )
    return declared
