"""The storage of the local Dagster instance: all in the home that the ``hawk`` command uses.

``dagster.yaml`` names these classes, so that plain ``dagster dev`` at the root of the project finds
the same runs and materialisations as ``hawk``. Without them, and without DAGSTER_HOME, Dagster
keeps its instance in a temporary folder and deletes it at the end.

The layout is that of Dagster's own classes: either reads what the other wrote.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs.base import RunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.base import ScheduleStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from hawk_assets.orchestration.instance.event_log import BatchedSqliteEventLogStorage


class CompositeStorage(DagsterStorage, ConfigurableClass):
    """One storage made of three, for runs, events and schedules; it has no settings of its own."""

    def __init__(
        self,
        runs: RunStorage,
        events: EventLogStorage,
        schedules: ScheduleStorage,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        self._runs, self._events, self._schedules = runs, events, schedules
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {}

    @property
    def run_storage(self) -> RunStorage:
        return self._runs

    @property
    def event_log_storage(self) -> EventLogStorage:
        return self._events

    @property
    def schedule_storage(self) -> ScheduleStorage:
        return self._schedules

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        super().register_instance(instance)
        for storage in (self._runs, self._events, self._schedules):
            if not storage.has_instance:
                storage.register_instance(instance)

    def dispose(self) -> None:
        for storage in (self._events, self._runs, self._schedules):
            storage.dispose()


class HomeStorage(CompositeStorage):
    """SQLite databases in the home; the event log stores events in batches."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        home = _home()
        return cls(
            SqliteRunStorage.from_local(str(home / "history")),
            BatchedSqliteEventLogStorage(str(home / "history" / "runs")),
            SqliteScheduleStorage.from_local(str(home / "schedules")),
            inst_data,
        )


class HomeArtifacts(LocalArtifactStorage):
    """Dagster's other files, in the home."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        return cls(str(_home()), inst_data)


def _home() -> Path:
    # Imported here: it imports pandas, which a webserver on PostgreSQL does not need.
    from hawk_assets.orchestration.settings import find_dagster_home

    home = find_dagster_home()
    home.mkdir(parents=True, exist_ok=True)
    return home
