"""Simulated accounts and their metrics: of each model, and of the combined book."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import MARKET_DATA, Table
from hawk_assets.simulation.parameters import SimulationParameters


def build(
    name: str,
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition[Any],
    parameters: SimulationParameters,
    sessions_per_year: float | None,
) -> dg.AssetsDefinition:
    """:param tables: pairs of an account's timeseries and its metrics
    :param sessions_per_year: for annual figures; None counts them
    """

    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        months = stage.last_traded_month.union(stage.months)
        market_data = stage.storage.read(MARKET_DATA, months)
        for timeseries, metrics in zip(tables[::2], tables[1::2], strict=True):
            if timeseries in stage.selected:
                yield timeseries, partial(_timeseries, stage, timeseries, market_data, parameters)
            if metrics in stage.selected:
                yield metrics, partial(_metrics, stage, metrics, sessions_per_year)

    return build_stage(name, tables, partitions, body)


def _timeseries(
    stage: StageContext, table: Table, market_data: pd.DataFrame, parameters: SimulationParameters
) -> pd.DataFrame:
    from hawk_assets.simulation.performance import simulate

    before = stage.last_traded_month
    traded = stage.storage.read(table.upstreams[0].key, before.union(stage.months))
    previous = stage.storage.read(table.key, before) if len(before) else None
    name = table.model or "the combined book"
    return simulate(name, traded, market_data, stage.months, previous, parameters)


def _metrics(stage: StageContext, table: Table, sessions_per_year: float | None) -> pd.DataFrame:
    from hawk_assets.simulation.metrics import build_metrics

    source, before = table.upstreams[0], stage.last_traded_month
    timeseries = stage.storage.read(source.key, stage.window(source), columns=_METRIC_COLUMNS)
    previous = stage.storage.read(table.key, before) if len(before) else None
    name = table.model or "combined"
    return build_metrics(name, timeseries, stage.months, previous, sessions_per_year)


_METRIC_COLUMNS = [
    "date",
    "portfolio_value",
    "daily_return",
    "drawdown",
    "volume_traded",
    "daily_slippage_cost",
    "daily_commission_cost",
]
