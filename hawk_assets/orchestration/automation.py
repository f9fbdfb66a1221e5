"""When things run by themselves: on new data, and on anything stale.

The incident this prevents: Dagster's ``eager()`` remembers ticks, and forgets an input that changed
on the tick after it requested the output; with many models feeding one book, the book then stays
stale in silence. ``InputsNewer`` asks the event log instead (see ``staleness``).
"""

import weakref
from collections.abc import Mapping

import dagster as dg
import numpy as np
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.declarative_automation.automation_condition import AutomationResult
from dagster._core.definitions.declarative_automation.automation_context import AutomationContext
from dagster._record import record

from hawk_assets.orchestration.plan import Key, Output
from hawk_assets.orchestration.staleness import History, read_history, to_make

STEP_TABLES = {
    "performance_metrics": ("performance_timeseries",),
    "combined_metrics": ("combined_performance",),
}
_TICKS: "weakref.WeakKeyDictionary[AssetGraphView, dict[Key, History]]" = (
    weakref.WeakKeyDictionary()
)


@record
class InputsNewer(dg.AutomationCondition[dg.AssetKey]):
    """True for the months that are stale and lack nothing: see ``staleness.to_make``.

    A table of the same step that will be made on this tick counts as made again, since one run
    makes both; any other input is waited for.
    """

    output: Output

    @property
    def description(self) -> str:
        return "an input was materialised after the run that last set out to make this was planned"

    @property
    def name(self) -> str:
        return "inputs_newer"

    def evaluate(self, context: AutomationContext[dg.AssetKey]) -> AutomationResult[dg.AssetKey]:
        view, output = context.asset_graph_view, self.output
        months = context.partitions_def.get_partition_keys(view.effective_dt)
        requested = {
            source.key: np.isin(months, list(subset.expensively_compute_partition_keys()))
            for source in output.inputs
            if (subset := context.request_subsets_by_key.get(dg.AssetKey(source.key)))
            and source.key[0] in STEP_TABLES.get(output.key[0], ())
        }
        stale = to_make([output], _history(view, output, months), requested)[output.key]
        subset = view.get_subset_from_partition_keys(
            context.key, context.partitions_def, set(np.asarray(months)[stale])
        )
        return AutomationResult(context, subset.compute_intersection(context.candidate_subset))


def _history(view: AssetGraphView, output: Output, months: list[str]) -> Mapping[Key, History]:
    """The events of a table and its inputs, read once per tick for all conditions."""
    known = _TICKS.setdefault(view, {})
    wanted = [output.key, *(source.key for source in output.inputs)]
    if missing := [key for key in wanted if key not in known]:
        known |= read_history(view.instance, missing, months)
    return known


def refresh_when_stale(output: Output) -> dg.AutomationCondition[dg.AssetKey]:
    """The condition on every table but the raw data.

    A stale month runs once nothing it reads is on its way. A failed model therefore asks for
    nothing downstream of itself, and for nothing again until its own inputs change; its neighbours
    go on. Where the stage itself decides what to do without a model, its table is not waited for.
    """
    condition = dg.AutomationCondition
    return (
        InputsNewer(output=output) & ~condition.any_deps_in_progress() & ~condition.in_progress()
    ).with_label("an input is newer")


def build_automation(service: str, seconds: int = 30) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions of one service in its own code location."""
    return dg.AutomationConditionSensorDefinition(
        f"{service}_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=seconds,
        use_user_code_server=True,
        description=f"Runs every month of {service} of which an input is newer.",
    )
