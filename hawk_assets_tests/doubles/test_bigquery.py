"""The double of BigQuery as Google's clients see it: types, pages, parameters, jobs, errors."""

import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from google.oauth2.service_account import Credentials

from hawk_assets_tests.doubles.bigquery import BigQueryDouble

TABLE = "hawk-desk.market.kinds"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryDouble]:
    double = BigQueryDouble(page_rows=3)
    with double.running(tmp_path_factory.mktemp("account")):
        yield double


@pytest.fixture
def double(service: BigQueryDouble) -> BigQueryDouble:
    service.put(
        TABLE,
        pd.DataFrame({"n": range(8), "name": list("abcdefgh"), "day": pd.Timestamp("2020-02-29")}),
    )
    return service


@pytest.fixture
def client(double: BigQueryDouble) -> bigquery.Client:
    account = Credentials.from_service_account_info(
        json.loads(double.account()), scopes=["https://www.googleapis.com/auth/bigquery"]
    )
    return bigquery.Client("hawk-desk", account, client_options={"api_endpoint": double.url})


def test_values_keep_their_types_and_nulls(client: bigquery.Client) -> None:
    values = {
        "whole": 2**53 + 1,
        "number": 0.1 + 0.2,
        "exact": Decimal("12.340000000"),
        "text": 'a "quoted" `ä`',
        "day": dt.date(1960, 2, 29),
        "moment": dt.datetime(2020, 1, 1, 12, 30, 0, 123456, tzinfo=dt.UTC),
        "local": dt.datetime(2020, 1, 1, 12, 30, 0, 123456),
        "truth": True,
        "nothing": None,
    }
    query = """
        SELECT 9007199254740993 AS whole, CAST('0.30000000000000004' AS FLOAT64) AS number,
        CAST('12.34' AS NUMERIC) AS exact, 'a "quoted" `ä`' AS text, DATE '1960-02-29' AS day,
        TIMESTAMP '2020-01-01 12:30:00.123456+00' AS moment,
        DATETIME '2020-01-01 12:30:00.123456' AS local, TRUE AS truth,
        CAST(NULL AS FLOAT64) AS nothing
    """
    for rows in (client.query_and_wait(query), client.query(query).result()):
        (row,) = rows
        assert dict(row) == values
        assert {name: type(value) for name, value in row.items()} == {
            name: type(value) for name, value in values.items()
        }


def test_values_that_are_not_finite_are_returned(client: bigquery.Client) -> None:
    query = "SELECT CAST(x AS FLOAT64) AS x FROM UNNEST(['inf', '-inf', 'nan']) AS x"
    found = client.query_and_wait(query).to_arrow(create_bqstorage_client=False)
    assert [str(value) for value in found["x"].to_pylist()] == ["inf", "-inf", "nan"]


def test_results_are_split_into_pages(client: bigquery.Client, double: BigQueryDouble) -> None:
    query = f"SELECT n FROM `{TABLE}` ORDER BY n"
    for rows in (client.query_and_wait(query), client.query(query).result()):
        assert rows.total_rows == 8
        assert [row.n for row in rows] == list(range(8))
    small = client.query(query).result(page_size=2)
    assert [page.num_items for page in small.pages] == [2, 2, 2, 2]
    assert [row.n for row in client.list_rows(TABLE)] == list(range(8))
    assert len(double.faults.log("/data.*pageToken=6")) == 1


def test_parameters_are_values_and_never_sql(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(
        query_parameters=[
            bigquery.ScalarQueryParameter("day", "DATE", dt.date(2020, 2, 29)),
            bigquery.ScalarQueryParameter("least", "INT64", 2),
            bigquery.ArrayQueryParameter("names", "STRING", ["a", "c", "x' OR 'a' = 'a"]),
        ]
    )
    query = (
        f"SELECT name FROM `{TABLE}` WHERE day = @day AND n >= @least AND name IN UNNEST(@names)"
    )
    assert [row.name for row in client.query_and_wait(query, job_config=config)] == ["c"]


def test_a_table_lists_its_columns(client: bigquery.Client) -> None:
    schema = [(f.name, f.field_type) for f in client.get_table(TABLE).schema]
    assert schema == [("n", "INTEGER"), ("name", "STRING"), ("day", "DATE")]


def test_rows_are_inserted_once_or_not_at_all(client: bigquery.Client) -> None:
    row = {"n": 8, "name": "i", "day": "2020-03-01"}
    for _ in range(2):
        assert client.insert_rows_json(TABLE, [row], row_ids=["i"]) == []
    errors = client.insert_rows_json(TABLE, [{**row, "n": 9}, {**row, "x": 1}])
    assert [(e["index"], e["errors"][0]["message"]) for e in errors] == [(1, "no such field: x.")]
    assert [r.n for r in client.query_and_wait(f"SELECT n FROM `{TABLE}` WHERE n >= 8")] == [8]


@pytest.mark.parametrize(
    ("query", "kind", "reason"),
    [
        ("SELECT n FROM `hawk-desk.market.none`", api.NotFound, "notFound"),
        ("SELECT n FROM `hawk-desk.none.kinds`", api.NotFound, "notFound"),
        ("SELECT n FROM `hawk-none.market.kinds`", api.Forbidden, "accessDenied"),
        (f"SELECT m FROM `{TABLE}`", api.BadRequest, "invalidQuery"),
        (f"SELECT n FORM `{TABLE}`, WHERE", api.BadRequest, "invalidQuery"),
        (f"SELECT n FROM `{TABLE}` WHERE name >= @day", api.BadRequest, "invalidQuery"),
    ],
)
def test_errors_have_the_kind_and_reason_of_googles(
    client: bigquery.Client, query: str, kind: type[api.GoogleAPICallError], reason: str
) -> None:
    config = bigquery.QueryJobConfig(
        query_parameters=[bigquery.ScalarQueryParameter("day", "DATE", dt.date(2020, 1, 1))]
    )
    for ask in (client.query_and_wait, lambda *a, **k: client.query(*a, **k).result()):
        with pytest.raises(kind) as error:
            ask(query, job_config=config)
        assert error.value.errors[0]["reason"] == reason


def test_a_request_without_an_issued_token_is_refused(double: BigQueryDouble) -> None:
    stranger = json.loads(BigQueryDouble().account()) | {"token_uri": f"{double.url}/token"}
    account = Credentials.from_service_account_info(stranger, scopes=["x"])
    client = bigquery.Client("hawk-desk", account, client_options={"api_endpoint": double.url})
    with pytest.raises(Exception, match="invalid_grant"):
        client.get_table(TABLE)


def test_the_bq_command_reads_a_table_with_a_parameter(
    double: BigQueryDouble, tmp_path: Path
) -> None:
    command = shutil.which("bq")
    if command is None:
        pytest.skip("the bq command is not here")
    home = Path(command).resolve().parents[1] / "platform" / "bq"
    description = next(iter(home.glob("discovery*/bigquery.json")), None)
    if description is None:
        pytest.skip("this bq command has no description of the API on disk")
    token = tmp_path / "token"
    token.write_text("of-the-test")
    double.tokens.add("of-the-test")
    done = subprocess.run(
        [
            *(command, f"--api={double.url}", f"--discovery_file={description}"),
            *("--format=json", "--project_id=hawk-desk", "query", "--use_legacy_sql=false"),
            *("--parameter=least:INT64:6", "SELECT n, day FROM market.kinds WHERE n >= @least"),
        ],
        env=os.environ
        | {"CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [{"day": "2020-02-29", "n": n} for n in ("6", "7")]
    assert json.loads(done.stdout.strip().split("\n")[-1]) == rows
