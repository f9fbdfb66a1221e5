"""Months of Parquet in a folder or a bucket: what was written is read, or an error that helps."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hawk_assets.core import schemas
from hawk_assets.core.errors import DataError, MissingMonthError, SettingsError, StorageError
from hawk_assets.core.schemas import arrow_schema
from hawk_assets.orchestration.catalog import WEIGHTS
from hawk_assets.storage.tables import Tables
from hawk_assets_tests.doubles.gcs import Gcs, gcs_server

KEY = ("model_states", "ema_cross_12_26")
MONTHS = pd.date_range("2020-01-01", "2020-06-01", freq="MS")


def months(*keys: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(keys)


def states(seed: int = 0, over: pd.DatetimeIndex = MONTHS) -> pd.DataFrame:
    """Model states with holes and awkward numbers, by date and ticker."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range(over[0], over[-1] + pd.offsets.MonthEnd())
    days = days[days.to_period("M").isin(over.to_period("M"))]
    frame = pd.DataFrame(
        {
            "date": np.repeat(days, 3),
            "ticker": np.tile(np.array(["AAA", "BRK.B", "ÄÖ ß"], object), len(days)),
            "close": rng.uniform(1, 500, 3 * len(days)),
            "vol_63": rng.uniform(0, 0.1, 3 * len(days)),
            "spread": rng.standard_normal(3 * len(days)) * 10.0 ** rng.integers(-300, 300),
        }
    )
    frame.loc[::7, "vol_63"] = np.nan
    frame.loc[:3, "spread"] = [-0.0, 5e-324, np.nextafter(1.0, 2.0), 1.7976931348623157e308]
    return frame


def store(tables: Tables, frame: pd.DataFrame, over: pd.DatetimeIndex = MONTHS) -> None:
    tables.write(KEY, frame, over, arrow_schema(schemas.MODEL_STATES_SCHEMA, frame.columns))


@dataclass(frozen=True)
class Root:
    """What lies below a root, looked at without the code under test.

    :param gcs: where the root is a bucket
    """

    address: str
    gcs: Gcs | None = None

    def files(self) -> dict[str, bytes]:
        if self.gcs:
            objects = self.gcs.objects("desk")
            return {name.removeprefix("a/b/"): o.content for name, o in objects.items()}
        found = (path for path in Path(self.address).rglob("*") if path.is_file())
        return {str(path.relative_to(self.address)): path.read_bytes() for path in found}

    def put(self, path: str, content: bytes) -> None:
        if self.gcs:
            self.gcs.put("desk", f"a/b/{path}", content)
        else:
            Path(self.address, path).write_bytes(content)


@pytest.fixture(params=["folder", "bucket"])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Root]:
    if request.param == "folder":
        yield Root(str(tmp_path))
        return
    with gcs_server("desk") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        yield Root("gs://desk/a/b", gcs)


@pytest.fixture
def tables(root: Root) -> Tables:
    return Tables(root.address)


def file_of(month: pd.Timestamp) -> str:
    return f"{'/'.join(KEY)}/{month:%Y-%m-%d}.parquet"


def test_what_is_read_is_what_was_written_in_every_bit(tables: Tables) -> None:
    written = states()
    store(tables, written)
    read = tables.read(KEY, MONTHS)
    pd.testing.assert_frame_equal(read, written, check_exact=True)
    assert read["ticker"].map(type).eq(str).all()
    for column in ("close", "vol_63", "spread"):
        there = written[column].notna().to_numpy()
        bits = [f[column].to_numpy()[there].view(np.int64) for f in (read, written)]
        np.testing.assert_array_equal(*bits)


def weights_of(month: pd.Timestamp) -> pd.DataFrame:
    """Weights of two models under today's column names."""
    texts = {"objective": "hrp", "solver": "none", "status": "Solved", "fallback": f"{month:%m}"}
    numbers = {"weight": [0.25, 0.75], "equal_weight": 0.5, "risk_parity": [0.4, 0.6]}
    frame = pd.DataFrame({"month": month, "model": ["a", "b"], **numbers, **texts, "reason": ""})
    return frame.astype({"month": "datetime64[ns]"})


