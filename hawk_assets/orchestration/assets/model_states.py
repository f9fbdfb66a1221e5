"""model_states/<model>: the features of each model, from market data."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import dagster as dg

from hawk_assets.core.model import TradingModel
from hawk_assets.model_states.builder import StateBuilder
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.catalog import Output


def build(
    outputs: Sequence[Output],
    partitions: dg.PartitionsDefinition,
    models: Mapping[str, TradingModel],
) -> dg.AssetsDefinition:
    def body(run: Stage) -> Iterator[tuple[Output, Make]]:
        market_data = run.read(("market_data",))
        reads_reports = any(models[str(output.model)].reports for output in run.selected)
        commitments = run.read(("commitments_of_traders",)) if reads_reports else None
        builder = StateBuilder(market_data, run.months, commitments)
        for output in run.selected:
            yield output, partial(builder.states, models[str(output.model)])

    return build_stage("model_states", outputs, partitions, body)
