"""The settings: one declaration, read from the environment, ``hawk.yaml`` and defaults."""

from hawk_assets.orchestration.settings.declaration import Settings
from hawk_assets.orchestration.settings.loading import find_dagster_home, load_settings
from hawk_assets.orchestration.settings.process import EVENT_BATCH, batch_events, pass_on_licence

__all__ = [
    "EVENT_BATCH",
    "Settings",
    "batch_events",
    "find_dagster_home",
    "load_settings",
    "pass_on_licence",
]
