"""The way to BigQuery: Google's client, with the credentials of this process.

dagster-gcp's resource takes a key only as a temporary file on the disk, named in the environment.
"""

from typing import TYPE_CHECKING

from hawk_assets.core.errors import SettingsError
from hawk_assets.storage.credentials import find_credentials

if TYPE_CHECKING:
    from google.cloud.bigquery import Client


def connect(project: str | None = None) -> "Client":
    """Open a client.

    :param project: where queries run, and what pays for them; default: GOOGLE_CLOUD_PROJECT, or
        else the credentials' project
    :raises SettingsError: there is no project, no credentials, or the packages are not installed
    """
    try:
        # Takes a second, and only those who ask the source need it.
        from google.cloud.bigquery import Client
    except ImportError as error:
        raise SettingsError(
            f"bigquery:// needs {error.name}; install hawk-assets[model_state_generator]"
        ) from None
    credentials = find_credentials()
    try:
        return Client(project=project, credentials=credentials)
    except OSError as error:
        raise SettingsError(
            f"BigQuery: {error}; set GOOGLE_CLOUD_PROJECT to the project that is to pay"
        ) from None
