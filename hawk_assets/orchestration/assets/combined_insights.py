"""combined_insights: the book, model weights times insights. attribution: each model's share."""

from collections.abc import Iterator, Sequence
from datetime import time, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.attribution import attribute
from hawk_assets.aggregation.combination import combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.sessions import market_sessions
from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    MARKET_DATA,
    WEIGHTS,
    Table,
    insights,
)

BOOK = dg.AssetKey(COMBINED_INSIGHTS)
CURRENT = "models_are_current"
NAMED = 5


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition[Any],
    models: Sequence[str],
    parameters: AggregationParameters,
    lag: int,
    due: time,
) -> dg.AssetsDefinition:
    """The stage.

    :param models: the models of the book
    :param lag: sessions from an insight to its trade
    :param due: when the UI shows the book as overdue, on the day after a weekday. Dagster's policy
        knows no holidays; alerts do, see ``lateness_alerts``
    """

    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        book, attribution = stage.tables
        upstreams = _Upstreams(stage, models)
        if book in stage.selected:
            yield book, lambda: _combine(upstreams, parameters)
        if attribution in stage.selected:
            yield attribution, lambda: _attribute(upstreams, lag, parameters)

    check = dg.AssetCheckSpec(
        CURRENT,
        asset=BOOK,
        description="Every model with a weight has insights for the latest session. A warning "
        "names the models that have none, and the age of their latest insights in sessions.",
    )
    freshness = dg.FreshnessPolicy.cron(
        f"{due.minute} {due.hour} * * TUE-SAT", lower_bound_delta=timedelta(days=1)
    )
    stage = build_stage("combined_insights", tables, partitions, body, checks=[check])
    return stage.map_asset_specs(
        lambda spec: (
            spec.replace_attributes(freshness_policy=freshness) if spec.key == BOOK else spec
        )
    )


class _Upstreams:
    """The upstreams of both tables, each read once."""

    def __init__(self, stage: StageContext, models: Sequence[str]) -> None:
        self.stage = stage
        self.models = models

    @cached_property
    def weights(self) -> pd.DataFrame:
        return self.stage.read(WEIGHTS)

    @cached_property
    def insights(self) -> dict[str, pd.DataFrame]:
        columns = ["date", "ticker", "weight"]
        return {m: self.stage.read(insights(m), columns) for m in self.models}

    @cached_property
    def market_data(self) -> pd.DataFrame:
        return self.stage.read(MARKET_DATA, ["date", "ticker", "close"])


def _attribute(of: _Upstreams, lag: int, parameters: AggregationParameters) -> pd.DataFrame:
    return attribute(of.weights, of.insights, of.market_data, of.stage.months, lag, parameters)


def _combine(of: _Upstreams, parameters: AggregationParameters) -> pd.DataFrame:
    sessions = market_sessions(of.market_data)
    book, ages = combine_insights(of.weights, of.insights, sessions, of.stage.months, parameters)
    late = ages[ages["date"] == sessions[-1]] if len(sessions) else ages
    of.stage.checks.append(_check_models(late, parameters.hold_sessions))
    return book


def _check_models(late: pd.DataFrame, hold_sessions: int) -> dg.AssetCheckResult:
    """:param late: model and age in sessions of those without insights for the latest session"""
    named = [
        f"{model}: latest insights are {age} session{'s' * (age > 1)} old, "
        + ("held" if age <= hold_sessions else "its share is cash")
        for model, age in zip(late["model"][:NAMED], late["age"][:NAMED].astype(int), strict=True)
    ]
    more = f"; and {len(late) - NAMED} more models" * (len(late) > NAMED)
    return dg.AssetCheckResult(
        asset_key=BOOK,
        check_name=CURRENT,
        passed=late.empty,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(named) + more,
        metadata={"models_late": len(late)},
    )
