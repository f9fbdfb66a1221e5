"""Assets as Parquet: a run over a range writes one file per month; a reader gets one frame."""

import json
from collections.abc import Mapping

import dagster as dg
import pandas as pd

from hawk_assets.core.errors import StorageError
from hawk_assets.core.schemas import arrow_schema
from hawk_assets.core.sessions import key_of
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.instance.event_log import STORED_FILE
from hawk_assets.orchestration.instance.internals import (
    attach_metadata,
    attached_metadata,
    run_of,
)
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.storage.tables import Tables


class ParquetIOManager(dg.IOManager):
    """pandas in the asset, Parquet in the storage, one file per month.

    :param storage: the stored tables
    :param catalog: the schema and date column of each table
    """

    def __init__(self, storage: Tables, catalog: Mapping[TableKey, Table]) -> None:
        self._storage = storage
        self._catalog = catalog

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """:raises StorageError: a table that is not in the catalog"""
        table = self._catalog.get(tuple(context.asset_key.path))
        if table is None:
            raise StorageError(
                f"{context.asset_key.to_user_string()} is not a table of this pipeline, so its "
                "columns and months are unknown; give the asset an io_manager_key of its own"
            )
        months = months_of(list(context.asset_partition_keys))
        run, began = run_of(context)
        figures, version = attached_metadata(context), table.code_version()
        about = {
            month: {
                "run": run,
                "began": began,
                "code_version": version,
                "metadata": json.dumps(figures.get(key_of(month), {})),
            }
            for month in months
        }
        seals = self._storage.write(
            table.key,
            obj,
            months,
            arrow_schema(table.schema, obj.columns),
            table.date_column,
            about,
        )
        stored = {key_of(month): {STORED_FILE: str(seal)} for month, seal in seals.items()}
        attach_metadata(context, context.asset_key, stored)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        return self._storage.read(
            tuple(context.asset_key.path), months_of(list(context.asset_partition_keys))
        )
