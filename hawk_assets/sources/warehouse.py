"""Questions to BigQuery through Google's client: patient with faults, clear about mistakes."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import pandas as pd
import pyarrow as pa
import requests.exceptions as http
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud import bigquery

from hawk_assets.core.errors import DataError, HawkError, SettingsError
from hawk_assets.sources.queries import Columns, TableName

REQUEST_SECONDS = 15.0
"""For one request; a query that takes longer is asked about again."""

_log = logging.getLogger(__name__)
_PASSING = (
    api.TooManyRequests,
    api.InternalServerError,
    api.BadGateway,
    api.ServiceUnavailable,
    api.GatewayTimeout,
    http.ConnectionError,
    http.Timeout,
    http.ChunkedEncodingError,
    auth.TransportError,
    TimeoutError,  # the query has not ended
)
_PASSING_REASONS = {
    *("rateLimitExceeded", "backendError", "internalError"),
    *("jobRateLimitExceeded", "jobBackendError", "jobInternalError"),
}
_NUMBERS = ("FLOAT64", "INT64", "NUMERIC", "BIGNUMERIC")
_TYPES = {"datetime64[ns]": ("DATE",), "object": ("STRING",), "float64": _NUMBERS}
_MODERN = {"FLOAT": "FLOAT64", "INTEGER": "INT64"}


@dataclass(frozen=True)
class Warehouse:
    """:param connect: makes Google's client; called with the first question"""

    connect: Callable[[], bigquery.Client]

    def ask(
        self,
        query: str,
        asked: Sequence[Columns],
        start: pd.Timestamp,
        end: pd.Timestamp,
        seconds: float,
    ) -> pa.Table:
        """The whole answer to a query about the days within ``[start, end)``.

        :param query: with the parameters ``@start`` and ``@end``
        :param asked: what it reads
        :param seconds: after which a fault is no longer waited out
        :raises SettingsError: a setting names what is not there or may not be read
        :raises DataError: names the table, column and remedy; or BigQuery does not answer
        """
        parameters = [
            bigquery.ScalarQueryParameter(name, "DATE", day.date())
            for name, day in (("start", start), ("end", end))
        ]
        retry = _retry(seconds)
        with _explained([columns.table for columns in asked], seconds):
            try:
                rows = self._client.query_and_wait(
                    query,
                    job_config=bigquery.QueryJobConfig(query_parameters=parameters),
                    api_timeout=REQUEST_SECONDS,
                    wait_timeout=seconds,
                    retry=retry,
                    job_retry=retry,
                )
            except api.BadRequest:
                # It names one column, in the terms of the query; the tables tell all of them.
                for columns in asked:
                    fields = self._fields(columns.table, seconds)
                    _check(columns, fields, columns.names)
                raise
            given = _by_name(rows.schema)
            for columns in asked:
                _check(columns, given, [name for name in columns.names if name in given])
            return self._download(rows, retry)

    def columns_of(self, table: TableName, seconds: float) -> list[str]:
        """The columns that a table or view has.

        :raises SettingsError, DataError: as ``ask`` does
        """
        with _explained([table], seconds):
            return list(self._fields(table, seconds))

    def _download(self, rows: bigquery.table.RowIterator, retry: Retry) -> pa.Table:
        """What is more than the first answer holds comes by the Storage API, or page by page.

        An emulator has none, and the client would ask Google's own for an emulator's tables.
        """
        storage = not os.environ.get("BIGQUERY_EMULATOR_HOST")
        try:
            return rows.to_arrow(create_bqstorage_client=storage)
        except api.PermissionDenied as error:
            _log.warning(
                "BigQuery's Storage API may not be used, rows come page by page: %s. Grant "
                "roles/bigquery.readSessionUser",
                _message(error),
            )
            # The answer is still there; only the first reading of it has begun and cannot go on.
            job = self._client.get_job(str(rows.job_id), location=rows.location, retry=retry)
            again = cast(bigquery.QueryJob, job).result(retry=retry)
            return again.to_arrow(create_bqstorage_client=False)

    @cached_property
    def _client(self) -> bigquery.Client:
        return self.connect()

    def _fields(self, table: TableName, seconds: float) -> dict[str, bigquery.SchemaField]:
        found = self._client.get_table(table.path, retry=_retry(seconds), timeout=REQUEST_SECONDS)
        return _by_name(found.schema)


