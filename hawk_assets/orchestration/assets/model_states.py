"""model_states/<model>: the features of each model, from market data."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from hawk_assets.core.model import TradingModel
from hawk_assets.model_states.builder import StateBuilder
from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import COMMITMENTS_OF_TRADERS, MARKET_DATA, Table


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition[Any],
    models: Mapping[str, TradingModel],
) -> dg.AssetsDefinition:
    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        market_data = stage.read(MARKET_DATA)
        reads_reports = any(models[str(table.model)].reports for table in stage.selected)
        commitments = stage.read(COMMITMENTS_OF_TRADERS) if reads_reports else None
        builder = StateBuilder(market_data, stage.months, commitments)
        for table in stage.selected:
            yield table, partial(builder.states, models[str(table.model)])

    return build_stage("model_states", tables, partitions, body)
