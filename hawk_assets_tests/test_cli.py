"""The ``hawk`` command: what it says, where it says it, and with which exit code."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets import cli
from hawk_assets.models import discover, rsi
from hawk_assets.orchestration.assets import weights
from hawk_assets_tests.doubles.faults import Faults, Reply, Request, error_reply, serve
from hawk_assets_tests.doubles.gcs import Gcs
from hawk_assets_tests.pipelines import REPOSITORY, ragged_prices
from hawk_assets_tests.postgres import free_port

HAWK = str(Path(sys.executable).with_name("hawk"))
MODEL = rsi.MODELS[0].name
# All that a book needs, of one model.
SOME = ["market_data", MODEL, "weights", "combined_insights", "combined_performance"]
BACKFILL = ["backfill", *(word for name in SOME for word in ("--select", name))]


@dataclass(frozen=True)
class Said:
    """What came of a command."""

    code: int
    out: str
    err: str

    def is_refused(self, code: int = 1) -> str:
        """The message of a command that failed for a reason the user can put right."""
        assert self.code == code, self
        assert "Traceback" not in self.out + self.err
        return self.err


Hawk = Callable[..., Said]


@pytest.fixture
def hawk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Hawk:
    """The command in an empty folder, with three months of prices beside it."""
    prices = ragged_prices()
    prices[prices["date"] < "2015-04-01"].to_parquet(tmp_path / "prices.parquet")
    monkeypatch.chdir(tmp_path)
    for name, value in settings(tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **env: str) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["hawk", *arguments])
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        return Said(code, *capfd.readouterr())

    return run


def settings(folder: Path) -> dict[str, str]:
    return {
        "HAWK_MARKET_DATA": "prices.parquet",
        "HAWK_STORAGE": str(folder / "storage"),
        "HAWK_START": "2015-01-01",
        "HAWK_END": "2015-03-01",
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def spoilt(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet("prices.parquet")).to_parquet("prices.parquet")


def with_value(prices: pd.DataFrame, column: str, value: float) -> pd.DataFrame:
    prices.loc[(prices["ticker"] == "FULL") & (prices["date"] == "2015-02-03"), column] = value
    return prices


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.drop(columns="close"), "column close is missing"),
        (lambda p: pd.concat([p, p.iloc[[5]]]), "FULL on 2015-01-08: the row appears more than"),
        (lambda p: with_value(p, "close", -1.0), "FULL on 2015-02-03: close -1.0: a price must be"),
        (lambda p: with_value(p, "high", 1e-3), "FULL on 2015-02-03: high is below low"),
    ],
    ids=["missing column", "duplicate row", "negative price", "high below low"],
)
def test_bad_prices_are_refused_by_file_ticker_and_date(
    change: Callable[[pd.DataFrame], pd.DataFrame], says: str, hawk: Hawk
) -> None:
    spoilt(change)
    message = hawk("backfill", "--select", "market_data").is_refused()
    assert f": prices.parquet: {says}" in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "HAWK_MARKET_DATA='prices.*' matches no file"),
        (b"", "prices.parquet: the file is empty"),
        (b"hello\n", "prices.parquet: neither Parquet nor"),
        (b"PAR1 and then nothing", "prices.parquet: cannot be read"),
    ],
    ids=["no file", "empty", "text", "torn Parquet"],
)
def test_a_source_that_holds_no_prices_is_refused(
    content: bytes | None, says: str, hawk: Hawk
) -> None:
    file = Path("prices.parquet")
    file.unlink() if content is None else file.write_bytes(content)
    said = hawk("backfill", "--select", "market_data", HAWK_MARKET_DATA="prices.*")
    assert says in said.is_refused()


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        (["backfill", "--select", "rsi_41"], {}, f"did you mean {MODEL}"),
        (["backfill", "--from", "2015-04"], {}, "--from 2015-04 is not a month of the"),
        (["backfill", "--to", "March"], {}, "--to 'March' is not a month; write it like 2006-01"),
        (["backfill", "--from", "2015-03-01", "--to", "2015-01-01"], {}, "is after --to"),
        (["status"], {"HAWK_START": "2015-1"}, "HAWK_START='2015-1' is not a month; write it like"),
        (["status"], {"HAWK_END": "2014-01-01"}, "HAWK_END=2014-01-01 is before HAWK_START"),
        (["status"], {"DAGSTER_HOME": "prices.parquet"}, "cannot be created"),
        (["status"], {"HAWK_MARKET_DATA": "ftp://prices"}, "HAWK_MARKET_DATA='ftp://prices'"),
        (["status"], {"HAWK_SOLVER": "cplex"}, "HAWK_SOLVER='cplex' is not known; choose one"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(
    arguments: list[str], env: dict[str, str], says: str, hawk: Hawk
) -> None:
    assert hawk(*arguments, **env).is_refused().startswith("error: ")
    assert says in hawk(*arguments, **env).err


def test_a_storage_that_cannot_be_written_is_refused(hawk: Hawk) -> None:
    said = hawk("backfill", "--select", "market_data", HAWK_STORAGE="prices.parquet/storage")
    assert "HAWK_STORAGE" in said.is_refused()


@pytest.mark.parametrize(
    ("root", "says", "env"),
    [
        ("gs://nowhere/x", "bucket does not exist. Correct HAWK_STORAGE, or create the bucket", {}),
        ("gs://desk/x", "no access. Give the account the role Storage Object User", {}),
        ("gs:/desk/x", "HAWK_STORAGE='gs:/desk/x' is neither a folder nor gs://bucket/prefix", {}),
        ("gs://desk/x", "no credentials for Google Cloud", {"STORAGE_EMULATOR_HOST": ""}),
        (
            "gs://desk/x",
            "SERVICE_ACCOUNT_JSON is not the JSON of",
            {"STORAGE_EMULATOR_HOST": "", "SERVICE_ACCOUNT_JSON": "key.json"},
        ),
    ],
)
def test_a_bucket_that_cannot_be_used_is_refused_with_the_remedy(
    hawk: Hawk, monkeypatch: pytest.MonkeyPatch, root: str, says: str, env: dict[str, str]
) -> None:
    for name in ("SERVICE_ACCOUNT_JSON", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    env = {"NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": "nothing here", "HAWK_STORAGE": root, **env}

    def no_access(request: Request) -> Reply:
        return (
            error_reply(403, "no access", "forbidden") if "/desk" in request.path else gcs(request)
        )

    gcs = Gcs()
    with serve(no_access, Faults()) as url:
        for command in (["backfill", "--select", "market_data"], ["show"]):
            said = hawk(*command, **{"STORAGE_EMULATOR_HOST": url, **env}).is_refused()
            assert says in said
            assert "HAWK_STORAGE" in said or "SERVICE_ACCOUNT_JSON" in said


def test_what_the_command_does_not_know_is_refused_with_what_it_does(hawk: Hawk) -> None:
    assert "Did you mean '--from'" in hawk("backfill", "--frm", "x").is_refused(code=2)
    assert "Did you mean 'backfill'" in hawk("bakfill").is_refused(code=2)
    assert "backfill" in hawk("--help").out


def test_before_the_first_backfill_everything_points_to_it(hawk: Hawk) -> None:
    assert hawk("status").out.endswith("\nthere is no history yet; run: hawk backfill\n")
    for command in (["refresh"], ["show"], ["explain", "FULL"]):
        assert hawk(*command).is_refused().endswith("run: hawk backfill\n")


def test_a_later_month_alone_is_refused_and_what_is_downstream_is_named(hawk: Hawk) -> None:
    message = hawk(*BACKFILL, "--from", "2015-03-01").is_refused()
    assert f"model_states/{MODEL}: market_data has no 2015-01-01 and 1 more month" in message
    skipped = f"insights/{MODEL}, performance_timeseries/{MODEL}, performance_metrics/{MODEL}, "
    assert f"{skipped}combined_insights, " in message
    assert "skipped: an upstream failed" in message


def test_a_day_of_the_desk(hawk: Hawk) -> None:
    """Backfill, a new session, what is stale, refresh, the book; for people and for programs."""
    prices = pd.read_parquet("prices.parquet")
    prices[prices["date"] < "2015-03-31"].to_parquet("prices.parquet")
    backfilled = hawk(*BACKFILL)
    assert backfilled.code == 0
    assert (
        "latest insights are 41 sessions old, its share is cash" in backfilled.err
    )  # of the others
    lines = backfilled.out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "market_data",
        "model_states",
        "insights",
        "performance",
        "weights",
        "combined_insights",
        "combined_performance",
    ]
    assert lines[1].split()[1:7] == ["2015-01", "to", "2015-03", "3", "months", "materialised"]

    prices.to_parquet("prices.parquet")
    tables = {row["table"]: row for row in json.loads(hawk("status", "--json").out)}
    assert list(tables["weights"]) == [
        "table",
        "months",
        "stale",
        "missing",
        "failed",
        "running",
        "because",
        "code_changed",
    ]
    assert tables["market_data"]["stale"] == ["2015-03-01"]
    assert tables["market_data"]["because"] == ["the source has other data"]
    assert tables[f"insights/{MODEL}"]["stale"] == ["2015-03-01"]
    assert tables[f"insights/{MODEL}"]["because"] == ["an upstream will be recomputed"]
    assert tables["weights"]["months"] == 3
    text = hawk("status").out
    assert "the source has other data" in text
    assert text.endswith("to bring the rest up to date: hawk refresh\n")

    book = json.loads(hawk("show", "--json").out)
    assert book["session"] == "2015-03-30"
    assert set(book) == {
        "session",
        "behind",
        "prices",
        "held_on",
        "month",
        "objective",
        "solver",
        "status",
        "fallback",
        "orders",
        "models",
    }
    refreshed = hawk("refresh")
    assert refreshed.code == 0
    assert "model_states" in refreshed.out
    assert hawk("refresh").out.endswith("\neverything is up to date\n")
    said = hawk("refresh", HAWK_OBJECTIVE="hrp").out
    assert "3 tables are by older code or other settings, and stay as they are: weights, " in said
    assert "HAWK_OBJECTIVE is hrp, the stored weights are by max_sharpe_net\n" in said
    assert said.endswith("to recompute what is older: hawk refresh --stale-code\n")
    assert hawk("refresh", HAWK_OBJECTIVE="hrp", HAWK_SIZING="cap=0.2").code == 0
    assert hawk("refresh").out.endswith("everything is up to date\n")
    spoilt(lambda prices: with_value(prices, "volume", 5.0))
    said = hawk("refresh", HAWK_SIZING="cap=0.2").out
    assert "model_states" in said
    assert "are by older code or other settings, and stay as they are: insights/" in said
    assert "HAWK_SIZING is set, the stored tables have the defaults\n" in said
    assert hawk("refresh", "--stale-code").code == 0
    status = hawk("status").out.splitlines()
    assert status[-1] == f"{len(tables)} of {len(tables)} tables are up to date"
    shown = hawk("show")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("Book at the close of 2015-03-31, to be traded at the next")
    assert json.loads(hawk("show", "--json").out)["session"] == "2015-03-31"

    why = json.loads(hawk("explain", "FULL", "--date", "2015-03-30", "--json").out)
    assert {model["bars"][-1]["date"] for model in why["models"]} == {"2015-03-30"}
    assert hawk("explain", "FULL").out.startswith("FULL ")
    assert "the book has no weight for 'NONE'" in hawk("explain", "NONE").is_refused()
    assert "'March' is not a date" in hawk("explain", "FULL", "--date", "March").is_refused()


def test_tickers_are_printed_as_they_are(hawk: Hawk) -> None:
    names = {"BTC[usdt]": "BTC[usdt]", "ES[/H4]": "ES[/H4]", ":eyes:": ":eyes:", "\x1b": "\\x1b"}
    one = pd.read_parquet("prices.parquet").query("ticker == 'TICK'")
    spoilt(lambda _: pd.concat([one.assign(ticker=name) for name in names]))
    assert hawk(*BACKFILL).code == 0
    orders = [line.split()[0] for line in hawk("show").out.partition("Model")[0].splitlines()[3:-1]]
    assert sorted(orders) == sorted(names.values())
    assert hawk("explain", "es[/h4]").out.startswith("ES[/H4] ")
    assert hawk("explain", "\x1b").out.startswith("\\x1b ")
    assert "'ES[/h5]'" in hawk("explain", "ES[/h5]").is_refused()


def test_the_history_ends_where_hawk_end_says(hawk: Hawk) -> None:
    assert hawk(*BACKFILL, "--from", "2015-01", "--to", "2015-03-01").code == 0
    assert hawk("show", HAWK_END="2015-02").out.startswith("Book at the close of 2015-02-27,")
    said = hawk("explain", "FULL", HAWK_END="2015-02").out
    assert "of the book at the close of 2015-02-27" in said
    wanted = hawk("explain", "FULL", "--date", "2015-03-30", HAWK_END="2015-02").is_refused()
    assert "it has sessions from 2015-01 to 2015-02" in wanted


def test_months_without_any_price_are_refused_with_the_span_of_the_prices(hawk: Hawk) -> None:
    spoilt(lambda prices: prices[prices["date"] < "2015-02-11"])
    message = hawk(*BACKFILL, HAWK_START="2013-01", HAWK_END="2014-06").is_refused()
    assert "no prices from 2013-01 to 2014-06; its data is from 2015-01 to 2015-02-10" in message
    assert "HAWK_START and HAWK_END" in message


def test_a_book_behind_its_prices_says_so_and_why_on_its_first_line(
    hawk: Hawk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = pd.read_parquet("prices.parquet")
    spoilt(lambda prices: prices[prices["date"] < "2015-03-30"])
    assert hawk(*BACKFILL).code == 0
    prices.to_parquet("prices.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_weights", lambda *_: 1 / 0)
        assert "ZeroDivisionError" in hawk("refresh", "--stale-code").is_refused()
    first = hawk("show").out.splitlines()[0]
    assert first.startswith(
        "Book at the close of 2015-03-27, 2 sessions behind the stored prices, which end on "
        "2015-03-31; weights: the latest attempt failed: ZeroDivisionError"
    )
    assert "2 sessions behind" in json.loads(hawk("show", "--json").out)["behind"]
    assert hawk("refresh").code == 0
    assert hawk("show").out.startswith("Book at the close of 2015-03-31, to be traded")


def test_output_that_cannot_be_written_is_an_error(hawk: Hawk) -> None:
    with open("/dev/full", "w") as full:
        end = subprocess.run([HAWK, "models"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert end.returncode == 1
    assert end.stderr == (
        "error: the operating system refuses: [Errno 28] No space left on device\n"
    )
    seen_enough = subprocess.run(["sh", "-c", f"{HAWK} config | head -1"], capture_output=True)
    assert (seen_enough.returncode, seen_enough.stderr) == (0, b"")


def test_an_installation_without_the_extras_says_which_one(hawk: Hawk) -> None:
    program = (
        "import sys; sys.modules['talib'] = None; sys.argv = ['hawk', 'backfill']; "
        "from hawk_assets.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "talib" in done.stderr
    assert "pip install 'hawk-assets[all]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_dagsters_tables_are_created_first_and_kept_as_they_are(hawk: Hawk, tmp_path: Path) -> None:
    """In PostgreSQL the stack of test_stack.py creates them."""
    for _ in range(2):
        said = hawk("migrate")
        assert said.code == 0
        assert said.out.endswith("Dagster's tables are up to date\n")
    with closing(sqlite3.connect(tmp_path / "dagster" / "history" / "runs.db")) as history:
        tables = {name for (name,) in history.execute("SELECT name FROM sqlite_master")}
    assert {"runs", "run_tags", "alembic_version"} <= tables


def test_a_database_that_is_down_is_refused_with_its_settings(hawk: Hawk, tmp_path: Path) -> None:
    deployed = (REPOSITORY / "deployments" / "docker" / "dagster.yaml").read_text()
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(deployed)
    where = {"HOST": "127.0.0.1", "PORT": str(free_port()), "USER": "a", "PASSWORD": "b", "DB": "c"}
    env = {f"HAWK_POSTGRES_{name}": value for name, value in where.items()}
    injected = {"HAWK_POSTGRES_PORT": "tcp://10.0.0.1:5432"}
    says = "HAWK_POSTGRES_PORT='tcp://10.0.0.1:5432' is not the number of a port. Kubernetes and"
    assert says in hawk("migrate", **(env | injected)).is_refused()
    said = hawk("migrate", **env).is_refused()  # it wants no other setting
    assert "start PostgreSQL, or correct HAWK_POSTGRES_HOST, HAWK_POSTGRES_PORT" in said


def test_models_are_listed_for_people_and_for_programs(hawk: Hawk) -> None:
    rows = json.loads(hawk("models", "--json").out)
    assert [row["model"] for row in rows] == list(discover())
    assert all(row["claim"] and row["warmup"] >= 0 for row in rows)
    text = hawk("models").out
    assert all(row["model"] in text for row in rows)


def test_ctrl_c_stops_with_a_hint_and_the_next_run_goes_on(hawk: Hawk, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [HAWK, *BACKFILL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What is started in the background inherits that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    # The first line says that a stage is done, and the next one is running.
    assert process.stdout.readline().startswith("market_data")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, (out, err)
    assert "combined_performance" not in out
    assert err.strip() == "stopped; run the same command again to continue"
    again = hawk(*BACKFILL)
    assert again.code == 0
    assert again.out.splitlines()[-1].startswith("combined_performance")
