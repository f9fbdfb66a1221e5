"""The code location of the trading models."""

import dagster as dg

from hawk_assets.orchestration.build import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs("trading_models")
