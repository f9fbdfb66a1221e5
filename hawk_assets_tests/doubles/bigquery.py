"""A stand-in for BigQuery's REST API: tables in DuckDB, queries translated by sqlglot.

It tests credentials, parameters, types, pages, jobs, errors and faults, as Google's own clients see
them. DuckDB executes the SQL, and FARM_FINGERPRINT is a different hash. There are no partitions and
no costs.
"""

import datetime as dt
import json
import math
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import duckdb
import pandas as pd
import sqlglot
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from sqlglot import exp

from hawk_assets_tests.doubles.faults import Faults, Reply, Request, error_reply, json_reply, serve

API = ["bigquery", "v2", "projects"]
ACCOUNT = "desk@loopback.example"
TYPES = {
    "DATE": "DATE",
    "VARCHAR": "STRING",
    "DOUBLE": "FLOAT",
    "INTEGER": "INTEGER",
    "BIGINT": "INTEGER",
    "HUGEINT": "INTEGER",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "DATETIME",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
}
READERS = {
    "DATE": dt.date.fromisoformat,
    "INT64": int,
    "FLOAT64": float,
    "STRING": str,
    "BOOL": lambda text: text == "true",
    "TIMESTAMP": dt.datetime.fromisoformat,
}


class RefusedError(Exception):
    """An error for the client."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass
class Job:
    """A query: its result or its error.

    :param runs: whether it runs until it is cancelled
    """

    reference: dict[str, str]
    query: str
    fields: list[dict[str, str]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: RefusedError | None = None
    runs: bool = False


class BigQueryDouble:
    """One service with the tables of any number of projects.

    :param page_rows: the rows of a page, unless the client asks for fewer
    :ivar endless: whether queries never end
    """

    def __init__(self, page_rows: int = 10_000) -> None:
        self.faults, self.page_rows, self.url = Faults(), page_rows, ""
        self.queries: list[tuple[str, dict[str, Any]]] = []
        self.tokens: set[str] = set()
        self.endless = False
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._jobs: dict[str, Job] = {}
        self._inserted: set[str] = set()
        self._lock = threading.RLock()
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")
        self._db.execute(
            "CREATE MACRO memory.main.farm_fingerprint(x) AS "
            "CAST(CAST(hash(x) AS HUGEINT) - 9223372036854775808 AS BIGINT)"
        )
        self._db.execute("SET search_path = 'memory.main'")

    @contextmanager
    def running(self, folder: Path, port: int = 0) -> Iterator[Mapping[str, str]]:
        """Serve for the duration of the block.

        :param folder: the folder for the key of the service account
        :return: the environment variables for Google's clients
        """
        with serve(self, self.faults, port) as self.url:
            account = folder / "service_account.json"
            account.write_text(self.account())
            yield {
                "BIGQUERY_EMULATOR_HOST": self.url,
                "GOOGLE_APPLICATION_CREDENTIALS": str(account),
            }

    def account(self) -> str:
        """The service account's JSON, with a key that is valid only here."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "hawk-desk",
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": ACCOUNT,
                "client_id": "1",
                "token_uri": f"{self.url}/token",
            }
        )

    def put(self, path: str, rows: pd.DataFrame, **types: str) -> None:
        """Replace a table in one step.

        :param path: project.dataset.table
        :param types: DuckDB's types of columns, where not DATE, VARCHAR, DOUBLE, BIGINT or BOOLEAN
        """
        project, dataset, table = path.split(".")
        kinds = {"M": "DATE", "f": "DOUBLE", "i": "BIGINT", "b": "BOOLEAN"}
        columns = {
            name: types.get(str(name), kinds.get(kind.kind, "VARCHAR"))
            for name, kind in rows.dtypes.items()
        }
        with self._lock:
            self._db.execute(f"ATTACH IF NOT EXISTS ':memory:' AS \"{project}\"")
            self._db.execute(f'CREATE SCHEMA IF NOT EXISTS "{project}"."{dataset}"')
            declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            self._db.execute(
                f'CREATE OR REPLACE TABLE "{project}"."{dataset}"."{table}"({declared})'
            )
            if len(rows):
                self._db.register("given", rows)
                cast = ", ".join(f'CAST("{n}" AS {k})' for n, k in columns.items())
                self._db.execute(
                    f'INSERT INTO "{project}"."{dataset}"."{table}" SELECT {cast} FROM given'
                )
                self._db.unregister("given")

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Change the tables directly, in DuckDB's dialect."""
        with self._lock:
            return self._db.execute(sql).fetchall()

    def __call__(self, request: Request) -> Reply:
        if request.path == "/token":
            return self._token(request)
        with self._lock:
            try:
                return json_reply(self._answer(request))
            except RefusedError as error:
                return error_reply(error.status, error.message, error.reason)

    def _answer(self, request: Request) -> dict[str, Any]:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer not in self.tokens:
            raise RefusedError(401, "authError", "Request had invalid authentication credentials.")
        parts, content = request.parts(), json.loads(request.body or b"{}")
        match [request.method, *parts[len(API) + 1 :]] if parts[: len(API)] == API else []:
            case ["POST", "queries"]:
                job = self._run(parts[3], content, content)
                return self._results(job, request.query | content)
            case ["POST", "jobs"]:
                asked = content["configuration"]["query"]
                job = self._run(parts[3], asked, content.get("jobReference", {}), keep=True)
                return self._resource(job)
            case ["GET", "jobs", name]:
                return self._resource(self._job(name))
            case ["POST", "jobs", name, "cancel"]:
                return {"kind": "bigquery#jobCancelResponse", "job": self._cancel(self._job(name))}
            case ["GET", "queries", name]:
                return self._results(self._job(name), request.query)
            case ["GET", "datasets", dataset, "tables", table]:
                return self._table(parts[3], dataset, table)
            case ["GET", "datasets", dataset, "tables", table, "data"]:
                self._table(parts[3], dataset, table)
                cursor = self._db.execute(f'SELECT * FROM "{parts[3]}"."{dataset}"."{table}"')
                job = Job({}, "", _fields(cursor), _rows(cursor))
                return self._page(job, request.query)
            case ["POST", "datasets", dataset, "tables", table, "insertAll"]:
                return self._insert(parts[3], dataset, table, content["rows"])
        raise RefusedError(404, "notFound", f"Not found: {request.method} {request.path}")

    def _token(self, request: Request) -> Reply:
        """An OAuth access token for a signed assertion."""
        assertion = dict(parse_qsl(request.body.decode())).get("assertion", "")
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            jwt.decode(assertion, public, audience="https://oauth2.googleapis.com/token")
        except ValueError as error:
            return json_reply({"error": "invalid_grant", "error_description": str(error)}, 400)
        token = uuid.uuid4().hex
        self.tokens.add(token)
        return json_reply({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _run(
        self, project: str, asked: Mapping[str, Any], named: Mapping[str, Any], keep: bool = False
    ) -> Job:
        """:param keep: an error belongs to the job, for a later request; else to this request"""
        name = named.get("jobId") or uuid.uuid4().hex
        reference = {"projectId": project, "jobId": name, "location": "US"}
        job = self._jobs[name] = Job(reference, asked["query"], runs=self.endless)
        try:
            cursor = self._execute(project, asked)
            if cursor is not None:
                job.fields, job.rows = _fields(cursor), _rows(cursor)
        except RefusedError as error:
            if not keep:
                raise
            job.refused = error
        return job

    def _execute(self, project: str, asked: Mapping[str, Any]) -> duckdb.DuckDBPyConnection | None:
        given = {p["name"]: p for p in asked.get("queryParameters", ())}
        values = {name: _value(parameter) for name, parameter in given.items()}
        self.queries.append((asked["query"], values))
        try:
            tree = sqlglot.parse_one(asked["query"], read="bigquery")
        except sqlglot.ParseError as error:
            raise RefusedError(400, "invalidQuery", f"Syntax error: {error}") from None
        default = asked.get("defaultDataset", {}).get("datasetId", "")
        aliases = {cte.alias for cte in tree.find_all(exp.CTE)}
        created = tree.this if isinstance(tree, exp.Create) else None
        for table in tree.find_all(exp.Table):
            if not table.db and table.name in aliases:
                continue
            table.set("catalog", exp.to_identifier(table.catalog or project, quoted=True))
            table.set("db", exp.to_identifier(table.db or default, quoted=True))
            if table is not created:
                self._table(table.catalog, table.db, table.name, in_query=True)
        self._check_days(tree, given)
        try:
            cursor = self._db.execute(tree.sql(dialect="duckdb"), values)
        except duckdb.Error as error:
            raise RefusedError(400, "invalidQuery", _unrecognised(str(error))) from None
        return None if created else cursor

    def _check_days(self, tree: exp.Expression, given: Mapping[str, Any]) -> None:
        """DuckDB compares a DATE with any type; BigQuery refuses that."""
        for comparison in tree.find_all(exp.GTE, exp.LT, exp.EQ):
            column, names = comparison.this, {p.name for p in comparison.find_all(exp.Parameter)}
            days = {n for n in names if given.get(n, {})["parameterType"]["type"] == "DATE"}
            select = comparison.find_ancestor(exp.Select)
            if not days or not isinstance(column, exp.Column) or select is None:
                continue
            for table in select.find_all(exp.Table):
                known = self._columns(table.catalog, table.db, table.name)
                kind = known.get(column.name, "DATE")
                if kind != "DATE":
                    sign = {exp.GTE: ">=", exp.LT: "<", exp.EQ: "="}[type(comparison)]
                    message = f"No matching signature for operator {sign} for argument types: "
                    raise RefusedError(400, "invalidQuery", f"{message}{kind}, DATE")

    def _columns(self, project: str, dataset: str, table: str) -> dict[str, str]:
        """BigQuery's types by column; empty if the table does not exist."""
        found = self._db.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? "
            "AND schema_name = ? AND table_name = ? ORDER BY column_index",
            [project, dataset, table],
        ).fetchall()
        return {name: _kind(kind) for name, kind in found}

    def _table(
        self, project: str, dataset: str, table: str, in_query: bool = False
    ) -> dict[str, Any]:
        columns = self._columns(project, dataset, table)
        name = f"{project}:{dataset}.{table}"
        if not columns:
            databases = "SELECT database_name, schema_name FROM duckdb_schemas()"
            schemas = set(self._db.execute(databases).fetchall())
            if project not in {database for database, _ in schemas}:
                raise RefusedError(
                    403,
                    "accessDenied",
                    f"Access Denied: Table {name}: User does not have permission to query table "
                    f"{name}, or perhaps it does not exist.",
                )
            missing = f"Table {name}" if (project, dataset) in schemas else ""
            missing = missing or f"Dataset {project}:{dataset}"
            suffix = " was not found in location US" if in_query else ""
            raise RefusedError(404, "notFound", f"Not found: {missing}{suffix}")
        fields = [{"name": n, "type": t, "mode": "NULLABLE"} for n, t in columns.items()]
        return {
            "kind": "bigquery#table",
            "id": name,
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "schema": {"fields": fields},
            "type": "TABLE",
            "location": "US",
        }

    def _insert(
        self, project: str, dataset: str, table: str, rows: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Insert all rows, or none if one has an unknown field; a row with a known id only once."""
        self._table(project, dataset, table)
        known = self._columns(project, dataset, table)
        errors = [
            {
                "index": i,
                "errors": [
                    {"reason": "invalid", "location": n, "message": f"no such field: {n}."}
                    for n in row["json"].keys() - known.keys()
                ],
            }
            for i, row in enumerate(rows)
            if row["json"].keys() - known.keys()
        ]
        if errors:
            return {"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": errors}
        for row in rows:
            if row.get("insertId") in self._inserted:
                continue
            self._inserted |= {row["insertId"]} if row.get("insertId") else set()
            names = ", ".join(f'"{name}"' for name in row["json"])
            marks = ", ".join("?" for _ in row["json"])
            self._db.execute(
                f'INSERT INTO "{project}"."{dataset}"."{table}"({names}) VALUES ({marks})',
                list(row["json"].values()),
            )
        return {"kind": "bigquery#tableDataInsertAllResponse"}

    def _job(self, name: str) -> Job:
        if name not in self._jobs:
            raise RefusedError(404, "notFound", f"Not found: Job {name}")
        return self._jobs[name]

    def unfinished(self) -> list[str]:
        """The queries that still run."""
        return [job.query for job in self._jobs.values() if job.runs]

    def finish(self) -> None:
        """Let the queries that run end."""
        for job in self._jobs.values():
            job.runs = False

    def _cancel(self, job: Job) -> dict[str, Any]:
        if job.runs:
            job.runs, job.refused = False, RefusedError(499, "stopped", "Job execution was stopped")
        return self._resource(job)

    def _resource(self, job: Job) -> dict[str, Any]:
        status: dict[str, Any] = {"state": "RUNNING" if job.runs else "DONE"}
        if job.refused:
            status["errorResult"] = {"reason": job.refused.reason, "message": job.refused.message}
            status["errors"] = [status["errorResult"]]
        project, name = job.reference["projectId"], job.reference["jobId"]
        target = {"projectId": project, "datasetId": "_results", "tableId": name}
        return {
            "kind": "bigquery#job",
            "id": f"{project}:US.{name}",
            "jobReference": job.reference,
            "configuration": {
                "jobType": "QUERY",
                "query": {"query": job.query, "destinationTable": target, "useLegacySql": False},
            },
            "status": status,
            "statistics": {"creationTime": "0", "query": {"statementType": "SELECT"}},
        }

    def _results(self, job: Job, query: Mapping[str, Any]) -> dict[str, Any]:
        if job.refused:
            raise job.refused
        if job.runs:
            return {
                "kind": "bigquery#queryResponse",
                "jobReference": job.reference,
                "jobComplete": False,
            }
        return {
            "kind": "bigquery#queryResponse",
            "jobReference": job.reference,
            "jobComplete": True,
            "cacheHit": False,
            "totalBytesProcessed": "0",
            "schema": {"fields": job.fields},
            **self._page(job, query),
        }

    def _page(self, job: Job, query: Mapping[str, Any]) -> dict[str, Any]:
        first = int(query.get("pageToken") or query.get("startIndex") or 0)
        last = first + min(int(query.get("maxResults") or self.page_rows), self.page_rows)
        if query.get("maxResults") in (0, "0"):
            last = first
        token = {"pageToken": str(last)} if last < len(job.rows) else {}
        return {"totalRows": str(len(job.rows)), "rows": job.rows[first:last], **token}


def _kind(kind: str) -> str:
    if kind.startswith("DECIMAL"):
        return "NUMERIC" if int(kind.rstrip(")").split(",")[1]) <= 9 else "BIGNUMERIC"
    return TYPES[kind]


def _fields(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, str]]:
    return [
        {"name": name, "type": _kind(str(kind)), "mode": "NULLABLE"}
        for name, kind, *_ in cursor.description or ()
    ]


def _rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    return [{"f": [{"v": _text(value)} for value in row]} for row in cursor.fetchall()]


def _text(value: Any) -> str | None:
    """A value as in the API: everything is text, and a null is null."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case float():
            return "NaN" if math.isnan(value) else repr(value)
        case dt.datetime() if value.tzinfo:
            return str(int(value.timestamp() * 1_000_000))
        case dt.date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
    return str(value)


def _value(parameter: Mapping[str, Any]) -> Any:
    kind, value = parameter["parameterType"], parameter["parameterValue"]
    if "arrayType" in kind:
        read = READERS[kind["arrayType"]["type"]]
        return [read(item["value"]) for item in value.get("arrayValues", ())]
    return READERS[kind["type"]](value["value"])


def _unrecognised(message: str) -> str:
    """The message for a missing column in BigQuery's words; any other in DuckDB's."""
    _, found, rest = message.partition('Referenced column "')
    return f"Unrecognized name: {rest.split(chr(34))[0]} at [1:8]" if found else message
