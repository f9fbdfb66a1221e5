"""The client for BigQuery: Google's own, with the credentials of this process.

dagster-gcp's resource writes a key to a temporary file and names it in the environment.
"""

from typing import TYPE_CHECKING

from hawk_assets.core.errors import SettingsError
from hawk_assets.storage.credentials import find_credentials

if TYPE_CHECKING:
    from google.cloud.bigquery import Client


def connect(project: str | None = None) -> "Client":
    """Open a client.

    :param project: runs the queries and pays for them; default: GOOGLE_CLOUD_PROJECT, or else the
        credentials' project
    :raises SettingsError: there is no project, no credentials, or the packages are not installed
    """
    try:
        # Imported here: it takes a second, and only the service that reads the source needs it.
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
            f"BigQuery: {error}; set GOOGLE_CLOUD_PROJECT to the project that pays for the queries"
        ) from None
