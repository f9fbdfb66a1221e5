"""insights/<model>: the signals and weights of each model, from its stored states."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.core.model import TradingModel
from hawk_assets.insights.builder import build_insights
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import Table, model_states


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition[Any],
    models: Mapping[str, TradingModel],
    sizing: SizingParameters,
) -> dg.AssetsDefinition:
    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        for table in stage.selected:
            yield table, partial(_insights, stage, models[str(table.model)], sizing)

    return build_stage("insights", tables, partitions, body)


def _insights(stage: StageContext, model: TradingModel, sizing: SizingParameters) -> pd.DataFrame:
    return build_insights(model, stage.read(model_states(model.name)), stage.months, sizing)
