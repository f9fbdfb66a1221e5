"""BigQuery tables as a source, through dagster-gcp's resource and Google's own client."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from pathlib import Path

import grpc
import pandas as pd
import pyarrow as pa
import pytest
import sqlglot
from google.cloud import bigquery, bigquery_storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from google.oauth2.service_account import Credentials
from sqlglot import exp

from hawk_assets.core.errors import DataError, SettingsError
from hawk_assets.orchestration.bigquery_client import connect
from hawk_assets.sources import MarketDataFiles, open_source
from hawk_assets.sources import bigquery as source_module
from hawk_assets.sources.bigquery import BigQueryTables, Connect
from hawk_assets_tests.doubles.bigquery import BigQueryDouble
from hawk_assets_tests.markets import ragged_market, weekly_reports

BARS, REPORTS = "hawk-desk.market.bars", "hawk-desk.market.reports"
MONTHS = pd.date_range("2015-01-01", "2015-06-01", freq="MS")
JAN, FEB, MAR, JUL = (pd.Timestamp(f"2015-{month}-01") for month in ("01", "02", "03", "07"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryDouble]:
    double = BigQueryDouble(page_rows=400)
    with double.running(tmp_path_factory.mktemp("account")) as double.env:
        yield double


@pytest.fixture
def double(service: BigQueryDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryDouble]:
    """The first half of 2015 in two tables, and the environment to reach them."""
    for name, value in service.env.items():
        monkeypatch.setenv(name, value)
    service.put(BARS, prices())
    service.put(REPORTS, reports())
    service.queries.clear()
    yield service
    service.faults.clear()


def prices(**columns: object) -> pd.DataFrame:
    """1,000 bars with holes and a late listing, from May 2015 on without the ticker FLAT."""
    bars = ragged_market(1).astype({"ticker": object})
    bars = bars[bars["date"] < JUL].assign(**columns)
    lags = (bars["ticker"] == "FLAT") & (bars["date"] >= "2015-05-01")
    return bars[~lags].sample(frac=1.0, random_state=1)


def reports() -> pd.DataFrame:
    return pd.concat([weekly_reports("FULL"), weekly_reports("TICK")]).query(
        "report_date >= '2014-06-01' and release_date < '2015-07-01'"
    )


def source(
    bars: str = BARS, reports: str | None = REPORTS, connect: Connect = connect
) -> BigQueryTables:
    urls = [path and "bigquery://" + path.replace(".", "/") for path in (bars, reports)]
    found = open_source(urls[0], JAN, None, urls[1], connect=connect)
    assert isinstance(found, BigQueryTables)
    return found


def fetch(path: str = BARS) -> pd.DataFrame:
    return source(path).fetch_market_data(JAN, JUL)


def message(ask: Callable[[], object], kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as error:
        ask()
    return str(error.value)


def files(folder: Path) -> MarketDataFiles:
    prices().to_parquet(folder / "bars.parquet")
    reports().to_parquet(folder / "reports.parquet")
    return MarketDataFiles(str(folder / "bars.parquet"), str(folder / "reports.parquet"))


# What is read


@pytest.mark.parametrize("span", [(JAN, JUL), (FEB, MAR), (JUL, JUL + pd.DateOffset(months=1))])
def test_the_rows_are_those_of_a_file_with_the_same_content(
    double: BigQueryDouble, tmp_path: Path, span: tuple[pd.Timestamp, pd.Timestamp]
) -> None:
    table, file = source(), files(tmp_path)
    same = partial(pd.testing.assert_frame_equal, check_exact=True)
    same(table.fetch_market_data(*span), file.fetch_market_data(*span))
    same(table.fetch_commitments_of_traders(*span), file.fetch_commitments_of_traders(*span))


def test_rows_of_many_pages_are_read_to_the_last(double: BigQueryDouble) -> None:
    assert len(fetch()) == len(prices()) > 2 * double.page_rows
    assert len(double.faults.log("GET .*/queries/.*pageToken=")) >= 2


def test_a_query_names_its_columns_and_reads_the_requested_partitions(
    double: BigQueryDouble,
) -> None:
    """Each filter compares a plain column with a parameter; a day as text would be a risk."""
    here = source()
    here.fetch_market_data(FEB, MAR)
    here.fetch_commitments_of_traders(FEB, MAR)
    here.poll(MONTHS[1:2])
    assert len(double.queries) == 3
    for query, parameters in double.queries:
        assert parameters == {"start": FEB.date(), "end": MAR.date()}
        tree = sqlglot.parse_one(query, read="bigquery")
        assert not list(tree.find_all(exp.Star)) or "COUNT(*)" in query
        for select in tree.find_all(exp.Select):
            filters = list(select.args["where"].this.flatten())
            assert [type(condition) for condition in filters] == [exp.GTE, exp.LT]
            days = {condition.this.sql() for condition in filters}
            assert days <= {"`date`", "`release_date`", '"date"', '"release_date"'}
            assert [c.expression.sql("bigquery") for c in filters] == ["@start", "@end"]


def test_whole_and_exact_numbers_are_numbers_and_null_is_a_hole(double: BigQueryDouble) -> None:
    kinds = {"open": "DECIMAL(38, 9)", "close": "DECIMAL(38, 20)", "volume": "BIGINT"}
    plain = prices().dropna().assign(open=10.25, high=10.5, low=9.0, close=9.125, volume=3.0)
    double.put(BARS, plain, **kinds)
    double.execute(
        'UPDATE "hawk-desk".market.bars SET close = NULL, volume = NULL '
        "WHERE ticker = 'FULL' AND date = '2015-02-03'"
    )
    bars = fetch().set_index(["ticker", "date"])
    assert set(bars.dtypes.astype(str)) == {"float64"}
    hole = bars.loc[("FULL", pd.Timestamp("2015-02-03"))]
    assert hole.isna().tolist() == [False, False, False, True, True]
    rest = bars.drop(index=("FULL", pd.Timestamp("2015-02-03")))
    assert rest.drop_duplicates().to_numpy().tolist() == [[10.25, 10.5, 9.0, 9.125, 3.0]]


def test_the_order_and_case_of_columns_and_additional_columns_do_not_matter(
    double: BigQueryDouble,
) -> None:
    expected = fetch()
    odd = prices().rename(columns={"close": "Close"}).assign(note="x", of="y", day="z", count="n")
    double.put(BARS, odd[odd.columns[::-1]])
    pd.testing.assert_frame_equal(fetch(), expected, check_exact=True)
    assert len(source().versions(MONTHS)) == 6


def test_reports_without_a_release_date_get_that_of_the_calendar(double: BigQueryDouble) -> None:
    stated = source().fetch_commitments_of_traders(FEB, JUL)
    double.put(REPORTS, reports().drop(columns="release_date"))
    found = source().fetch_commitments_of_traders(FEB, JUL)
    late = found.merge(stated, on=["report_date", "contract"], suffixes=("", "_stated"))
    # Good Friday is not a federal holiday, and Washington's birthday and Memorial Day are Mondays:
    # every report was published on its Friday.
    assert (late["release_date"] == late["release_date_stated"]).all()
    assert len(late) == len(stated)
    everything = source().versions(MONTHS)
    assert list(everything) == list(MONTHS)
    changed = 'UPDATE "hawk-desk".market.reports SET open_interest = 1 WHERE report_date = DATE '
    double.execute(f"{changed} '2015-03-31'")  # a Tuesday, released in April
    after = source().versions(MONTHS)
    assert [f"{m:%m}" for m in MONTHS if after[m] != everything[m]] == ["04"]


def test_without_reports_there_are_none(double: BigQueryDouble) -> None:
    alone = source(reports=None)
    assert alone.fetch_commitments_of_traders(JAN, JUL).empty
    assert alone.versions(MONTHS).keys() == source().versions(MONTHS).keys()
    assert "market.reports" not in double.queries[0][0]


def test_an_empty_table_and_an_empty_month_are_empty(double: BigQueryDouble) -> None:
    double.put(BARS, prices().query("date < '2015-02-01' or date >= '2015-03-01'"))
    assert source().fetch_market_data(FEB, MAR).empty
    found = source(reports=None).poll(MONTHS)
    assert list(found.versions) == list(MONTHS.drop(FEB))
    double.put(BARS, prices()[:0])
    assert source().fetch_market_data(JAN, JUL).empty
    assert source(reports=None).poll(MONTHS) == ({}, None)


# What a poll returns


def test_a_poll_is_one_query(double: BigQueryDouble) -> None:
    here = source()
    here.poll(MONTHS)
    double.queries.clear()
    before = len(double.faults.log())
    versions, latest = here.poll(MONTHS)
    assert len(double.queries) == 1
    assert len(double.faults.log()) == before + 2  # and one look whether it has ended
    assert list(versions) == list(MONTHS)
    assert latest == pd.Timestamp("2015-06-30")
    assert versions == source().versions(MONTHS)


def test_a_version_does_not_depend_on_other_months_or_on_the_order_of_rows(
    double: BigQueryDouble,
) -> None:
    everything = source().versions(MONTHS)
    for month in MONTHS:
        assert source().versions(pd.DatetimeIndex([month])) == {month: everything[month]}
    double.put(BARS, prices().sort_values(["ticker", "date"]))
    assert source().versions(MONTHS[::-1].repeat(2)) == everything
    assert source().versions(MONTHS[:0]) == {}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {bars} SET close = close * (1 + 2.3e-16) WHERE {row}",
        "UPDATE {bars} SET volume = NULL WHERE {row}",
        "UPDATE {bars} SET ticker = 'FULLER' WHERE {row}",
        "UPDATE {bars} SET low = high, high = low WHERE {row}",
        "DELETE FROM {bars} WHERE {row}",
        "INSERT INTO {bars} SELECT * FROM {bars} WHERE {row}",
        "INSERT INTO {bars} SELECT b.* FROM {bars} b, range(2) WHERE {row}",
        "UPDATE {bars} SET close = (SELECT sum(close) FROM {bars} WHERE {pair}) - close "
        "WHERE {pair}",
        "UPDATE {reports} SET open_interest = open_interest + 1 WHERE {report}",
        "DELETE FROM {reports} WHERE {report}",
    ],
)
def test_any_change_in_a_month_changes_only_its_version(
    double: BigQueryDouble, change: str
) -> None:
    before = source().versions(MONTHS)
    double.execute(
        change.format(
            bars='"hawk-desk".market.bars',
            reports='"hawk-desk".market.reports',
            row="ticker = 'FULL' AND date = '2015-02-03'",
            pair="ticker IN ('FULL', 'TICK') AND date = '2015-02-03'",
            report="contract = 'FULL' AND report_date = '2015-01-27'",  # released on a 30th
        )
    )
    after = source().versions(MONTHS)
    month = "01" if "reports" in change else "02"
    assert [f"{m:%m}" for m in MONTHS if after[m] != before[m]] == [month]


# What can be wrong with a table


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("close = -1", "TICK on 2015-03-04: close -1.0: a price must be positive"),
        ("volume = 'infinity'", "TICK on 2015-03-04: a price or volume is infinite"),
        ("high = 1e-9", "TICK on 2015-03-04: high is below low"),
        ("ticker = NULL", "None on 2015-03-04: ticker None: is missing"),
    ],
)
def test_rows_are_checked_by_the_same_rules_as_those_of_a_file(
    double: BigQueryDouble, change: str, says: str
) -> None:
    double.execute(
        f'UPDATE "hawk-desk".market.bars SET {change} '
        "WHERE ticker = 'TICK' AND date = '2015-03-04'"
    )
    with pytest.raises(DataError, match=f"^bigquery://hawk-desk/market/bars: .*{says}"):
        fetch()


def test_a_duplicate_row_is_named(double: BigQueryDouble) -> None:
    double.execute(
        'INSERT INTO "hawk-desk".market.bars SELECT * FROM "hawk-desk".market.bars '
        "WHERE ticker = 'TICK' AND date = '2015-03-04'"
    )
    assert "TICK on 2015-03-04: the row appears more than once; keep one" in message(fetch)


@pytest.mark.parametrize(
    ("name", "kind", "value", "says"),
    [
        ("close", "VARCHAR", "1.5", "column close has type STRING, needs FLOAT64"),
        ("volume", "BOOLEAN", True, "column volume has type BOOLEAN, needs FLOAT64"),
        ("ticker", "BIGINT", 1, "column ticker has type INTEGER, needs STRING"),
        ("date", "TIMESTAMPTZ", JAN, "column date has type TIMESTAMP, needs DATE"),
        ("date", "TIMESTAMP", JAN, "column date has type DATETIME, needs DATE"),
        ("date", "VARCHAR", "2015-02-03", "column date has type STRING, needs DATE"),
    ],
)
def test_a_column_of_a_wrong_type_is_named_with_what_is_needed(
    double: BigQueryDouble, name: str, kind: str, value: object, says: str
) -> None:
    double.put(BARS, prices(**{name: value}), **{name: kind})
    found = message(fetch)
    assert found.startswith(f"bigquery://hawk-desk/market/bars: {says}")
    assert "deployments/bigquery" in found


def test_all_columns_that_are_missing_are_named(double: BigQueryDouble) -> None:
    double.put(BARS, prices().drop(columns=["low", "volume"]))
    for ask in (fetch, lambda: source().poll(MONTHS)):
        found = message(ask)
        assert "bars: column low, volume is missing" in found
        assert "found date, ticker, open, high, close" in found
    double.put(BARS, prices())
    double.put(REPORTS, reports().drop(columns="contract"))
    assert "reports: column contract is missing" in message(lambda: source().poll(MONTHS))


def test_a_day_beyond_the_calendar_is_named(double: BigQueryDouble) -> None:
    double.execute("UPDATE \"hawk-desk\".market.reports SET report_date = DATE '9999-12-31'")
    found = message(lambda: source().fetch_commitments_of_traders(JAN, JUL))
    assert "market/reports: report_date 9999-12-31 is not a day of any market" in found


# What can be wrong with a setting


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("hawk-desk.market.barz", "Table hawk-desk:market.barz was not found in location US"),
        ("hawk-desk.markets.bars", "Dataset hawk-desk:markets was not found in location US"),
        ("hawk-dsek.market.bars", "no permission: .* or perhaps it does not exist"),
    ],
)
def test_a_table_that_does_not_exist_names_its_setting(
    double: BigQueryDouble, path: str, says: str
) -> None:
    for ask in (lambda: source(path).poll(MONTHS), lambda: fetch(path)):
        with pytest.raises(SettingsError, match=f"HAWK_MARKET_DATA='bigquery://.*{says}.*correct"):
            ask()
    if "not found" in says:
        with pytest.raises(SettingsError, match=r"HAWK_COMMITMENTS='bigquery://.*Not found"):
            source(reports=path).fetch_commitments_of_traders(JAN, JUL)


def test_no_permission_names_the_roles(double: BigQueryDouble) -> None:
    double.faults.add(403, times=None, reason="accessDenied", match="POST .*/queries")
    before = len(double.faults.log("^403"))
    found = message(fetch, SettingsError)
    for part in ("HAWK_MARKET_DATA", "dataViewer", "jobUser"):
        assert part in found
    assert len(double.faults.log("^403")) == before + 1


def test_an_exhausted_quota_is_reported_at_once(double: BigQueryDouble) -> None:
    double.faults.add(403, times=None, reason="quotaExceeded", match="POST .*/queries")
    assert "403 on request of the test" in message(fetch)


@pytest.mark.parametrize("spoil", ["none", "no file", "no json", "no key", "another key"])
def test_credentials_that_are_refused_name_the_settings(
    double: BigQueryDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    file = tmp_path / "account.json"
    account = json.loads(double.account())
    if spoil == "no json":
        file.write_text("{'type'}")
    elif spoil == "no key":
        file.write_text(json.dumps({**account, "private_key": "x"}))
    elif spoil == "another key":
        stranger = json.loads(BigQueryDouble().account())
        file.write_text(json.dumps({**account, "private_key": stranger["private_key"]}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    if spoil == "none":
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        monkeypatch.setenv("NO_GCE_CHECK", "true")
    found = message(fetch, SettingsError)
    assert "set GOOGLE_APPLICATION_CREDENTIALS" in found or "; set it to" in found


def test_a_key_may_be_given_as_text(
    double: BigQueryDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none"))
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", double.account())
    assert len(fetch()) == len(prices())


def test_the_project_that_pays_is_that_of_the_credentials_unless_another_is_set(
    double: BigQueryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "hawk-pays")
    fetch()
    asked = double.faults.log("POST .*/queries")[-2:]
    assert ["projects/hawk-desk/" in asked[0], "projects/hawk-pays/" in asked[1]] == [True, True]


# Errors of the service


@pytest.mark.parametrize(
    "break_it",
    [
        lambda f: f.add(503, times=2, match="/queries"),
        lambda f: f.add(429, reason="rateLimitExceeded", match="/queries"),
        lambda f: f.add(500, reason="internalError", match="POST .*/queries"),
        lambda f: f.add(403, reason="rateLimitExceeded", match="POST .*/queries"),
        lambda f: f.add(503, match="pageToken=800"),
        lambda f: f.add(503, match="/jobs/"),
        lambda f: f.add(503, match="/token"),
        lambda f: f.tear(match="POST .*/queries"),
        lambda f: f.tear(match="POST .*/queries", where="request"),
        lambda f: f.tear(match="pageToken=400"),
    ],
    ids=["503", "429", "500", "rate", "page", "job", "token", "torn", "lost", "torn page"],
)
def test_a_transient_error_is_retried_and_nothing_is_lost_or_duplicated(
    double: BigQueryDouble, break_it: Callable[[object], object]
) -> None:
    expected = fetch()
    fault = break_it(double.faults)
    pd.testing.assert_frame_equal(fetch(), expected, check_exact=True)
    assert fault.hit.is_set()


def test_a_request_without_a_response_is_sent_again(
    double: BigQueryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawk_assets.sources.warehouse.REQUEST_SECONDS", 0.5)
    fault = double.faults.stall(60, match="POST .*/queries")
    assert len(fetch()) == len(prices())
    assert fault.hit.is_set()


@pytest.mark.parametrize("status", [503, 429])
def test_a_permanent_error_is_not_retried_longer_than_the_limit(
    double: BigQueryDouble, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(source_module, "POLL_SECONDS", 1.5)
    double.faults.add(status, times=None, match="POST .*/queries")
    before = len(double.faults.log(f"^{status}"))
    found = message(lambda: source(reports=None).poll(MONTHS))
    for part in ("HAWK_MARKET_DATA", "not answered within 2 s", f"{status} on request", "again"):
        assert part in found
    assert len(double.faults.log(f"^{status}")) >= before + 2


@pytest.mark.parametrize(
    "answer",
    [[], "hello", 7, {"rows": 5}, {"jobComplete": "no"}, {"schema": {"fields": [{"a": 1}]}}],
    ids=str,
)
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(
    double: BigQueryDouble, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    monkeypatch.setattr(source_module, "POLL_SECONDS", 1.0)
    double.faults.garble(answer, times=None, match="POST .*/queries")
    for part in ("HAWK_MARKET_DATA", "bars"):
        assert part in message(lambda: source(reports=None).poll(MONTHS))


# The Storage API


class ReadService:
    """Google's Storage Read API over gRPC: rows as Arrow in two streams, or no permission.

    :param rows: what every query has for an answer
    """

    def __init__(self, rows: pa.Table, allowed: bool = True) -> None:
        self.rows, self.allowed, self.read = rows, allowed, 0
        types = bigquery_storage.types
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        methods = {
            "CreateReadSession": grpc.unary_unary_rpc_method_handler(
                self._session,
                types.CreateReadSessionRequest.deserialize,
                types.ReadSession.serialize,
            ),
            "ReadRows": grpc.unary_stream_rpc_method_handler(
                self._stream, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
            ),
        }
        name = "google.cloud.bigquery.storage.v1.BigQueryRead"
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, methods)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> "ReadService":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _session(self, request, context):  # type: ignore[no-untyped-def]
        if not self.allowed:
            text = "Permission 'bigquery.readsessions.create' denied"
            context.abort(grpc.StatusCode.PERMISSION_DENIED, text)
        return bigquery_storage.types.ReadSession(
            name="s", arrow_schema=self._schema(), streams=[{"name": name} for name in "01"]
        )

    def _schema(self) -> dict[str, bytes]:
        return {"serialized_schema": self.rows.schema.serialize().to_pybytes()}

    def _stream(self, request, context):  # type: ignore[no-untyped-def]
        half = -(-len(self.rows) // 2)
        part = self.rows.slice(int(request.read_stream) * half, half)
        for batch in part.to_batches(max_chunksize=100):
            self.read += len(batch)
            yield bigquery_storage.types.ReadRowsResponse(
                arrow_record_batch={"serialized_record_batch": batch.serialize().to_pybytes()},
                arrow_schema=self._schema(),
                row_count=len(batch),
            )


def client_with(storage: ReadService, double: BigQueryDouble) -> Connect:
    """Google's client, on loopback, not aware that this is an emulator."""

    class Client(bigquery.Client):
        def _ensure_bqstorage_client(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            channel = grpc.insecure_channel(storage.address)
            transport = BigQueryReadGrpcTransport(channel=channel)
            return bigquery_storage.BigQueryReadClient(transport=transport)

    account = Credentials.from_service_account_info(json.loads(double.account()))
    scoped = account.with_scopes(["https://www.googleapis.com/auth/bigquery"])
    return lambda: Client("hawk-desk", scoped, client_options={"api_endpoint": double.url})


@pytest.fixture
def endless(double: BigQueryDouble) -> Iterator[BigQueryDouble]:
    """Queries never end, and every look is answered at once."""
    double.endless = True
    yield double
    double.endless = False


def test_a_query_that_does_not_end_is_looked_at_with_pauses_and_ended_when_given_up(
    endless: BigQueryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "FETCH_SECONDS", 3.0)
    before = len(endless.faults.log())
    said = message(fetch)
    assert "BigQuery has not answered within 3 s: the query still runs; try again" in said
    assert len(endless.faults.log()) - before < 12
    assert len(endless.faults.log("POST .*/cancel")) == 1
    assert endless.unfinished() == []


def test_ctrl_c_ends_the_query_as_well(
    endless: BigQueryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    cancelled = len(endless.faults.log("POST .*/cancel"))
    with pytest.raises(KeyboardInterrupt):
        fetch()
    assert len(endless.faults.log("POST .*/cancel")) == cancelled + 1
    assert endless.unfinished() == []


def test_a_query_that_takes_a_while_is_waited_for(endless: BigQueryDouble) -> None:
    timer = threading.Timer(1.0, endless.finish)
    timer.start()
    assert len(fetch()) == len(prices())


@pytest.mark.parametrize("allowed", [True, False])
def test_many_rows_come_through_the_storage_api_or_page_by_page_without_permission(
    double: BigQueryDouble,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    allowed: bool,
) -> None:
    expected = fetch()
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    rows = pa.Table.from_pandas(prices().iloc[::-1], preserve_index=False)
    rows = rows.set_column(0, "date", rows["date"].cast(pa.date32()))
    pages = len(double.faults.log("pageToken="))
    with ReadService(rows, allowed) as storage, caplog.at_level(logging.WARNING):
        found = source(connect=client_with(storage, double)).fetch_market_data(JAN, JUL)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert storage.read == (len(expected) if allowed else 0)
    assert (len(double.faults.log("pageToken=")) > pages) == (not allowed)
    assert ("roles/bigquery.readSessionUser" in caplog.text) == (not allowed)
