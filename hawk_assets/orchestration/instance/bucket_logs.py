"""The output of runs in a bucket. It needs dagster-gcp."""

from tempfile import gettempdir

from dagster._core.storage.cloud_storage_compute_log_manager import (
    PollingComputeLogSubscriptionManager,
)
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster_gcp.gcs import GCSComputeLogManager

from hawk_assets.core.errors import SettingsError
from hawk_assets.storage.gcs import open_client


class BucketLogs(GCSComputeLogManager):
    """Dagster's class, with the credentials of this process.

    Dagster's constructor always opens a client with the application default first, and fails where
    there is none. This constructor replaces it.

    :param bucket: its name
    :param prefix: of all its files; may be empty
    :raises SettingsError: there is no such bucket
    """

    def __init__(
        self, bucket: str, prefix: str, inst_data: ConfigurableClassData | None = None
    ) -> None:
        self._bucket_name = bucket
        self._prefix = self._clean_prefix(prefix)  # type: ignore[no-untyped-call]
        self._client = open_client()
        self._bucket = self._client.bucket(bucket)
        if not self._bucket.exists():
            raise SettingsError("there is no such bucket")
        self._upload_interval = None
        self._local_manager = LocalComputeLogManager(gettempdir())
        self._subscription_manager = PollingComputeLogSubscriptionManager(  # type: ignore[no-untyped-call]
            self
        )
        self._show_url_only = False
        self._inst_data = inst_data
        super(GCSComputeLogManager, self).__init__()  # type: ignore[no-untyped-call]
