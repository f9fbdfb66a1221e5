"""What all stages share: one step, one spec per table, and a model that fails fails alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg
import pandas as pd
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Verdict,
)

from hawk_assets.core.errors import HawkError, MissingMonthError
from hawk_assets.core.schemas import validate
from hawk_assets.core.sessions import shift
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.conditions import refresh_when_stale
from hawk_assets.orchestration.catalog import MARKET_DATA, Table, Upstream
from hawk_assets.orchestration.metadata import attach, describe
from hawk_assets.orchestration.partitions import month_window, months_of
from hawk_assets.storage.tables import Tables

OWNERS = ["team:quant-desk"]
CHECK = "contract"
VERDICTS = {Verdict.SUCCEEDED, Verdict.FAILED}
Make = Callable[[], pd.DataFrame]


@dataclass(frozen=True)
class Stage:
    """One run of one stage.

    :param context: Dagster's
    :param storage: the stored tables
    :param tables: every table of the stage
    :param checks: further verdicts of the body, recorded after its tables
    """

    context: dg.AssetExecutionContext
    storage: Tables
    tables: Sequence[Table]
    checks: list[dg.AssetCheckResult] = field(default_factory=list)

    @cached_property
    def months(self) -> pd.DatetimeIndex:
        """The months to make, ascending and adjacent."""
        return months_of(list(self.context.partition_keys))

    @cached_property
    def selected(self) -> list[Table]:
        """The tables to make."""
        chosen = self.context.selected_asset_keys
        return [table for table in self.tables if dg.AssetKey(table.key) in chosen]

    @cached_property
    def history(self) -> pd.DatetimeIndex:
        """All months up to the last one asked for."""
        keys = self.context.assets_def.partitions_def.get_partition_keys()  # type: ignore[union-attr]
        return months_of([k for k in keys if pd.Timestamp(k) <= self.months[-1]])

    def window(self, source: Upstream) -> pd.DatetimeIndex:
        """The months of an input that the months asked for read."""
        first, last = shift(self.months[0], source.first), shift(self.months[-1], source.last)
        return self.history[(self.history >= first) & (self.history <= last)]

    def read(self, key: TableKey, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """An input, over the widest window that any selected table has of it."""
        inputs = [i for table in self.selected for i in table.upstreams if i.key == key]
        months = max((self.window(i) for i in inputs), key=len)
        return self.storage.read(key, months, columns, missing_ok=any(i.optional for i in inputs))

    @cached_property
    def earlier(self) -> pd.DatetimeIndex:
        """The month before the first one asked for; empty where the history starts."""
        return self.history[self.history < self.months[0]][-1:]

    @cached_property
    def last_traded(self) -> pd.DatetimeIndex:
        """The last month before the first one asked for that has sessions; empty if none has."""
        before = self.history[self.history < self.months[0]]
        for i in reversed(range(len(before))):
            if self.storage.rows(MARKET_DATA, before[i]):
                return before[i : i + 1]
        return before[:0]

    def previous(self, table: Table) -> pd.DataFrame | None:
        """The table's own month before; None where the history starts."""
        return self.storage.read(table.key, self.earlier) if len(self.earlier) else None

    def results(
        self, made: Iterable[tuple[Table, Make]]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Make each table; one that raises becomes a failed check, its neighbours are made."""
        red, failed = self._red_checks(), set()
        for table, make in made:
            key = dg.AssetKey(table.key)
            try:
                if lost := failed.intersection(i.key for i in table.upstreams):
                    raise MissingMonthError(f"{'/'.join(lost.pop())} has failed")
                frame = validate(table.schema, make(), "/".join(table.key))
                attach(self.context, key, describe(table, frame, self.months))
            except Exception as error:
                failed.add(table.key)
                known = isinstance(error, HawkError)
                text = str(error) if known else f"{type(error).__name__}: {error}"
                self.context.log.error(f"{'/'.join(table.key)}: {text}", exc_info=not known)
                yield dg.AssetCheckResult(
                    asset_key=key, check_name=CHECK, passed=False, description=text
                )
                continue
            yield dg.MaterializeResult(asset_key=key, value=frame)
            if key in red:
                yield dg.AssetCheckResult(asset_key=key, check_name=CHECK, passed=True)
        yield from self.checks

    def _red_checks(self) -> set[dg.AssetKey]:
        # A passing check costs more than the table it is about; it is recorded to clear a red one.
        # The latest record is no verdict: it says that this very run has planned the check.
        history = self.context.instance.event_log_storage.get_asset_check_execution_history
        keys = [dg.AssetKey(table.key) for table in self.selected]
        latest = {k: history(dg.AssetCheckKey(k, CHECK), limit=1, status=VERDICTS) for k in keys}
        return {key for key, found in latest.items() if found and found[0].status == Verdict.FAILED}


def build_stage(
    name: str,
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition,
    body: Callable[[Stage], Iterable[tuple[Table, Make]]],
    resources: Iterable[str] = (),
    checks: Sequence[dg.AssetCheckSpec] = (),
    config: Mapping[str, dg.Field] | None = None,
) -> dg.AssetsDefinition:
    """One step that makes ``tables`` with ``body``.

    :param body: takes the run, gives each selected table and the call that makes it, a table after
        the tables of this stage that it reads
    :param config: what can be chosen for one run, in the launchpad
    """

    windows = _declared_windows(tables)

    @dg.multi_asset(
        name=name,
        specs=[spec(table, partitions, windows) for table in tables],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=dg.AssetKey(table.key),
                blocking=True,
                description="Made, and what its schema says; recorded when it fails, and when it "
                "is good again.",
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
    def stage(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
        run = Stage(context, context.resources.storage, tables)
        try:
            yield from run.results(body(run))
        except HawkError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    return stage


def spec(
    table: Table, partitions: dg.PartitionsDefinition, windows: Mapping[TableKey, Upstream]
) -> dg.AssetSpec:
    """The full spec of a table, for the service that makes it."""
    return dg.AssetSpec(
        dg.AssetKey(table.key),
        deps=[
            dg.AssetDep(dg.AssetKey(w.key), partition_mapping=month_window(w.first, w.last))
            for w in (windows[i.key] for i in table.upstreams if i.key in windows)
            if w.key != table.key or w.last < 0
        ],
        partitions_def=partitions,
        description=table.description,
        group_name=table.service,
        owners=OWNERS,
        kinds={"python", "parquet"},
        code_version=table.code_version(),
        skippable=True,
        automation_condition=refresh_when_stale(table) if table.upstreams else None,
        tags={"model": table.model} if table.model else {},
    ).with_io_manager_key("io_manager")


def _declared_windows(tables: Sequence[Table]) -> dict[TableKey, Upstream]:
    """The window that Dagster is told for each input of a step: the widest of its tables.

    Dagster knows one mapping per step and input. It draws lineage with it and extends backfills;
    what a table really reads, and when it is stale, follows from its own inputs. Of two tables that
    are made together none declares that it reads its own previous month: of that one Dagster would
    make a run apart, for each model.
    """
    made = {table.key for table in tables}
    pairs = [(o.key, i.key) for o in tables for i in o.upstreams if i.key in made - {o.key}]
    together = {key for pair in pairs for key in pair}
    windows: dict[TableKey, Upstream] = {}
    for i in (i for o in tables for i in o.upstreams if i.key != o.key or o.key not in together):
        known = windows.get(i.key, i)
        windows[i.key] = Upstream(
            key=i.key, first=min(known.first, i.first), last=max(known.last, i.last)
        )
    return windows