@pytest.mark.parametrize("old", ["none", "older half", "all"])
def test_a_column_of_an_old_name_is_read_under_the_new_one(tables: Tables, old: str) -> None:
    count = {"none": 0, "older half": 3, "all": 6}[old]
    for i, month in enumerate(MONTHS):
        frame = weights_of(month)
        types = arrow_schema(schemas.WEIGHTS_SCHEMA, frame.columns)
        if i < count:
            frame = frame.rename(columns={"fallback": "rung"})
            types = pa.schema([f.with_name("rung") if f.name == "fallback" else f for f in types])
        tables.write(WEIGHTS, frame, MONTHS[i : i + 1], types, by="month")
        file = pq.ParquetFile(tables.path(WEIGHTS, month)) if "://" not in tables.root else None
        assert file is None or ("rung" in file.schema_arrow.names) == (i < count)
    written = pd.concat([weights_of(month) for month in MONTHS], ignore_index=True)
    read = tables.read(WEIGHTS, MONTHS)
    pd.testing.assert_frame_equal(read, written, check_exact=True)
    schemas.validate(schemas.WEIGHTS_SCHEMA, read, "weights")
    some = ["model", "fallback", "month"]
    pd.testing.assert_frame_equal(tables.read(WEIGHTS, MONTHS, some), written[some])
    assert list(tables.read(WEIGHTS, MONTHS, ["weight"]).columns) == ["weight"]
    pd.testing.assert_frame_equal(tables.read(WEIGHTS, MONTHS[:1]), weights_of(MONTHS[0]))


def test_only_the_table_whose_column_is_renamed_is_read_under_the_new_name(
    tables: Tables,
) -> None:
    frame = states().rename(columns={"spread": "rung"})
    store(tables, frame)
    pd.testing.assert_frame_equal(tables.read(KEY, MONTHS), frame, check_exact=True)
    assert list(tables.read(KEY, MONTHS, ["rung"]).columns) == ["rung"]


def test_rows_land_in_the_files_of_their_months_whatever_their_order(
    tables: Tables, root: Root
) -> None:
    written = states()
    store(tables, written.sample(frac=1, random_state=1))
    files = root.files()
    assert sorted(files) == [file_of(month) for month in MONTHS]
    for month in MONTHS:
        assert tables.path(KEY, month) == f"{root.address}/{file_of(month)}"
        stored = pq.read_table(pa.BufferReader(files[file_of(month)])).to_pandas()
        expected = written[written["date"].dt.to_period("M") == month.to_period("M")]
        assert tables.rows(KEY, month) == len(expected)
        pd.testing.assert_frame_equal(
            stored.astype({"date": "datetime64[ns]"}).sort_values(
                ["date", "ticker"], ignore_index=True
            ),
            expected.reset_index(drop=True),
        )


def test_rows_of_a_month_keep_their_order_and_months_come_in_the_order_asked_for(
    tables: Tables,
) -> None:
    shuffled = states().sample(frac=1, random_state=2)
    store(tables, shuffled)
    asked = months("2020-05-01", "2020-02-01")
    by_month = shuffled.groupby(shuffled["date"].dt.to_period("M"))
    expected = pd.concat([by_month.get_group(m.to_period("M")) for m in asked], ignore_index=True)
    pd.testing.assert_frame_equal(tables.read(KEY, asked), expected)


def test_only_the_columns_asked_for_are_read_in_that_order(tables: Tables) -> None:
    written = states()
    store(tables, written)
    read = tables.read(KEY, MONTHS, ["spread", "date"])
    pd.testing.assert_frame_equal(read, written[["spread", "date"]])
    with pytest.raises(StorageError, match=r"2020-01-01.parquet has no sprad: older code"):
        tables.read(KEY, MONTHS, ["date", "sprad"])


def test_a_month_without_rows_is_stored_and_keeps_its_types(tables: Tables) -> None:
    written = states(over=months("2020-01-01", "2020-03-01"))
    store(tables, written, MONTHS)
    assert list(tables.months(KEY)) == list(MONTHS)
    assert [tables.rows(KEY, m) > 0 for m in MONTHS] == [True, False, True, False, False, False]
    empty = tables.read(KEY, months("2020-02-01"))
    pd.testing.assert_frame_equal(empty, written.iloc[:0])
    pd.testing.assert_frame_equal(tables.read(KEY, MONTHS), written)


def test_positions_come_back_exactly(tables: Tables) -> None:
    held = [{"cash": 1e6}, {"AAA": 1 / 3, "cash": -0.1 + 0.3}, {}]
    dates = pd.DatetimeIndex(["2020-01-30", "2020-01-31", "2020-02-03"])
    frame = pd.DataFrame({"date": dates, **dict.fromkeys(schemas.SIMULATION_COLUMNS, 0.1)})
    frame["positions"] = [list(h.items()) for h in held]
    schema = arrow_schema(schemas.PERFORMANCE_TIMESERIES_SCHEMA, frame.columns)
    for _ in range(2):  # also what has been read can be written
        tables.write(("performance",), frame, MONTHS, schema)
        frame = tables.read(("performance",), MONTHS)
        assert [dict(entries) for entries in frame["positions"]] == held
        assert frame["positions"].dtype == pd.ArrowDtype(schemas.POSITIONS)
    assert len(tables.read(("performance",), MONTHS[3:])["positions"]) == 0


