"""Where the output of runs is kept: a folder, or a bucket; a module of its own for dagster-gcp."""

from collections.abc import Mapping
from typing import Any

from dagster import StringSource
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from hawk_assets.core.errors import SettingsError


class ComputeLogs(ConfigurableClass):
    """What ``dagster.yaml`` names, where one file is to serve machines with and without a bucket.

    Dagster's own classes are one for folders and one for buckets, and its settings know no choice.
    """

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {"root": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogManager:
        """:raises SettingsError: a bucket that cannot be reached"""
        root = config_value["root"]
        if not root.startswith("gs://"):
            return LocalComputeLogManager(root, inst_data=inst_data)
        from dagster_gcp.gcs import GCSComputeLogManager

        bucket, _, prefix = root.removeprefix("gs://").partition("/")
        try:
            return GCSComputeLogManager(bucket, prefix=prefix, inst_data=inst_data)
        except Exception as error:
            raise SettingsError(
                f"HAWK_COMPUTE_LOGS={root} cannot be used: {error!r}; correct the bucket, or the "
                "credentials of this process, or name a folder"
            ) from error