def _by_name(schema: Sequence[bigquery.SchemaField]) -> dict[str, bigquery.SchemaField]:
    return {field.name.lower(): field for field in schema}  # as SQL does, no matter the case


def _check(
    columns: Columns, fields: Mapping[str, bigquery.SchemaField], names: Sequence[str]
) -> None:
    """:raises DataError: a column is missing or of a type that is no use"""
    if missing := [name for name in names if name not in fields]:
        raise DataError(
            f"{columns.table}: column {', '.join(missing)} is missing; needs "
            f"{', '.join(columns.names)}, found {', '.join(fields)}. Rename or add it, in a view "
            "if need be"
        )
    for name in names:
        kind, fit = fields[name].field_type, _TYPES[columns.kind(name)]
        if fields[name].mode == "REPEATED":
            kind = f"ARRAY of {kind}"
        if _MODERN.get(kind, kind) not in fit:
            raise DataError(
                f"{columns.table}: column {name} has type {kind}, needs "
                f"{', '.join(fit)}. Convert it in a view, see deployments/bigquery"
            )


def _retry(seconds: float) -> Retry:
    # The client puts one around the other, for requests and for failed queries.
    return Retry(predicate=_passes, initial=0.5, maximum=15.0, timeout=seconds / 2)


def _passes(error: BaseException | None) -> bool:
    """Whether the same question may well be answered a little later."""
    if isinstance(error, api.RetryError):
        return _passes(error.cause)
    if isinstance(error, http.SSLError):
        return False
    if isinstance(error, auth.RefreshError) and error.retryable:
        return True
    return isinstance(error, _PASSING) or _reason(error) in _PASSING_REASONS


def _reason(error: BaseException | None) -> str:
    return str(_detail(error).get("reason", ""))


def _message(error: BaseException) -> str:
    """What Google says, without the address, the job's number and a stop at the end."""
    if isinstance(error, api.RetryError) and error.cause:
        return _message(error.cause)
    text = _detail(error).get("message") or getattr(error, "message", "") or str(error)
    return str(text).strip().split("\n")[0].rstrip(".")


def _detail(error: BaseException | None) -> Mapping[str, object]:
    """The first of the errors that an answer lists; empty where it lists none."""
    found = next(iter(getattr(error, "errors", None) or ()), None)
    return found if isinstance(found, Mapping) else {}


@contextmanager
def _explained(tables: "Sequence[TableName]", seconds: float) -> Iterator[None]:
    """Turn what Google's client raises into an error that names what to change."""
    where = ", ".join(f"{table.setting}={str(table)!r}" for table in tables)
    try:
        yield
    except HawkError:
        raise
    except (api.GoogleAPIError, auth.GoogleAuthError, http.RequestException, TimeoutError) as error:
        said = _message(error)
        if _passes(error):
            text = f"{where}: BigQuery has not answered within {seconds:.0f} s: {said}; try again"
            raise DataError(text) from None
        if isinstance(error, auth.GoogleAuthError | api.Unauthorized):
            raise SettingsError(
                f"{where}: the credentials are not usable: {said}; set "
                "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or "
                "SERVICE_ACCOUNT_JSON to its content"
            ) from None
        if isinstance(error, api.Forbidden) and _reason(error) in ("accessDenied", ""):
            raise SettingsError(
                f"{where}: no permission: {said}; grant roles/bigquery.dataViewer on the dataset "
                "and roles/bigquery.jobUser on the project that pays, or correct the name"
            ) from None
        if isinstance(error, api.NotFound):
            more = "; two tables need to be in one location" if len(tables) > 1 else ""
            raise SettingsError(f"{where}: {said}; correct the name{more}") from None
        raise DataError(f"{where}: {said}") from None
