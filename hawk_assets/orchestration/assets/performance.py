"""Simulated accounts and their figures: of each model, and of the combined book."""

from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg
import pandas as pd

from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.catalog import Output
from hawk_assets.simulation.parameters import SimulationParameters


def build(
    stage: str,
    outputs: Sequence[Output],
    partitions: dg.PartitionsDefinition,
    parameters: SimulationParameters,
) -> dg.AssetsDefinition:
    """:param outputs: pairs of a timeseries and the metrics made from it"""

    def body(run: Stage) -> Iterator[tuple[Output, Make]]:
        market_data = run.tables.read(("market_data",), run.last_traded.append(run.months))
        for timeseries, metrics in zip(outputs[::2], outputs[1::2], strict=True):
            if timeseries in run.selected:
                yield timeseries, partial(_timeseries, run, timeseries, market_data, parameters)
            if metrics in run.selected:
                yield metrics, partial(_metrics, run, metrics)

    return build_stage(stage, outputs, partitions, body)


def _timeseries(
    run: Stage, output: Output, market_data: pd.DataFrame, parameters: SimulationParameters
) -> pd.DataFrame:
    from hawk_assets.simulation.performance import simulate

    before = run.last_traded
    insights = run.tables.read(output.inputs[0].key, before.append(run.months))
    previous = run.tables.read(output.key, before) if len(before) else None
    name = output.model or "the combined book"
    return simulate(name, insights, market_data, run.months, previous, parameters)


def _metrics(run: Stage, output: Output) -> pd.DataFrame:
    from hawk_assets.simulation.metrics import build_metrics

    source = output.inputs[0]
    timeseries = run.tables.read(source.key, run.window(source), columns=_METRIC_COLUMNS)
    name = output.model or "combined"
    before = run.last_traded
    previous = run.tables.read(output.key, before) if len(before) else None
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