def test_another_column_can_say_which_month_a_row_belongs_to(tables: Tables) -> None:
    frame = pd.DataFrame(
        {"as_of": pd.DatetimeIndex(["2020-01-31", "2020-02-28"]), "value": [1.0, 2.0]}
    )
    schema = pa.schema([("as_of", pa.date32()), ("value", pa.float64())])
    tables.write(KEY, frame, MONTHS[:2], schema, by="as_of")
    assert tables.read(KEY, MONTHS[1:2])["value"].tolist() == [2.0]


@pytest.mark.parametrize("date", ["2020-07-01", "2019-12-31", None])
def test_a_row_of_no_month_to_be_stored_is_refused(tables: Tables, date: str | None) -> None:
    written = states()
    written.loc[5, "date"] = pd.Timestamp(date)
    with pytest.raises(DataError, match=rf"ema_cross_12_26: a row of {date or 'NaT'}"):
        store(tables, written)
    assert not len(tables.months(KEY))


def test_a_missing_month_names_the_command_that_backfills_it(tables: Tables) -> None:
    store(tables, states(over=MONTHS[:2]), MONTHS[:2])
    with pytest.raises(MissingMonthError) as caught:
        tables.read(KEY, MONTHS)
    assert str(caught.value) == (
        "model_states/ema_cross_12_26 has no 2020-03-01 and 3 more months; run: hawk backfill "
        "--select model_states/ema_cross_12_26 --from 2020-03-01 --to 2020-06-01"
    )
    with pytest.raises(MissingMonthError, match=r"has no 2020-06-01; run: hawk backfill"):
        tables.rows(KEY, MONTHS[-1])


def test_missing_months_are_left_out_on_request(tables: Tables) -> None:
    written = states(over=MONTHS[:2])
    store(tables, written, MONTHS[:2])
    pd.testing.assert_frame_equal(tables.read(KEY, MONTHS, missing_ok=True), written)
    nothing = tables.read(WEIGHTS, MONTHS, ["month", "weight"], missing_ok=True)
    assert nothing.empty
    assert list(nothing.columns) == ["month", "weight"]
    assert not len(tables.months(WEIGHTS))


def test_months_of_other_columns_are_not_mixed(tables: Tables) -> None:
    store(tables, states())
    renamed = states(over=MONTHS[2:3]).rename(columns={"spread": "distance"})
    store(tables, renamed, MONTHS[2:3])
    with pytest.raises(StorageError) as caught:
        tables.read(KEY, MONTHS)
    for part in ("2020-03-01.parquet has no spread", "--from 2020-01-01 --to 2020-06-01"):
        assert part in str(caught.value)
    store(tables, states(over=MONTHS[3:4]).assign(more=1.0), MONTHS[3:4])
    with pytest.raises(StorageError, match=r"2020-04-01.parquet has other columns or types"):
        tables.read(KEY, MONTHS[[1, 3]])
    assert len(tables.read(KEY, MONTHS, ["date", "close"])) == len(states())


def damaged(content: bytearray, how: str, price: float) -> bytearray:
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    elif how == "footer":
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        content[start : start + 10] = bytes(10)
    else:
        content[content.index(struct.pack("<d", price)) + 3] ^= 1
    return content


@pytest.mark.parametrize("how", ["truncated", "empty", "footer", "one bit of a price"])
def test_a_damaged_file_is_named_with_the_remedy(tables: Tables, root: Root, how: str) -> None:
    written = states()
    store(tables, written)
    path, price = file_of(MONTHS[3]), written.loc[written["date"] >= MONTHS[3], "close"].iloc[5]
    root.put(path, bytes(damaged(bytearray(root.files()[path]), how, price)))
    with pytest.raises(StorageError) as caught:
        tables.read(KEY, MONTHS)
    assert f"{root.address}/{path} is damaged" in str(caught.value)
    assert "hawk backfill --select model_states/ema_cross_12_26 --from 2020-04-01" in str(
        caught.value
    )
    if "price" not in how:
        with pytest.raises(StorageError, match=r"2020-04-01.parquet is damaged"):
            tables.rows(KEY, MONTHS[3])
    assert len(tables.read(KEY, MONTHS[:3]))


@pytest.mark.parametrize("root", ["/dev/null/tables", "file/tables", "file"])
def test_a_root_that_cannot_be_used_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    tables = Tables(root)
    match = rf"cannot (read|write) model_states/ema_cross_12_26 below HAWK_STORAGE={root}: "
    with pytest.raises(StorageError, match=match):
        store(tables, states())
    with pytest.raises(StorageError, match=match):
        tables.read(KEY, MONTHS, missing_ok=True)
    with pytest.raises(StorageError, match=match):
        tables.rows(KEY, MONTHS[0])


