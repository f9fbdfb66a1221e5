"""Assets as Parquet: a range run writes a file per month, a reader gets one frame."""

import dagster as dg
import pandas as pd

from hawk_assets.core.errors import StorageError
from hawk_assets.core.schemas import arrow_schema
from hawk_assets.orchestration.catalog import Key, Output
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.storage.tables import Tables


class ParquetIOManager(dg.IOManager):
    """pandas in the asset, Parquet on disk, one file per month.

    :param tables: where
    :param outputs: what each table looks like
    """

    def __init__(self, tables: Tables, outputs: dict[Key, Output]) -> None:
        self._tables = tables
        self._outputs = outputs

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """:raises StorageError: a table that is not of this pipeline"""
        output = self._outputs.get(tuple(context.asset_key.path))
        if output is None:
            raise StorageError(
                f"{context.asset_key.to_user_string()} is no table of this pipeline, whose columns "
                "and months the IO manager knows; give the asset an io_manager_key of its own"
            )
        self._tables.write(
            output.key,
            obj,
            months_of(list(context.asset_partition_keys)),
            arrow_schema(output.schema, obj.columns),
            output.date_column,
        )

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        return self._tables.read(
            context.asset_key.path, months_of(list(context.asset_partition_keys))
        )
