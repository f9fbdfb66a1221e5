"""Queries to BigQuery: retries transient errors, reports permanent ones at once."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import pandas as pd
import pyarrow as pa
import requests.exceptions as http
from google.api_core import exceptions as api
from google.api_core.retry import Retry, exponential_sleep_generator
from google.auth import exceptions as auth
from google.cloud import bigquery

from hawk_assets.core.errors import DataError, HawkError, SettingsError
from hawk_assets.sources.queries import Columns, TableName

REQUEST_SECONDS = 15.0
"""The longest wait for one request; a query that takes longer is polled."""

FIRST_PAUSE_SECONDS, PAUSE_SECONDS = 0.25, 3.0
"""Pauses between two looks at a query that runs: the first, and the longest."""

_log = logging.getLogger(__name__)
_TRANSIENT = (
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
_TRANSIENT_REASONS = {
    *("rateLimitExceeded", "backendError", "internalError"),
    *("jobRateLimitExceeded", "jobBackendError", "jobInternalError"),
}
_NUMBERS = ("FLOAT64", "INT64", "NUMERIC", "BIGNUMERIC")
_TYPES = {"datetime64[ns]": ("DATE",), "object": ("STRING",), "float64": _NUMBERS}
_MODERN = {"FLOAT": "FLOAT64", "INTEGER": "INT64"}


@dataclass(frozen=True)
class Warehouse:
    """:param connect: creates Google's client; called at the first query"""

    connect: Callable[[], bigquery.Client]

    def ask(
        self,
        query: str,
        asked: Sequence[Columns],
        start: pd.Timestamp,
        end: pd.Timestamp,
        seconds: float,
    ) -> pa.Table:
        """The complete result of a query about the days within ``[start, end)``.

        :param query: with the parameters ``@start`` and ``@end``
        :param asked: what the query reads
        :param seconds: after which transient errors are no longer retried
        :raises SettingsError: a setting names a table that does not exist or may not be read
        :raises DataError: names the table, column and remedy; or BigQuery does not answer
        """
        parameters = [
            bigquery.ScalarQueryParameter(name, "DATE", day.date())
            for name, day in (("start", start), ("end", end))
        ]
        retry = _retry(seconds)
        with _explained([columns.table for columns in asked], seconds):
            try:
                config = bigquery.QueryJobConfig(query_parameters=parameters)
                rows = retry(self._query)(query, config, retry, seconds)
            except api.BadRequest:
                # The error names one column of the query; the tables show every bad column.
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

    def _query(
        self, query: str, config: bigquery.QueryJobConfig, retry: Retry, seconds: float
    ) -> bigquery.table.RowIterator:
        """Run a query and wait for it; a query that is given up does not run on.

        Google's own waiting asks without a pause as soon as the server answers at once.

        :raises TimeoutError: it has not ended after ``seconds``
        """
        job = self._client.query(
            query,
            job_config=config,
            api_method="QUERY",
            timeout=REQUEST_SECONDS,
            retry=retry,
            job_retry=None,
        )
        pauses = exponential_sleep_generator(FIRST_PAUSE_SECONDS, PAUSE_SECONDS)
        deadline = time.monotonic() + seconds
        try:
            while not job.done(retry=retry, timeout=REQUEST_SECONDS):
                if time.monotonic() > deadline:
                    raise TimeoutError("the query still runs")
                time.sleep(next(pauses))
        except BaseException:
            with suppress(*_TRANSIENT, api.GoogleAPIError, auth.GoogleAuthError):
                job.cancel(retry=None, timeout=REQUEST_SECONDS)
            raise
        return job.result(retry=retry, timeout=REQUEST_SECONDS, job_retry=None)

    def _download(self, rows: bigquery.table.RowIterator, retry: Retry) -> pa.Table:
        """Rows beyond the first response come through the Storage API, or page by page.

        An emulator has no Storage API; the client would ask Google's for the emulator's tables.
        """
        storage = not os.environ.get("BIGQUERY_EMULATOR_HOST")
        try:
            return rows.to_arrow(create_bqstorage_client=storage)
        except api.PermissionDenied as error:
            _log.warning(
                "no permission for BigQuery's Storage API, rows are read page by page: %s. Grant "
                "roles/bigquery.readSessionUser",
                _message(error),
            )
            # The result still exists; only the reading of it that has begun cannot continue.
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
    return {field.name.lower(): field for field in schema}  # SQL ignores upper and lower case


def _check(
    columns: Columns, fields: Mapping[str, bigquery.SchemaField], names: Sequence[str]
) -> None:
    """:raises DataError: a column is missing or of the wrong type"""
    if missing := [name for name in names if name not in fields]:
        raise DataError(
            f"{columns.table}: column {', '.join(missing)} is missing; needs "
            f"{', '.join(columns.names)}, found {', '.join(fields)}. Rename or add it, "
            "for example in a view"
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
    # Half: the client nests two of them, one for requests and one for failed queries.
    return Retry(predicate=_is_transient, initial=0.5, maximum=15.0, timeout=seconds / 2)


def _is_transient(error: BaseException | None) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, api.RetryError):
        return _is_transient(error.cause)
    if isinstance(error, http.SSLError):
        return False
    if isinstance(error, auth.RefreshError) and error.retryable:
        return True
    return isinstance(error, _TRANSIENT) or _reason(error) in _TRANSIENT_REASONS


def _reason(error: BaseException | None) -> str:
    return str(_detail(error).get("reason", ""))


def _message(error: BaseException) -> str:
    """Google's message without the address, the job's number and the full stop."""
    if isinstance(error, api.RetryError) and error.cause:
        return _message(error.cause)
    text = _detail(error).get("message") or getattr(error, "message", "") or str(error)
    return str(text).strip().split("\n")[0].rstrip(".")


def _detail(error: BaseException | None) -> Mapping[str, object]:
    """The first of the errors that a response lists; empty if it lists none."""
    found = next(iter(getattr(error, "errors", None) or ()), None)
    return found if isinstance(found, Mapping) else {}


@contextmanager
def _explained(tables: "Sequence[TableName]", seconds: float) -> Iterator[None]:
    """Turn an error of Google's client into one that says what to change."""
    named = ", ".join(f"{table.setting}={str(table)!r}" for table in tables)
    try:
        yield
    except HawkError:
        raise
    except (api.GoogleAPIError, auth.GoogleAuthError, http.RequestException, TimeoutError) as error:
        said = _message(error)
        if _is_transient(error):
            text = f"{named}: BigQuery has not answered within {seconds:.0f} s: {said}; try again"
            raise DataError(text) from None
        if isinstance(error, auth.GoogleAuthError | api.Unauthorized):
            raise SettingsError(
                f"{named}: the credentials are not usable: {said}; set "
                "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or "
                "SERVICE_ACCOUNT_JSON to its content"
            ) from None
        if isinstance(error, api.Forbidden) and _reason(error) in ("accessDenied", ""):
            raise SettingsError(
                f"{named}: no permission: {said}; grant roles/bigquery.dataViewer on the dataset "
                "and roles/bigquery.jobUser on the project that pays, or correct the name"
            ) from None
        if isinstance(error, api.NotFound):
            more = "; two tables need to be in one location" if len(tables) > 1 else ""
            raise SettingsError(f"{named}: {said}; correct the name{more}") from None
        raise DataError(f"{named}: {said}") from None
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        # Google's client takes the form of an answer for granted.
        raise DataError(
            f"{named}: the answer is not understood ({type(error).__name__}: {_message(error)}); "
            "try again, and look for a proxy that answers in BigQuery's place"
        ) from None