@pytest.mark.parametrize(
    "root",
    ["gs:/bucket", "s3://bucket/x", "gs://", "gs:///", "file:///x", "gs//bucket", "GS://bucket"],
)
def test_a_mistyped_url_is_not_taken_for_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SettingsError, match=rf"HAWK_STORAGE='{root}' is neither a folder nor gs://"
    ):
        store(Tables(root), states())
    assert not list(tmp_path.iterdir())


def test_a_folder_may_be_relative_of_the_user_or_have_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for root, folder in {
        "some/tables": tmp_path / "some" / "tables",
        "with space/ü %20": tmp_path / "with space" / "ü %20",
        "~/tables": tmp_path / "home" / "tables",
    }.items():
        store(Tables(root), states())
        assert len(list(folder.joinpath(*KEY).glob("*.parquet"))) == len(MONTHS)
        pd.testing.assert_frame_equal(Tables(str(folder)).read(KEY, MONTHS), states())


def test_other_files_beside_them_are_no_months(tables: Tables, root: Root) -> None:
    store(tables, states(), MONTHS)
    for name in ("notes.parquet", "2020-07-02.parquet", "2020-13-01.parquet", "2020-07-01.csv"):
        root.put("/".join([*KEY, name]), b"")
    assert list(tables.months(KEY)) == list(MONTHS)
    assert not len(tables.months(KEY[:1]))


WRITER = """
import sys
import numpy as np, pandas as pd, pyarrow as pa
from hawk_assets.storage.tables import Tables

tables, month = Tables(sys.argv[1]), pd.DatetimeIndex(["2020-01-01"])
schema = pa.schema([("date", pa.date32()), ("value", pa.float64())])
rng = np.random.default_rng(0)
frame = pd.DataFrame({"date": month[0], "value": rng.standard_normal(300_000)})
print("ready", flush=True)
while True:
    tables.write(("x",), frame, month, schema)
"""


def test_a_killed_writer_leaves_a_whole_file_or_none(root: Root) -> None:
    for delay in (0.0, 0.02):
        folder = f"{root.address}/{delay}"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        tables = Tables(folder)
        for month in tables.months(("x",)):
            assert tables.rows(("x",), month) == 300_000
            assert len(tables.read(("x",), pd.DatetimeIndex([month]))) == 300_000
    visible = {path for path in root.files() if not path.rpartition("/")[2].startswith(".")}
    assert visible <= {f"{delay}/x/2020-01-01.parquet" for delay in (0.0, 0.02)}


def test_readers_of_a_month_that_is_rewritten_see_one_version_of_it(
    tables: Tables, root: Root
) -> None:
    month = months("2020-01-01")
    versions = [states(over=month).assign(close=float(i)) for i in range(4)]
    store(tables, versions[0], month)
    stop = threading.Event()
    failures: list[Exception] = []

    def write(version: pd.DataFrame) -> None:
        try:
            while not stop.is_set():
                store(tables, version, month)
        except Exception as error:
            failures.append(error)

    def read() -> None:
        try:
            for _ in range(60):
                closes = tables.read(KEY, month)["close"]
                assert len(closes) == len(versions[0])
                assert closes.nunique() == 1
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=[version]) for version in versions]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()
    assert not failures
    store(tables, versions[2], month)
    pd.testing.assert_frame_equal(tables.read(KEY, month), versions[2])
    assert list(root.files()) == [file_of(month[0])]


def test_a_write_to_a_folder_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    # A folder of the month's name: the file is written, and cannot replace it.
    Path(tables.path(KEY, MONTHS[0]), "in the way").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write"):
        store(tables, states(over=MONTHS[:1]), MONTHS[:1])
    assert os.listdir(Path(tables.root, *KEY)) == ["2020-01-01.parquet"]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_months_of_a_bucket_are_written_and_read_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    over = pd.date_range("2019-01-01", "2020-04-01", freq="MS")
    with gcs_server("desk") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        tables, written = Tables("gs://desk"), states(over=over)
        store(tables, written, over)
        held = [gcs.faults.stall(60, match=rf"{method} .*/b/desk/o") for _ in over]
        acts = {
            "POST": lambda: store(tables, written, over),
            "GET": lambda: pd.testing.assert_frame_equal(tables.read(KEY, over), written),
        }
        worker = threading.Thread(target=acts[method])
        worker.start()
        assert all([fault.hit.wait(20) for fault in held])
        gcs.faults.clear()
        worker.join()
        pd.testing.assert_frame_equal(tables.read(KEY, over), written)
