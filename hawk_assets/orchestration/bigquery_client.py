"""The way to BigQuery: dagster-gcp's resource."""

from typing import TYPE_CHECKING

from hawk_assets.core.errors import SettingsError
from hawk_assets.storage.credentials import find_credentials

if TYPE_CHECKING:
    from google.cloud.bigquery import Client


def connect() -> "Client":
    """A client whose queries run in GOOGLE_CLOUD_PROJECT, or else in the credentials' project.

    :raises SettingsError: there is neither, no credentials, or the packages are not installed
    """
    try:
        # Takes seconds, and only those who ask the source need it.
        from dagster_gcp import BigQueryResource
    except ImportError as error:
        raise SettingsError(
            f"bigquery:// needs {error.name}; install hawk-assets[model_state_generator]"
        ) from None
    find_credentials()  # the resource takes the application default
    try:
        with BigQueryResource().get_client() as client:
            return client
    except OSError as error:
        raise SettingsError(
            f"BigQuery: {error}; set GOOGLE_CLOUD_PROJECT to the project that is to pay"
        ) from None
