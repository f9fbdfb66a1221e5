"""The one entry point: the Definitions of the whole graph, of a service, or of a test."""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
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
from hawk_assets.orchestration.automation.conditions import build_automation, refresh_when_stale
from hawk_assets.orchestration.automation.failure_alerts import build_failure_sensor
from hawk_assets.orchestration.automation.lateness_alerts import build_lateness_sensor
from hawk_assets.orchestration.automation.source_sensor import build_source_sensor
from hawk_assets.orchestration.automation.stored_files_sensor import build_stored_files_sensor
from hawk_assets.orchestration.automation.webhook import Webhook
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.orchestration.catalog import SERVICES, STAGES, Table, build_catalog
from hawk_assets.orchestration.partitions import monthly
from hawk_assets.orchestration.settings import (
    Settings,
    batch_events,
    load_settings,
    pass_on_licence,
)
from hawk_assets.sources import open_source
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.storage.tables import Tables

KEPT_DIGESTS = "source_digests.json"
"""The file below ``DAGSTER_HOME`` by which unchanged source files are not read again."""


@dataclass(frozen=True)
class Pipeline:
    """The Definitions of the graph and the parts behind them, for commands and tests."""

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


def _external_tables(catalog: Mapping[TableKey, Table], stages: Collection[str]) -> list[Table]:
    """The tables of other stages that are upstream of these, directly or not."""
    needed: set[TableKey] = set()
    for table in reversed(list(catalog.values())):
        if table.stage in stages or table.key in needed:
            needed |= {table.key, *(upstream.key for upstream in table.upstreams)}
    return [t for t in catalog.values() if t.key in needed and t.stage not in stages]


def _build_external_spec(table: Table, partitions: dg.PartitionsDefinition[Any]) -> dg.AssetSpec:
    """What a service knows about a table of another service: its months, and when it is stale."""
    return dg.AssetSpec(
        dg.AssetKey(table.key),
        partitions_def=partitions,
        group_name=table.group,
        tags=table.tags,
        automation_condition=refresh_when_stale(table) if table.upstreams else None,
    )


def _day_after(end: pd.Timestamp | None) -> pd.Timestamp | None:
    """The first day after the history; None for a history that goes on, which the clock ends."""
    return shift(end, 1) if end is not None and shift(end, 1) < pd.Timestamp.now() else None


def build_defs(service: str | None = None, **overrides: Any) -> dg.Definitions:
    """The Definitions of :func:`build_pipeline`."""
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
    :param settings: default: those of the environment and ``hawk.yaml``
    :param models: default: every registered model
    :param resources: replacements for ``source``, ``storage`` or ``io_manager``
    """
    settings = settings or load_settings()
    batch_events()
    pass_on_licence(settings)
    warnings.simplefilter("ignore", dg.BetaWarning)
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
        "market_data": lambda t: market_data.build(t, partitions),
        "model_states": lambda t: model_states.build(t, partitions, models),
        "insights": lambda t: insights.build(t, partitions, models, sizing),
        "performance": lambda t: performance.build(
            "performance", t, partitions, simulation.of_models, simulation.sessions_per_year
        ),
        "weights": lambda t: weights.build(
            t, partitions, aggregation, families, settings.solver_settings
        ),
        "combined_insights": lambda t: combined_insights.build(
            t, partitions, list(models), aggregation, simulation.execution_lag, settings.book_due
        ),
        "combined_performance": lambda t: performance.build(
            "combined_performance", t, partitions, simulation.of_book, simulation.sessions_per_year
        ),
    }
    stages = STAGES if service is None else SERVICES[service]
    own = [builders[stage](by_stage[stage]) for stage in stages if by_stage[stage]]
    storage = Tables(settings.storage)
    name, tick = service or "hawk", settings.tick_seconds
    sensors: list[dg.SensorDefinition] = [build_automation(name, tick)]
    computed = [table for stage in stages for table in by_stage[stage]]
    sensors.append(build_stored_files_sensor(name, computed, partitions))
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
            connect=partial(connect, settings.google_cloud_project),
            kept=settings.dagster_home / KEPT_DIGESTS,
        ),
        **(resources or {}),
    }
    external = [_build_external_spec(t, partitions) for t in _external_tables(catalog, stages)]
    defs = dg.Definitions(
        assets=[*own, *external],
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
