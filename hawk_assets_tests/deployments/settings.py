"""The settings that a deployment has to hand on."""

import re

from hawk_assets.orchestration import settings


def setting_names() -> set[str]:
    """The variables of the table in the settings module; where Dagster lives is the image's own."""
    return set(re.findall(r"^``([A-Z_]+)``", settings.__doc__ or "", re.M)) - {"DAGSTER_HOME"}
