"""combined_insights: the book, model weights times insights; attribution: whose it is."""

from collections.abc import Iterator, Sequence
from datetime import time, timedelta
from functools import cached_property

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.attribution import attribute
from hawk_assets.aggregation.combination import combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.sessions import sessions_of
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    MARKET_DATA,
    WEIGHTS,
    Table,
    insights,
)

CURRENT = "models_are_current"
NAMED = 5


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition,
    models: Sequence[str],
    parameters: AggregationParameters,
    lag: int,
    due: time,
) -> dg.AssetsDefinition:
    """The stage.

    :param models: the models of the book
    :param lag: sessions from an insight to its trade
    :param due: when the UI takes the book for overdue, on the day after a weekday. Dagster's policy
        knows no holidays; who is told of a late book is for ``alerts`` to say, which do
    """

    def body(run: Stage) -> Iterator[tuple[Table, Make]]:
        book, attribution = run.tables
        ingredients = _Ingredients(run, models)
        if book in run.selected:
            yield book, lambda: _combined(ingredients, parameters)
        if attribution in run.selected:
            yield attribution, lambda: _attribution(ingredients, lag, parameters)

    check = dg.AssetCheckSpec(
        CURRENT,
        asset=dg.AssetKey(COMBINED_INSIGHTS),
        description="Every model with a weight has insights for the latest session; a warning "
        "names the model and its age in sessions.",
    )
    freshness = dg.FreshnessPolicy.cron(
        f"{due.minute} {due.hour} * * TUE-SAT", lower_bound_delta=timedelta(days=1)
    )
    stage = build_stage("combined_insights", tables, partitions, body, checks=[check])
    return stage.map_asset_specs(
        lambda spec: (
            spec.replace_attributes(freshness_policy=freshness)
            if spec.key == dg.AssetKey(COMBINED_INSIGHTS)
            else spec
        )
    )


class _Ingredients:
    """What both tables are made of, read once."""

    def __init__(self, run: Stage, models: Sequence[str]) -> None:
        self.run = run
        self.models = models

    @cached_property
    def weights(self) -> pd.DataFrame:
        return self.run.read(WEIGHTS)

    @cached_property
    def insights(self) -> dict[str, pd.DataFrame]:
        columns = ["date", "ticker", "weight"]
        return {m: self.run.read(insights(m), columns) for m in self.models}

    @cached_property
    def market_data(self) -> pd.DataFrame:
        return self.run.read(MARKET_DATA, ["date", "ticker", "close"])


def _attribution(of: _Ingredients, lag: int, parameters: AggregationParameters) -> pd.DataFrame:
    return attribute(of.weights, of.insights, of.market_data, of.run.months, lag, parameters)


def _combined(of: _Ingredients, parameters: AggregationParameters) -> pd.DataFrame:
    sessions = sessions_of(of.market_data["date"])
    book, ages = combine_insights(of.weights, of.insights, sessions, of.run.months, parameters)
    late = ages[ages["date"] == sessions[-1]] if len(sessions) else ages
    of.run.checks.append(
        dg.AssetCheckResult(
            asset_key=dg.AssetKey(COMBINED_INSIGHTS),
            check_name=CURRENT,
            passed=late.empty,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(
                f"{row.model}: latest insights are {row.age} session{'s' * (row.age > 1)} old, "
                + ("held" if row.age <= parameters.hold_sessions else "its share is cash")
                for row in late[:NAMED].itertuples()
            )
            + f"; and {len(late) - NAMED} more models" * (len(late) > NAMED),
            metadata={"models_late": len(late)},
        )
    )
    return book
