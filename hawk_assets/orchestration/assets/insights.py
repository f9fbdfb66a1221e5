"""insights/<model>: the signals of each model, from its stored states."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from hawk_assets.core.model import TradingModel
from hawk_assets.insights.builder import build_insights
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.catalog import Table


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition,
    models: Mapping[str, TradingModel],
    sizing: SizingParameters,
) -> dg.AssetsDefinition:
    def body(run: Stage) -> Iterator[tuple[Table, Make]]:
        for table in run.selected:
            model, states = models[str(table.model)], table.upstreams[0].key
            yield (
                table,
                lambda m=model, s=states: build_insights(m, run.read(s), run.months, sizing),
            )

    return build_stage("insights", tables, partitions, body)
