"""Simulated accounts and their figures: of each model, and of the combined book."""

from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg
import pandas as pd

from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.catalog import MARKET_DATA, Table
from hawk_assets.simulation.parameters import SimulationParameters


def build(
    stage: str,
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition,
    parameters: SimulationParameters,
) -> dg.AssetsDefinition:
    """:param tables: pairs of a timeseries and the metrics made from it"""

    def body(run: Stage) -> Iterator[tuple[Table, Make]]:
        market_data = run.storage.read(MARKET_DATA, run.last_traded.append(run.months))
        for timeseries, metrics in zip(tables[::2], tables[1::2], strict=True):
            if timeseries in run.selected:
                yield timeseries, partial(_timeseries, run, timeseries, market_data, parameters)
            if metrics in run.selected:
                yield metrics, partial(_metrics, run, metrics)

    return build_stage(stage, tables, partitions, body)


def _timeseries(
    run: Stage, table: Table, market_data: pd.DataFrame, parameters: SimulationParameters
) -> pd.DataFrame:
    from hawk_assets.simulation.performance import simulate

    before = run.last_traded
    insights = run.storage.read(table.upstreams[0].key, before.append(run.months))
    previous = run.storage.read(table.key, before) if len(before) else None
    name = table.model or "the combined book"
    return simulate(name, insights, market_data, run.months, previous, parameters)


def _metrics(run: Stage, table: Table) -> pd.DataFrame:
    from hawk_assets.simulation.metrics import build_metrics

    source = table.upstreams[0]
    timeseries = run.storage.read(source.key, run.window(source), columns=_METRIC_COLUMNS)
    name = table.model or "combined"
    before = run.last_traded
    previous = run.storage.read(table.key, before) if len(before) else None
    return build_metrics(name, timeseries, run.months, previous)


_METRIC_COLUMNS = [
    "date",
    "portfolio_value",
    "daily_return",
    "drawdown",
    "volume_traded",
    "daily_slippage_cost",
    "daily_commission_cost",
]
