"""The output of runs, in a folder or a bucket."""

import os
from collections.abc import Mapping
from typing import Any

from dagster import Field, StringSource
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from hawk_assets.core.errors import SettingsError


class ComputeLogs(LocalComputeLogManager):
    """The class for a folder, which opens the class for a bucket where a bucket is configured.

    Dagster has one class for each, and ``dagster.yaml`` cannot choose between them. With this one
    the same file serves machines with and without a bucket.
    """

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        return {"root": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogManager:
        """Default of ``root``: HAWK_COMPUTE_LOGS, or else Dagster's own folder in its home.

        :raises SettingsError: a bucket that cannot be used
        """
        root = config_value.get("root") or os.environ.get("HAWK_COMPUTE_LOGS")
        if not root:
            from hawk_assets.orchestration.settings import find_dagster_home

            root = str(find_dagster_home() / "storage")
        if not root.startswith("gs://"):
            return cls(root, inst_data=inst_data)
        # A module of its own: it needs dagster-gcp, which takes seconds to import.
        from hawk_assets.orchestration.instance.bucket_logs import BucketLogs

        bucket, _, prefix = root.removeprefix("gs://").partition("/")
        try:
            return BucketLogs(bucket, prefix, inst_data)
        except Exception as error:
            why = str(error) if isinstance(error, SettingsError) else repr(error)
            raise SettingsError(
                f"HAWK_COMPUTE_LOGS={root} cannot be used: {why}; correct the bucket, or the "
                "credentials of this process, or name a folder"
            ) from error
