"""The whole graph in one code location: what ``dagster dev``, ``dg`` and ``hawk dev`` load.

In production each service loads its own part: see ``services``.
"""

import dagster as dg

from hawk_assets.orchestration.build import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs()
