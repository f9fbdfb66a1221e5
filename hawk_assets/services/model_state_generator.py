"""The code location of the model state generator."""

import dagster as dg

from hawk_assets.orchestration.build import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs("model_state_generator")
