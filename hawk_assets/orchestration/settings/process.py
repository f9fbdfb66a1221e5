"""What other libraries read from the environment of this process, and nowhere else."""

import os

from hawk_assets.orchestration.settings.declaration import ABOUT, Settings

EVENT_BATCH = ("DAGSTER_EVENT_BATCH_SIZE", "1000")


def batch_events() -> None:
    """Let this process write its asset events in batches: 20 times faster than one by one."""
    os.environ.setdefault(*EVENT_BATCH)


def pass_on_licence(settings: Settings) -> None:
    """Let MOSEK find the licence that ``hawk.yaml`` names."""
    variable = ABOUT["licence"].variable
    if settings.licence and not os.environ.get(variable):
        os.environ[variable] = settings.licence
