"""The batched event log on PostgreSQL; a module of its own, since it needs psycopg2."""

from typing import Any

from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from hawk_assets.orchestration.instance.event_log import BatchedAssetEvents


class BatchedPostgresEventLogStorage(BatchedAssetEvents, PostgresEventLogStorage):
    """PostgreSQL: one table of events, which is also the index."""

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
