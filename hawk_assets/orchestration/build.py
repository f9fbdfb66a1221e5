"""The one door: the Definitions of the whole graph, of a service, of a test."""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.core.model import TradingModel
from hawk_assets.core.sessions import shift
from hawk_assets.core.types import TableKey
from hawk_assets.models import discover
from hawk_assets.orchestration.assets import (
    combined_insights,
    insights,
    market_data,
    model_states,
    performance,
    weights,
)
from hawk_assets.orchestration.assets.io_manager import ParquetIOManager
from hawk_assets.orchestration.automation.alerts import (
    Webhook,
    build_failure_sensor,
    build_lateness_sensor,
)
from hawk_assets.orchestration.automation.conditions import build_automation, refresh_when_stale
from hawk_assets.orchestration.automation.source_sensor import build_source_sensor
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.orchestration.catalog import SERVICES, STAGES, Table, build_catalog
from hawk_assets.orchestration.partitions import monthly
from hawk_assets.orchestration.settings import Settings, batch_events
from hawk_assets.sources import open_source
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.storage.tables import Tables


@dataclass(frozen=True)
class Pipeline:
    """The pieces behind the whole graph's Definitions, for those who drive it from a command."""

    defs: dg.Definitions
    catalog: dict[TableKey, Table]
    partitions: dg.MonthlyPartitionsDefinition
    storage: Tables
    source: MarketDataSource
    models: Mapping[str, TradingModel]
    settings: Settings

    @cached_property
    def job(self) -> dg.JobDefinition:
        return self.defs.resolve_implicit_global_asset_job_def()

    @cached_property
    def months(self) -> list[str]:
        """All partition keys, ascending."""
        return list(self.partitions.get_partition_keys())


def _upstream(catalog: Mapping[TableKey, Table], stages: Collection[str]) -> list[Table]:
    """The tables of other stages that these read, near or far: they are waited for."""
    needed: set[TableKey] = set()
    for table in reversed(catalog.values()):
        if table.stage in stages or table.key in needed:
            needed |= {table.key, *(source.key for source in table.upstreams)}
    return [t for t in catalog.values() if t.key in needed and t.stage not in stages]


def _foreign(table: Table, partitions: dg.PartitionsDefinition) -> dg.AssetSpec:
    """What a service knows of another one's table: its months, and when it is stale."""
    return dg.AssetSpec(
        dg.AssetKey(table.key),
        partitions_def=partitions,
        automation_condition=refresh_when_stale(table) if table.upstreams else None,
    )


def _day_after(end: pd.Timestamp | None) -> pd.Timestamp | None:
    """The first day that is not part of the history; None where that is for the clock to say."""
    return shift(end, 1) if end is not None and shift(end, 1) < pd.Timestamp.now() else None


def build_defs(service: str | None = None, **overrides: Any) -> dg.Definitions:
    """Everything Dagster needs to know; see :func:`build_pipeline`."""
    return build_pipeline(service, **overrides).defs


def build_pipeline(
    service: str | None = None,
    settings: Settings | None = None,
    models: Mapping[str, TradingModel] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> Pipeline:
    """The graph, or one service's part of it.

    :param service: one of ``SERVICES``, for its own code location, with the tables of others as
        external assets; None for the whole graph in one location
    :param settings: default: the environment
    :param models: default: every registered model
    :param resources: replacements for ``source``, ``storage`` or ``io_manager``
    """
    batch_events()
    warnings.simplefilter("ignore", dg.BetaWarning)
    settings = settings or Settings.from_env()
    models = discover() if models is None else models
    simulation, aggregation, sizing = settings.simulation, settings.aggregation, settings.sizing
    families = {name: model.family for name, model in models.items()}
    aggregation.check_families(families.values())
    partitions = monthly(settings.start, settings.end)
    catalog = build_catalog(models, simulation, aggregation, sizing)
    by_stage: dict[str, list[Table]] = {stage: [] for stage in STAGES}
    for table in catalog.values():
        by_stage[table.stage].append(table)
    builders = {
        "market_data": lambda o: market_data.build(o, partitions),
        "model_states": lambda o: model_states.build(o, partitions, models),
        "insights": lambda o: insights.build(o, partitions, models, sizing),
        "performance": lambda o: performance.build(
            "performance", o, partitions, simulation.of_models
        ),
        "weights": lambda o: weights.build(o, partitions, aggregation, families, settings.solver),
        "combined_insights": lambda o: combined_insights.build(
            o, partitions, list(models), aggregation, simulation.execution_lag, settings.book_due
        ),
        "combined_performance": lambda o: performance.build(
            "combined_performance", o, partitions, simulation.of_book
        ),
    }
    stages = STAGES if service is None else SERVICES[service]
    own = [builders[stage](by_stage[stage]) for stage in stages if by_stage[stage]]
    storage = Tables(settings.storage)
    name, tick = service or "hawk", settings.tick_seconds
    sensors: list[dg.SensorDefinition] = [build_automation(name, tick)]
    if "market_data" in stages:
        sensors.append(build_source_sensor(partitions, tick))
    if settings.webhook:
        webhook = Webhook(settings.webhook, settings.ui_url)
        sensors.append(build_failure_sensor(webhook, name, tick))
        if "market_data" in stages and settings.end is None:
            sensors.append(build_lateness_sensor(webhook, settings.book_due, partitions))
    available = {
        "storage": storage,
        "io_manager": ParquetIOManager(storage, catalog),
        "source": open_source(
            settings.market_data,
            settings.start,
            _day_after(settings.end),
            settings.commitments,
            connect=connect,
        ),
        **(resources or {}),
    }
    defs = dg.Definitions(
        assets=[*own, *(_foreign(table, partitions) for table in _upstream(catalog, stages))],
        sensors=sensors,
        resources=available,
        executor=dg.in_process_executor,
    )
    return Pipeline(
        defs,
        catalog,
        partitions,
        available["storage"],
        available["source"],
        models,
        settings,
    )
