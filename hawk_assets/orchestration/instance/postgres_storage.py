"""The storage of the Dagster instance in PostgreSQL. It needs psycopg2."""

import os
from collections.abc import Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import (
    get_conn_string,
    get_token_provider_from_config,
    pg_url_from_config,
)

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.instance.event_log import BatchedAssetEvents
from hawk_assets.orchestration.instance.storage import CompositeStorage

_SETTINGS = {
    "hostname": "HAWK_POSTGRES_HOST",
    "port": "HAWK_POSTGRES_PORT",
    "username": "HAWK_POSTGRES_USER",
    "password": "HAWK_POSTGRES_PASSWORD",
    "db_name": "HAWK_POSTGRES_DB",
}


class BatchedPostgresEventLogStorage(BatchedAssetEvents, PostgresEventLogStorage):
    """One table of events, which is also the index. Dagster's Helm chart names it directly."""

    @classmethod
    def from_config_value(
        cls, inst_data: Any, config_value: Any
    ) -> "BatchedPostgresEventLogStorage":
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )


class PostgresStorage(CompositeStorage):
    """Runs, events and schedules in the database of ``HAWK_POSTGRES_HOST`` and its companions."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """:raises SettingsError: a setting is missing"""
        if unset := [name for name in _SETTINGS.values() if not os.environ.get(name)]:
            remedy = "is not set; set it" if len(unset) == 1 else "are not set; set them"
            raise SettingsError(
                f"dagster.yaml keeps the instance in PostgreSQL, but {', '.join(unset)} {remedy}"
            )
        if not (port := os.environ["HAWK_POSTGRES_PORT"]).isdigit():
            raise SettingsError(
                f"HAWK_POSTGRES_PORT={port!r} is not the number of a port. Kubernetes and Docker "
                "set it like this for a service called hawk-postgres: set it to the number, 5432 "
                "say, in the container, or give the service another name"
            )
        parts: dict[str, Any] = {part: os.environ[name] for part, name in _SETTINGS.items()}
        url = get_conn_string(**parts)
        return cls(
            PostgresRunStorage(url),
            BatchedPostgresEventLogStorage(url),
            PostgresScheduleStorage(url),
            inst_data,
        )
