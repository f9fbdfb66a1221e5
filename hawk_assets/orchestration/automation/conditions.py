"""When things run by themselves: on new data, and on anything stale.

The incident this prevents: Dagster's ``eager()`` remembers ticks, and forgets an input that changed
on the tick after it requested the table; with many models feeding one book, the book then stays
stale in silence. ``InputsNewer`` asks the event log instead (see ``staleness``).
"""

from graphlib import TopologicalSorter
from weakref import WeakKeyDictionary

import dagster as dg
import numpy as np
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph, BaseAssetNode
from dagster._core.definitions.declarative_automation.automation_condition import AutomationResult
from dagster._core.definitions.declarative_automation.automation_context import AutomationContext
from dagster._record import record

from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.staleness import read_progress, to_request
from hawk_assets.orchestration.catalog import Table


@record
class InputsNewer(dg.AutomationCondition[dg.AssetKey]):
    """True for the months that are stale, lack nothing and wait for nothing: ``to_request``."""

    table: Table

    @property
    def description(self) -> str:
        return "an input was materialised after the run that last set out to make this was planned"

    @property
    def name(self) -> str:
        return "inputs_newer"

    def evaluate(self, context: AutomationContext[dg.AssetKey]) -> AutomationResult[dg.AssetKey]:
        assert context.partitions_def is not None
        subset = context.asset_graph_view.get_subset_from_partition_keys(
            context.key, context.partitions_def, _requests(context)[self.table.key]
        )
        return AutomationResult(context, subset.compute_intersection(context.candidate_subset))


_TICKS: "WeakKeyDictionary[AssetGraphView, dict[TableKey, set[str]]]" = WeakKeyDictionary()


def _requests(context: AutomationContext[dg.AssetKey]) -> dict[TableKey, set[str]]:
    """What this tick asks for, found once for all its conditions; a view lives for one tick."""
    view = context.asset_graph_view
    if view not in _TICKS:
        assert context.partitions_def is not None
        months = np.asarray(context.partitions_def.get_partition_keys(view.effective_dt))
        tables = _tables(view.asset_graph)
        keys = {key for o in tables for key in (o.key, *(i.key for i in o.upstreams))}
        history, running = read_progress(view.instance, keys, list(months))
        requests = to_request(tables, history, running)
        _TICKS[view] = {key: set(months[flags].tolist()) for key, flags in requests.items()}
    return _TICKS[view]


def _tables(graph: BaseAssetGraph[BaseAssetNode]) -> list[Table]:
    """The tables of which this code location knows the inputs, each after these.

    Tables of other services are among them: they carry their condition as external assets, which
    this location does not run, but waits for.
    """
    found = {
        condition.table.key: condition.table
        for key in graph.get_all_asset_keys()
        if (root := graph.get(key).automation_condition)
        for condition in root.children
        if isinstance(condition, InputsNewer)
    }
    reads = {key: {i.key for i in o.upstreams} - {key} for key, o in found.items()}
    return [found[key] for key in TopologicalSorter(reads).static_order() if key in found]


def refresh_when_stale(table: Table) -> dg.AutomationCondition[dg.AssetKey]:
    """The condition on every table but the raw data.

    A failed model asks for nothing downstream of itself, and for nothing again until its own inputs
    change; its neighbours go on. Where the stage itself decides what to do without a model, its
    table is not waited for.
    """
    return (InputsNewer(table=table) & ~dg.AutomationCondition.in_progress()).with_label(
        "an input is newer"
    )


def build_automation(service: str, seconds: int) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of one service in its own code location."""
    return dg.AutomationConditionSensorDefinition(
        f"{service}_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=seconds,
        use_user_code_server=True,
        description=f"Runs every month of {service} of which an input is newer.",
    )
