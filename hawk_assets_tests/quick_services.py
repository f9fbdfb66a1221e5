"""The four services with two quick models, as attributes of one module; and their backfill."""

import sys
from typing import Any

import dagster as dg

from hawk_assets.commands.backfill import backfill
from hawk_assets.commands.selection import select_months
from hawk_assets.orchestration.build import build_defs, build_pipeline
from hawk_assets.orchestration.instance.dagster_home import open_instance
from hawk_assets.orchestration.settings import load_settings
from hawk_assets_tests.pipelines import AGGREGATION, MODELS


def _options() -> dict[str, Any]:
    settings = load_settings().model_copy(update={"aggregation": AGGREGATION})
    return {"models": {model.name: model for model in MODELS}, "settings": settings}


@dg.definitions
def model_state_generator() -> dg.Definitions:
    return build_defs("model_state_generator", **_options())


@dg.definitions
def trading_models() -> dg.Definitions:
    return build_defs("trading_models", **_options())


@dg.definitions
def portfolio_simulator() -> dg.Definitions:
    return build_defs("portfolio_simulator", **_options())


@dg.definitions
def model_aggregator() -> dg.Definitions:
    return build_defs("model_aggregator", **_options())


def backfill_history(first: str | None = None) -> None:
    """The history from a month on, by default all of it, as ``hawk backfill`` makes it."""
    pipeline = build_pipeline(**_options())
    tables = list(pipeline.catalog.values())
    with open_instance(pipeline.settings.dagster_home) as instance:
        months = select_months(pipeline.months, first, None)
        failed = backfill(pipeline, instance, tables, *months, lambda event: None)
    assert not failed, failed


if __name__ == "__main__":
    backfill_history(*sys.argv[1:])
