"""The automation condition of every table, and the sensor that evaluates it.

It prevents this incident: Dagster's ``eager()`` compares ticks and forgets an upstream that
changed on the tick after it requested the asset. With many models upstream of one book, the book
then stays stale and nobody notices. ``UpstreamNewer`` asks the event log instead, see
``staleness``.
"""

from graphlib import TopologicalSorter
from weakref import WeakKeyDictionary

import dagster as dg
import numpy as np

from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.staleness import months_to_request, read_progress
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.instance.internals import (
    AssetGraphView,
    conditions_of,
    record,
    true_for,
)
from hawk_assets.orchestration.instance.run_owners import find_command


@record
class UpstreamNewer(dg.AutomationCondition[dg.AssetKey]):
    """True for the stale months that can be materialised now, see ``months_to_request``."""

    table: Table

    @property
    def description(self) -> str:
        return "an upstream was materialised after the last run of this table was planned"

    @property
    def name(self) -> str:
        return "upstream_newer"

    def evaluate(
        self, context: dg.AutomationContext[dg.AssetKey]
    ) -> dg.AutomationResult[dg.AssetKey]:
        return true_for(context, _months_to_request(context)[self.table.key])


_TICKS: "WeakKeyDictionary[AssetGraphView, dict[TableKey, set[str]]]" = WeakKeyDictionary()


def _months_to_request(context: dg.AutomationContext[dg.AssetKey]) -> dict[TableKey, set[str]]:
    """The months to request on this tick, computed once for all conditions.

    None while a ``hawk`` command is at work: it materialises stage after stage by itself, and until
    it is done later stages look stale.

    Dagster makes one graph view per tick, so that the view identifies the tick.
    """
    view = context.asset_graph_view
    if view not in _TICKS:
        assert context.partitions_def is not None
        months = np.asarray(context.partitions_def.get_partition_keys(view.effective_dt))
        tables = _tables_with_upstreams(view)
        keys = {key for t in tables for key in (t.key, *(u.key for u in t.upstreams))}
        history, running = read_progress(view.instance, keys, list(months))
        requests = months_to_request(tables, history, running)
        if find_command(view.instance):
            months = months[:0]
            requests = {key: flags[:0] for key, flags in requests.items()}
        _TICKS[view] = {key: set(months[flags].tolist()) for key, flags in requests.items()}
    return _TICKS[view]


def _tables_with_upstreams(view: AssetGraphView) -> list[Table]:
    """The tables whose upstreams this code location knows, each after the tables it reads.

    Tables of other services are among them. As external assets they carry their condition too:
    this location does not run them, but waits for them.
    """
    found = {
        part.table.key: part.table
        for condition in conditions_of(view)
        for part in condition.children
        if isinstance(part, UpstreamNewer)
    }
    reads = {key: {u.key for u in table.upstreams} - {key} for key, table in found.items()}
    return [found[key] for key in TopologicalSorter(reads).static_order() if key in found]


def refresh_when_stale(table: Table) -> dg.AutomationCondition[dg.AssetKey]:
    """The condition on every table but the raw data.

    A failed model requests nothing downstream of itself, and is not requested again until its own
    upstreams change; the other models go on. A stage that can do without a model does not wait for
    it.
    """
    return (UpstreamNewer(table=table) & ~dg.AutomationCondition.in_progress()).with_label(
        "an upstream is newer"
    )


def build_automation(service: str, seconds: int) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of one service in its own code location."""
    return dg.AutomationConditionSensorDefinition(
        f"{service}_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=seconds,
        use_user_code_server=True,
        description=f"Materialises every month of {service} that has a newer upstream.",
    )
