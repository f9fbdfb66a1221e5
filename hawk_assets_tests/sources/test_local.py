import bz2
import datetime
import gzip
import os
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.sources import digest_cache, files
from hawk_assets.sources.local import MarketDataFiles
from hawk_assets.sources.sample import SampleMarket

JAN, FEB, MAR, APR = pd.date_range("2020-01-01", periods=4, freq="MS")
MONTHS = pd.DatetimeIndex([JAN, FEB, MAR])
COLUMNS = list(MARKET_DATA_SCHEMA.columns)
NEXT_YEAR = pd.Timestamp("2021-01-01")
REPORT_COLUMNS = list(COMMITMENTS_OF_TRADERS_SCHEMA.columns)


@pytest.fixture(scope="module")
def quarter() -> pd.DataFrame:
    """Three months of the built-in market: 25 tickers, holes in every column but ``open``."""
    bars = SampleMarket(pd.Timestamp("2010-01-01"), APR).fetch_market_data(JAN, APR)
    for first, column in enumerate(("high", "close", "volume")):
        bars.loc[bars.index[first::97], column] = np.nan
    assert bars[["high", "close", "volume"]].isna().any().all()
    return bars


def write(path: Path, bars: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        bars.to_csv(path, index=False)
    else:
        bars.to_parquet(path, index=False)
    return path


def three_bars(**columns: object) -> pd.DataFrame:
    """A, B on 2 January and A on 3 January 2020, prices 10, with columns replaced."""
    bars = pd.DataFrame(
        {
            "date": pd.to_datetime(["2020-01-02", "2020-01-02", "2020-01-03"]),
            "ticker": ["A", "B", "A"],
            **{name: [10.0, 10.0, 10.0] for name in COLUMNS[2:]},
        }
    )
    return bars.assign(**columns)


def fetch(pattern: object, start: pd.Timestamp = JAN, end: pd.Timestamp = FEB) -> pd.DataFrame:
    return MarketDataFiles(str(pattern)).fetch_market_data(start, end)


def message(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as error:
        call()
    return str(error.value)


# Layouts: the values are the same for every layout of files.


def by_month(folder: Path, bars: pd.DataFrame, suffix: str) -> Path:
    for month, rows in bars.groupby(bars["date"].dt.strftime("%Y-%m")):
        write(folder / f"{month}{suffix}", rows)
    return folder


def by_ticker_mixed(folder: Path, bars: pd.DataFrame) -> str:
    for n, (ticker, rows) in enumerate(bars.groupby("ticker")):
        rows = rows[COLUMNS[::-1] if n % 3 else COLUMNS].assign(note="ignored", id=n)
        write(folder / str(n % 2) / f"{ticker}{'.csv' if n % 2 else '.parquet'}", rows)
    return f"{folder}/**/*.*"


LAYOUTS: dict[str, Callable[[Path, pd.DataFrame], object]] = {
    "parquet file": lambda at, bars: write(at / "prices.parquet", bars),
    "csv file": lambda at, bars: write(at / "prices.csv", bars),
    "parquet file without its suffix": lambda at, bars: write(at / "prices", bars),
    "folder of months": lambda at, bars: by_month(at / "m", bars, ".parquet"),
    "folder of csv months": lambda at, bars: by_month(at / "m", bars, ".csv"),
    "glob of mixed files, orders and extras": lambda at, bars: by_ticker_mixed(at / "t", bars),
    "unsorted": lambda at, bars: write(at / "x.parquet", bars.sample(frac=1, random_state=1)),
    "categories": lambda at, bars: write(
        at / "x.parquet", bars.astype({"ticker": "category"}).assign(date=bars["date"].dt.date)
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows_and_versions(
    tmp_path: Path, quarter: pd.DataFrame, layout: str
) -> None:
    source = MarketDataFiles(str(LAYOUTS[layout](tmp_path, quarter)))
    pd.testing.assert_frame_equal(source.fetch_market_data(JAN, APR), quarter, check_exact=True)
    february = quarter[quarter["date"].between(FEB, MAR, inclusive="left")].reset_index(drop=True)
    pd.testing.assert_frame_equal(source.fetch_market_data(FEB, MAR), february, check_exact=True)
    versions, latest = source.poll(MONTHS)
    assert latest == quarter["date"].max()
    assert list(versions) == list(MONTHS)
    assert len(set(versions.values())) == 3
    assert versions == MarketDataFiles(str(write(tmp_path / "y.parquet", quarter))).versions(MONTHS)


def test_a_restated_price_marks_only_its_month(tmp_path: Path, quarter: pd.DataFrame) -> None:
    source = MarketDataFiles(str(write(tmp_path / "prices.csv", quarter)))
    before = source.versions(MONTHS)
    restated = quarter.copy()
    row = restated.index[restated["date"] >= FEB][7]
    restated.loc[row, "open"] = np.nextafter(restated.loc[row, "open"], 0)
    write(tmp_path / "prices.csv", restated)
    after = source.versions(MONTHS)
    assert [m for m in MONTHS if before[m] != after[m]] == [FEB]


def test_a_folder_is_read_without_its_hidden_files_and_folders(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "x.csv", three_bars())
    for hidden in (".checkpoints/x.csv", "_temporary/0/x.parquet", "sub/.x.csv", "_metadata"):
        write(tmp_path / hidden, three_bars())
    (tmp_path / "_SUCCESS").touch()
    assert len(fetch(tmp_path)) == 3


def test_a_month_that_is_in_no_file_is_empty_and_has_types(tmp_path: Path) -> None:
    source = MarketDataFiles(str(write(tmp_path / "prices.parquet", three_bars())))
    validate(MARKET_DATA_SCHEMA, source.fetch_market_data(FEB, MAR), "no rows")
    assert source.fetch_market_data(FEB, MAR).empty
    assert list(source.versions(MONTHS)) == [JAN]


def test_without_files_of_reports_there_are_none(tmp_path: Path) -> None:
    source = MarketDataFiles(str(tmp_path))
    reports = source.fetch_commitments_of_traders(JAN, APR)
    assert reports.empty
    assert list(validate(COMMITMENTS_OF_TRADERS_SCHEMA, reports, "no rows")) == REPORT_COLUMNS
    assert source.description == str(tmp_path)


# Types: what counts as a day, a ticker and a number in a file.

DAYS = pd.to_datetime(["2020-01-02", "2020-01-02", "2020-01-03"])


@pytest.mark.parametrize(
    "dates",
    [
        pa.array(DAYS).cast(pa.date32()),
        pa.array(DAYS).cast(pa.date64()),
        *(pa.array(DAYS).cast(pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array(DAYS.tz_localize("UTC")),
        pa.array(DAYS.tz_localize("America/New_York")).cast(pa.timestamp("us", "America/New_York")),
        pa.array(DAYS.tz_localize("Asia/Tokyo")).cast(pa.timestamp("s", "Asia/Tokyo")),
        pa.array(DAYS.strftime("%Y-%m-%d")),
        pa.array(DAYS.strftime("%Y-%m-%dT00:00:00Z")).cast(pa.large_string()),
    ],
    ids=lambda array: str(array.type),
)
def test_a_day_is_a_day_in_every_type(tmp_path: Path, dates: pa.Array) -> None:
    rest = pa.Table.from_pandas(three_bars().drop(columns="date"), preserve_index=False)
    pq.write_table(rest.append_column("date", dates), tmp_path / "x.parquet")
    source = MarketDataFiles(f"{tmp_path}/x.parquet")
    pd.testing.assert_frame_equal(fetch(source.pattern), fetch(write(tmp_path / "y", three_bars())))
    assert source.poll(MONTHS).latest_session == pd.Timestamp("2020-01-03")
    second = source.fetch_market_data(pd.Timestamp("2020-01-03"), pd.Timestamp("2020-01-04"))
    assert second["ticker"].tolist() == ["A"]
    first = source.fetch_market_data(JAN, pd.Timestamp("2020-01-03"))
    assert first["ticker"].tolist() == ["A", "B"]


@pytest.mark.parametrize("day", ["{}", "{} 00:00:00", "{}T00:00:00.000Z", "{} 00:00:00-05:00"])
def test_a_csv_day_is_iso_text(tmp_path: Path, day: str) -> None:
    dates = [day.format(text) for text in DAYS.strftime("%Y-%m-%d")]
    bars = fetch(write(tmp_path / "x.csv", three_bars(date=dates)))
    assert bars["date"].tolist() == [DAYS[0], DAYS[1], DAYS[2]]


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint64(), pa.int64(), pa.float32(), pa.float16(), pa.decimal128(12, 2)],
    ids=str,
)
def test_any_number_becomes_a_float(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.Table.from_pandas(three_bars(), preserve_index=False)
    prices = [Decimal(10), None, Decimal(11)] if pa.types.is_decimal(kind) else [10, None, 11]
    if kind == pa.float16():
        prices = [None if p is None else np.float16(p) for p in prices]
    at = table.column_names.index("volume")
    pq.write_table(
        table.set_column(at, "volume", pa.array(prices, type=kind)), tmp_path / "x.parquet"
    )
    volume = fetch(tmp_path / "x.parquet")["volume"]
    assert volume.dtype == np.float64
    np.testing.assert_array_equal(volume, [10.0, np.nan, 11.0])


def test_a_count_beyond_the_precision_of_a_float_is_rounded(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", three_bars(volume=[2**53 + 1, 2**60, 1]))
    assert fetch(path)["volume"].tolist() == [2.0**53, 2.0**60, 1.0]


def test_a_file_of_holes_only_is_holes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", three_bars(volume=None))
    assert pq.read_schema(path).field("volume").type == pa.null()
    assert fetch(path)["volume"].isna().all()
    path = write(tmp_path / "x.csv", three_bars(volume=None))
    assert fetch(path)["volume"].isna().all()


def test_a_polars_file_is_read(tmp_path: Path) -> None:
    day = datetime.date(2020, 1, 2)
    frame = pl.DataFrame({"date": [day], "ticker": ["A"], **{c: [1] for c in COLUMNS[2:]}})
    frame.with_columns(pl.col("ticker").cast(pl.Categorical)).write_parquet(tmp_path / "x.parquet")
    assert fetch(tmp_path / "x.parquet")["ticker"].tolist() == ["A"]


def test_csv_tickers_stay_as_written(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", three_bars(ticker=["NA", "0700", "TRUE"]))
    assert fetch(path)["ticker"].tolist() == ["0700", "NA", "TRUE"]


def test_csv_numbers_are_read_to_the_last_bit(tmp_path: Path) -> None:
    prices = np.random.default_rng(0).uniform(1e-3, 1e4, 3)
    path = write(tmp_path / "x.csv", three_bars(high=1e6, open=prices))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    read = fetch(path).sort_values(["date", "ticker"])["open"].to_numpy()
    assert read.tobytes() == prices.tobytes()


def test_csv_types_are_not_guessed_from_the_rows_above(tmp_path: Path) -> None:
    days = pd.bdate_range("1900-01-01", periods=45_000)
    bars = pd.DataFrame({"date": days, "ticker": "A"}).assign(
        **dict.fromkeys(COLUMNS[2:], 1), note=1
    )
    late = bars.index >= 44_000
    bars.loc[late, "volume"] = np.nan
    bars["note"] = bars["note"].astype(object).where(~late, "text")
    path = write(tmp_path / "x.csv", bars)
    assert path.stat().st_size > 1 << 20
    assert fetch(path, days[0], days[-1])["volume"].isna().sum() == 999


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, pa.compress], ids=["gz", "bz2", "zst"]
)
def test_a_compressed_csv_is_read(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    plain = write(tmp_path / "x.csv", three_bars())
    options = {"codec": "zstd", "asbytes": True} if pack is pa.compress else {}
    (tmp_path / "y.csv.packed").write_bytes(pack(plain.read_bytes(), **options))
    pd.testing.assert_frame_equal(fetch(tmp_path / "y.csv.packed"), fetch(plain))


def test_a_csv_as_windows_writes_it_is_read(tmp_path: Path) -> None:
    plain = write(tmp_path / "x.csv", three_bars())
    lines = plain.read_text().replace("\n", "\r\n")
    (tmp_path / "y.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    pd.testing.assert_frame_equal(fetch(tmp_path / "y.csv"), fetch(plain))


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_type_of_text_is_a_ticker(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.Table.from_pandas(three_bars(), preserve_index=False)
    tickers = pa.array(["A", "B", "A"]).cast(kind)
    pq.write_table(table.set_column(1, "ticker", tickers), tmp_path / "x.parquet")
    assert fetch(tmp_path / "x.parquet")["ticker"].tolist() == ["A", "B", "A"]


@pytest.mark.parametrize(
    "kind",
    [pa.decimal32(9, 4), pa.decimal64(18, 4), pa.decimal128(18, 4), pa.decimal256(50, 4)],
    ids=str,
)
def test_a_decimal_is_the_same_number_as_its_text(tmp_path: Path, kind: pa.DataType) -> None:
    numbers = np.arange(10_000, 90_000, 7)
    days = pd.date_range("1900-01-01", periods=len(numbers))
    bars = pd.DataFrame({"date": days, "ticker": "A"}).assign(**dict.fromkeys(COLUMNS[2:], 1.0))
    bars["high"] = numbers / 100
    prices = pa.array([Decimal(int(n)).scaleb(-2) for n in numbers], kind)
    table = pa.Table.from_pandas(bars, preserve_index=False).set_column(3, "high", prices)
    pq.write_table(table, tmp_path / "x.parquet")
    found = fetch(tmp_path / "x.parquet", days[0], days[-1])
    csv = fetch(write(tmp_path / "x.csv", bars), days[0], days[-1])
    pd.testing.assert_frame_equal(found, csv, check_exact=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_ticker_without_a_letter_is_missing(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"x{suffix}", three_bars(ticker=["A", "", "B"]))
    text = message(lambda: fetch(path))
    assert "ticker" in text
    assert "is missing" in text


def test_a_day_without_a_midnight_is_that_day(tmp_path: Path) -> None:
    """In Sao Paulo, 2 November 2004 began at one o'clock."""
    first, hours = 1_099_364_400, np.array([0, 0, 23])
    dates = pa.array(first + 3600 * hours, pa.timestamp("s", "America/Sao_Paulo"))
    table = pa.Table.from_pandas(three_bars(), preserve_index=False).set_column(0, "date", dates)
    pq.write_table(table, tmp_path / "x.parquet")
    found = fetch(tmp_path / "x.parquet", pd.Timestamp("2004-11-01"), pd.Timestamp("2004-12-01"))
    assert found["date"].dt.strftime("%d").tolist() == ["02", "02", "03"]


def test_an_unknown_time_zone_names_the_file_and_the_column(tmp_path: Path) -> None:
    dates = pa.array([1577923200000000] * 3, pa.timestamp("us", "China Standard Time"))
    table = pa.Table.from_pandas(three_bars(), preserve_index=False).set_column(0, "date", dates)
    pq.write_table(table, tmp_path / "x.parquet")
    source = MarketDataFiles(str(tmp_path / "x.parquet"))
    for text in (
        message(lambda: source.fetch_market_data(JAN, FEB)),
        message(lambda: source.versions(MONTHS)),
    ):
        assert text.startswith(f"{tmp_path}/x.parquet: column date has the time zone 'China Stand")


def test_a_damaged_parquet_file_is_an_error_within_a_second_and_never_a_wait(
    tmp_path: Path,
) -> None:
    """One byte of the file changed, at places all over it; some changes do no harm."""
    sound = write(tmp_path / "x.parquet", three_bars()).read_bytes()
    rng, told = np.random.default_rng(3), 0
    for at in rng.integers(0, len(sound), 300):
        damaged = bytearray(sound)
        damaged[at] ^= int(rng.integers(1, 256))
        (tmp_path / "x.parquet").write_bytes(damaged)
        began = time.perf_counter()
        try:
            fetch(tmp_path / "x.parquet")
        except DataError as error:
            told += str(error).startswith(str(tmp_path / "x.parquet"))
        assert time.perf_counter() - began < 1
    assert told > 50


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads = write(tmp_path / "x.csv", three_bars()), []
    load = files._load

    def load_slowly(*of: object) -> pa.Table:
        found = load(*of)  # type: ignore[arg-type]
        reads.append(found)
        if len(reads) <= restless:
            write(path, three_bars(close=9.0 + len(reads) / 10, high=20.0, low=1.0))
        return found

    monkeypatch.setattr(files, "_load", load_slowly)
    monkeypatch.setattr(files, "_PAUSE", 0.01)
    restless = 1
    assert fetch(path)["close"].tolist() == [9.1] * 3
    restless = 99
    assert message(lambda: fetch(path)).startswith(f"{path}: the file changes while it is read")


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    assert "is not a file" in message(lambda: fetch(tmp_path / "x.csv"))


# Files that have not changed are not read again.


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three files that are old enough to be kept."""
    monkeypatch.setattr(digest_cache, "_SETTLED", 0)
    for n, ticker in enumerate("ABC"):
        bars = three_bars(ticker=ticker)[int(n > 0) :].drop_duplicates("date")
        write(tmp_path / "prices" / f"{ticker}.csv", bars)
    time.sleep(0.02)
    return tmp_path


def reads_of(source: MarketDataFiles, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a poll reads."""
    found: list[str] = []
    load = files._load
    with monkeypatch.context() as patch:
        patch.setattr(
            files, "_load", lambda path, *of: (found.append(path.name), load(path, *of))[1]
        )
        source.versions(MONTHS)
    return found


def test_a_poll_reads_only_files_that_have_changed(
    settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source() -> MarketDataFiles:
        return MarketDataFiles(str(settled / "prices"), kept=settled / "kept.json")

    assert reads_of(source(), monkeypatch) == ["A.csv", "B.csv", "C.csv"]
    assert reads_of(source(), monkeypatch) == []
    write(settled / "prices" / "B.csv", three_bars(ticker="B", close=9.0, low=1.0)[:1])
    assert reads_of(source(), monkeypatch) == ["B.csv"]
    assert source().versions(MONTHS) == MarketDataFiles(str(settled / "prices")).versions(MONTHS)


def test_a_file_rewritten_with_its_old_size_and_time_is_read_again(
    settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MarketDataFiles(str(settled / "prices"), kept=settled / "kept.json")
    before, path = source.versions(MONTHS), settled / "prices" / "B.csv"
    state = path.stat()
    path.write_text(path.read_text().replace("10.0", "10.5"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert source.versions(MONTHS) != before


@pytest.mark.parametrize("damage", ["lost", "cut", "changed", "folder", "other"])
def test_kept_digests_that_are_lost_or_damaged_only_cost_time(settled: Path, damage: str) -> None:
    kept, pattern = settled / "kept.json", str(settled / "prices")
    expected = MarketDataFiles(pattern, kept=kept).versions(MONTHS)
    text = kept.read_text()
    kept.unlink()
    if damage == "cut":
        kept.write_text(text[: len(text) // 2])
    elif damage == "changed":
        kept.write_text(text.replace("2020-01", "2020-02"))
    elif damage == "folder":
        kept.mkdir()
    elif damage == "other":
        kept.write_bytes(b"\xff\xfe not ours")
    for _ in range(2):
        assert MarketDataFiles(pattern, kept=kept).versions(MONTHS) == expected


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path) -> None:
    """It may change again within the resolution of its time."""
    path, kept = write(tmp_path / "x.csv", three_bars()), tmp_path / "kept.json"
    MarketDataFiles(str(path), kept=kept).versions(MONTHS)
    assert not kept.exists()


def test_a_number_that_is_none_changes_its_month_and_is_told_when_fetched(tmp_path: Path) -> None:
    later = three_bars(date=DAYS + pd.DateOffset(months=1))
    path = write(tmp_path / "x.csv", pd.concat([three_bars(), later]))
    before = MarketDataFiles(str(path)).versions(MONTHS)
    write(path, pd.concat([three_bars(), later.assign(close=["10", "oops", "10"])]))
    after = MarketDataFiles(str(path)).versions(MONTHS)
    assert [m for m in MONTHS if before.get(m) != after.get(m)] == [FEB]


# Only the requested rows are read.


def test_a_bad_value_in_another_month_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "2020-01.csv", three_bars())
    later = three_bars(date=DAYS + pd.DateOffset(months=1), close=["10", "oops", "10"])
    write(tmp_path / "2020-02.csv", later)
    write(tmp_path / "2020-03.parquet", three_bars(date=DAYS + pd.DateOffset(months=2), low=-1.0))
    assert len(fetch(tmp_path, JAN, FEB)) == 3
    assert "oops" in message(lambda: fetch(tmp_path, FEB, MAR))
    assert "2020-03.parquet" in message(lambda: fetch(tmp_path, MAR, APR))


def test_row_groups_of_other_months_are_not_even_decoded(
    tmp_path: Path, quarter: pd.DataFrame
) -> None:
    path, january = tmp_path / "x.parquet", int((quarter["date"] < FEB).sum())
    with pq.ParquetWriter(
        path, pa.Table.from_pandas(quarter, preserve_index=False).schema, use_dictionary=False
    ) as file:
        for rows in (quarter[:january], quarter[january:]):
            file.write_table(pa.Table.from_pandas(rows, preserve_index=False))
    column = pq.read_metadata(path).row_group(1).column(COLUMNS.index("close"))
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 16] = b"\xff" * 16
    path.write_bytes(content)
    assert len(fetch(path, JAN, FEB)) == january
    assert str(path) in message(lambda: fetch(path, FEB, MAR))


# Bad input: every message names the file and the remedy.


@pytest.mark.parametrize("pattern", ["nowhere", "*.parquet", "folder"])
def test_no_match_names_the_pattern_and_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "_SUCCESS").touch()
    monkeypatch.chdir(tmp_path)
    for ask in (
        lambda: fetch(pattern),
        lambda: MarketDataFiles(pattern).versions(MONTHS),
    ):
        text = message(ask)
        for part in (repr(pattern), str(tmp_path), "HAWK_MARKET_DATA", "give a path"):
            assert part in text


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "is empty (0 bytes); write it again or remove it"),
    "picture.parquet": (b"\x89PNG\r\n\x1a\n\0\0\0,", "neither Parquet nor comma-separated CSV"),
    "notes.csv": (b"prices from the vendor\nA 10\n", "neither Parquet nor comma-separated CSV"),
    "semicolon.csv": (
        b"date;ticker;close\n",
        "neither Parquet nor comma-separated CSV (the header is separated by ';', not by commas)",
    ),
    "tabs.tsv": (b"date\tticker\tclose\n", "separated by '\\t', not by commas"),
    "archive.zip": (b"PK\x03\x04\0,", "it is an archive: unpack it"),
    "latin_header.csv": (
        "date,ticker,open,high,low,close,volume,Währung\n".encode("latin-1"),
        "the header is not UTF-8 text; write the file as UTF-8",
    ),
    "sixteen.csv": (",".join(COLUMNS).encode("utf-16"), "neither Parquet nor comma-separated CSV"),
    "cut.csv.gz": (
        gzip.compress(b",".join(c.encode() for c in COLUMNS) + b"\n" + b"x" * 999)[:40],
        "cannot be read: Truncated compressed stream",
    ),
    "header.csv": (",".join(COLUMNS).encode() + b"\n", "has no rows"),
    "cut.parquet": (b"PAR1" + b"x" * 99, "Parquet magic bytes not found in footer"),
    "wide.csv": (
        ",".join(COLUMNS).encode() + b"\n2020-01-02,A,1,1,1,1,1,1\n",
        "Row #2: Expected 7 columns, got 8",
    ),
    "latin.csv": (
        ",".join(COLUMNS).encode() + b"\n2020-01-02,\xe9,1,1,1,1,1\n",
        "cannot be read",
    ),
    "twice.csv": (",".join([*COLUMNS, "close"]).encode() + b"\n", "multiple columns named close"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_not_a_table_is_named_with_the_reason(tmp_path: Path, name: str) -> None:
    content, reason = UNREADABLE[name]
    write(tmp_path / "good.parquet", three_bars())
    (tmp_path / name).write_bytes(content)
    text = message(lambda: fetch(tmp_path))
    assert str(tmp_path / name) in text
    assert reason in text


def test_a_parquet_file_without_rows_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", three_bars()[:0])
    assert message(lambda: fetch(path)).startswith(f"{path}: the file has no rows")


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    write(tmp_path / "good.parquet", three_bars())
    (tmp_path / "gone.parquet").symlink_to(tmp_path / "nowhere")
    text = message(lambda: fetch(tmp_path))
    assert f"{tmp_path / 'gone.parquet'}: cannot be read: No such file or directory" in text
    assert "permissions" in text


@pytest.mark.parametrize("locked", ["prices/x.parquet", "prices/sub"])
def test_a_file_without_permission_is_named(tmp_path: Path, locked: str) -> None:
    write(tmp_path / "prices" / "x.parquet", three_bars())
    write(tmp_path / "prices" / "sub" / "y.parquet", three_bars())
    (tmp_path / locked).chmod(0)
    if os.access(tmp_path / locked, os.R_OK):
        pytest.skip("this user may read everything")
    text = message(lambda: fetch(tmp_path / "prices"))
    (tmp_path / locked).chmod(0o700)
    assert "cannot be read: Permission denied" in text
    assert "correct the file, its permissions" in text


def test_a_missing_column_names_the_columns_found_and_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", three_bars().rename(columns={"close": "Close"}))
    text = message(lambda: fetch(path))
    for part in (f"{path}: column close is missing", ", ".join(COLUMNS), "low, Close, volume"):
        assert part in text


@pytest.mark.parametrize(
    ("column", "values", "kind", "needed"),
    [
        ("close", ["10", "10", "10"], "string", "a number"),
        ("volume", [True, False, True], "bool", "a number"),
        ("high", DAYS, "timestamp[ns]", "a number"),
        ("ticker", [1, 2, 3], "int64", "text"),
        ("ticker", pd.Categorical([1, 2, 3]), "int64", "text"),
        ("date", [20200102, 20200102, 20200103], "int64", "a day"),
        ("date", None, "null", "a day"),
    ],
)
def test_a_wrong_type_names_the_column_and_both_types(
    tmp_path: Path, column: str, values: object, kind: str, needed: str
) -> None:
    path = write(tmp_path / "x.parquet", three_bars(**{column: values}))
    text = message(lambda: fetch(path))
    assert text.startswith(f"{path}: column {column} has type {kind}")
    assert f"needs {needed}" in text


@pytest.mark.parametrize("text", ["oops", "1,5", "10 ", "NA", "$10"])
def test_a_csv_value_that_is_not_a_number_names_the_bar(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "x.csv", three_bars(close=["10", text, "10"]))
    assert message(lambda: fetch(path)) == (
        f"{path}: B on 2020-01-02: close {text!r} is not a number; correct it, or leave the field "
        "empty for a hole"
    )


@pytest.mark.parametrize(
    "day", ["01/02/2020", "20200102", "2020-02-31", "2020-01-02 09:30", "2020-01-02x", "NaT", "2"]
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_text_that_is_not_a_day_names_the_value(tmp_path: Path, day: str, suffix: str) -> None:
    path = write(tmp_path / f"x{suffix}", three_bars(date=["2020-01-02", "2020-01-03", day]))
    text = message(lambda: fetch(path, JAN, APR))
    assert text.startswith(f"{path}: date {day!r} is not a day; write YYYY-MM-DD")


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_a_time_of_day_names_the_value(tmp_path: Path, zone: str | None) -> None:
    dates = (DAYS + pd.to_timedelta([0, 0, 570], unit="m")).tz_localize(zone)
    path = write(tmp_path / "x.parquet", three_bars(date=dates))
    text = message(lambda: fetch(path))
    assert text.startswith(f"{path}: date '2020-01-03 09:30:00")
    assert "timestamp at midnight" in text


def test_a_day_beyond_the_calendar_is_in_no_span_and_is_an_error_in_a_report(
    tmp_path: Path,
) -> None:
    far = datetime.date(9999, 12, 31)
    days = pa.array([datetime.date(2020, 1, 2), datetime.date(2020, 1, 2), far])
    bars = pa.Table.from_pandas(three_bars(), preserve_index=False)
    pq.write_table(bars.set_column(0, "date", days), tmp_path / "x.parquet")
    assert len(fetch(tmp_path / "x.parquet")) == 2
    reports = pa.Table.from_pandas(weeks()[:1], preserve_index=False)
    pq.write_table(
        reports.drop_columns("report_date").append_column("report_date", pa.array([far])),
        tmp_path / "r.parquet",
    )
    source = MarketDataFiles(f"{tmp_path}/x.parquet", f"{tmp_path}/r.parquet")
    found = message(lambda: source.fetch_commitments_of_traders(JAN, APR))
    assert found.startswith(f"{tmp_path}/r.parquet: report_date '9999-12-31")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"close": [10.0, 0.0, 10.0]}, ["B on 2020-01-02", "close 0.0", "must be positive"]),
        ({"open": [10.0, -1.0, 10.0]}, ["B on 2020-01-02", "open -1.0", "must be positive"]),
        ({"high": [10.0, 10.0, 9.0]}, ["A on 2020-01-03", "high is below low"]),
        ({"high": [10.0, np.inf, 10.0]}, ["B on 2020-01-02", "infinite"]),
        ({"volume": [1.0, -5.0, 1.0]}, ["B on 2020-01-02", "volume -5.0", "negative"]),
        ({"ticker": ["A", None, "A"]}, ["2020-01-02", "ticker", "is missing"]),
        ({"date": [DAYS[0], pd.NaT, DAYS[2]]}, ["B", "date", "is missing"]),
        ({"date": [DAYS[0]] * 3}, ["A on 2020-01-02", "more than once", "keep one"]),
    ],
    ids=["zero", "negative", "high", "infinite", "volume", "ticker", "date", "duplicate"],
)
def test_a_bad_bar_names_its_file_ticker_and_date(
    tmp_path: Path, suffix: str, columns: dict[str, object], parts: list[str]
) -> None:
    write(tmp_path / "a.parquet", three_bars(ticker=["X", "Y", "X"]))
    path = write(tmp_path / f"b{suffix}", three_bars(**columns))
    text = message(lambda: fetch(tmp_path))
    for part in (f"{path}: ", *parts, "Correct the source"):
        assert part in text


def test_a_bar_in_two_files_names_both(tmp_path: Path) -> None:
    one = write(tmp_path / "one.parquet", three_bars())
    write(tmp_path / "other.csv", three_bars(ticker=["C", "D", "C"]))
    two = write(tmp_path / "two.csv", three_bars()[2:])
    assert message(lambda: fetch(tmp_path)) == (f"A on 2020-01-03 is in {one} and {two}; keep one")
    assert len(fetch(tmp_path, JAN, pd.Timestamp("2020-01-03"))) == 4


def test_a_missing_price_stays_a_hole(tmp_path: Path) -> None:
    holes = three_bars(close=[np.nan, 10.0, 10.0], volume=[5.0, np.nan, 5.0])
    for suffix in (".csv", ".parquet"):
        bars = fetch(write(tmp_path / f"x{suffix}", holes))
        assert bars["close"].isna().tolist() == [True, False, False]
        assert bars["volume"].isna().tolist() == [False, True, False]


# Commitments of traders, by the same rules.


def weeks(**columns: object) -> pd.DataFrame:
    """Reports of gold and of A as of three Tuesdays of 2020; columns replaced, or removed if None.

    The first is released on Friday, the second, of a week with a holiday, on Monday.
    """
    reports = pd.DataFrame(
        {
            "report_date": pd.to_datetime(["2020-01-28", "2020-11-24", "2020-12-01"]).repeat(2),
            "release_date": pd.to_datetime(["2020-01-31", "2020-11-30", "2020-12-04"]).repeat(2),
            "contract": ["088691", "A"] * 3,
            **{name: np.arange(6.0) + 10 * n for n, name in enumerate(REPORT_COLUMNS[3:])},
        }
    )
    gone = [name for name, values in columns.items() if values is None]
    return reports.assign(**columns).drop(columns=gone)


def fetch_reports(
    pattern: object, start: pd.Timestamp = JAN, end: pd.Timestamp = NEXT_YEAR
) -> pd.DataFrame:
    return MarketDataFiles("prices", str(pattern)).fetch_commitments_of_traders(start, end)


ON_TIME = list(pd.date_range("2020-12-07", periods=5))
REPORT_LAYOUTS: dict[str, Callable[[Path, pd.DataFrame], object]] = {
    "parquet": lambda at, reports: write(at / "r.parquet", reports),
    "csv": lambda at, reports: write(at / "r.csv", reports[REPORT_COLUMNS[::-1]].assign(x=1)),
    "without releases": lambda at, reports: write(
        at / "r.csv", reports.drop(columns="release_date")
    ),
    "unsorted integers and dates": lambda at, reports: write(
        at / "r.parquet",
        reports.astype(dict.fromkeys(REPORT_COLUMNS[3:], int))
        .assign(report_date=reports["report_date"].dt.date)
        .sample(frac=1, random_state=1),
    ),
    "folder of both": lambda at, reports: (
        write(at / "f" / "a.csv", reports[:2].drop(columns="release_date")),
        write(at / "f" / "b.parquet", reports[2:]),
        at / "f",
    )[-1],
}


@pytest.mark.parametrize("layout", REPORT_LAYOUTS)
def test_every_layout_gives_the_same_reports_by_release(tmp_path: Path, layout: str) -> None:
    pattern = REPORT_LAYOUTS[layout](tmp_path, weeks())
    pd.testing.assert_frame_equal(fetch_reports(pattern), weeks(), check_exact=True)
    november = fetch_reports(pattern, pd.Timestamp("2020-11-30"), pd.Timestamp("2020-12-04"))
    pd.testing.assert_frame_equal(november, weeks()[2:4].reset_index(drop=True))
    empty = fetch_reports(pattern, FEB, MAR)
    assert list(validate(COMMITMENTS_OF_TRADERS_SCHEMA, empty, "no rows")) == REPORT_COLUMNS
    assert empty.empty


def test_a_release_date_in_the_file_is_kept(tmp_path: Path) -> None:
    stated = pd.to_datetime(["2020-02-10", "2020-12-02", "2020-12-07"]).repeat(2)
    path = write(tmp_path / "r.csv", weeks(release_date=stated))
    assert list(fetch_reports(path)["release_date"]) == list(stated)


def test_a_report_counts_in_the_version_of_the_month_of_its_release(tmp_path: Path) -> None:
    prices = str(write(tmp_path / "prices.csv", three_bars()))
    months = pd.date_range("2020-01-01", "2020-12-01", freq="MS")
    path = write(tmp_path / "r.csv", weeks())
    source = MarketDataFiles(prices, str(path))
    before, latest = source.poll(months)
    assert [f"{month:%m}" for month in before] == ["01", "11", "12"]
    assert latest == pd.Timestamp("2020-01-03")
    assert before[JAN] != MarketDataFiles(prices).versions(months)[JAN]
    revised = weeks()
    revised.loc[3, "open_interest"] += 1
    write(path, revised)
    after = source.versions(months)
    assert [f"{month:%m}" for month in months if before.get(month) != after.get(month)] == ["11"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"open_interest": [1.0, -5.0, 1, 1, 1, 1]}, ["A on 2020-01-28", "-5.0", "negative"]),
        ({"release_date": pd.Timestamp("2020-11-24")}, ["088691 on 2020-11-24", "on or before"]),
        ({"release_date": [pd.NaT, *ON_TIME]}, ["088691 on 2020-01-28", "release_date", "missing"]),
        (
            {"report_date": [pd.NaT, *ON_TIME], "release_date": None},
            ["088691", "report_date", "missing"],
        ),
        ({"contract": ["A"] * 6}, ["A on 2020-01-28", "more than once", "keep one"]),
    ],
    ids=["negative", "early", "no release", "no date", "duplicate"],
)
def test_a_bad_report_names_its_file_contract_and_date(
    tmp_path: Path, suffix: str, columns: dict[str, object], parts: list[str]
) -> None:
    path = write(tmp_path / f"r{suffix}", weeks(**columns))
    text = message(lambda: fetch_reports(path))
    for part in (f"{path}", *parts, "Correct the source"):
        assert part in text


def test_a_report_in_two_files_names_both(tmp_path: Path) -> None:
    one = write(tmp_path / "one.parquet", weeks())
    two = write(tmp_path / "two.csv", weeks(release_date=None)[3:4])
    assert message(lambda: fetch_reports(tmp_path)) == (
        f"A on 2020-11-24 is in {one} and {two}; keep one"
    )


def test_a_count_that_is_missing_stays_a_hole(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", weeks(commercial_long=[np.nan, 1, 2, 3, 4, 5]))
    assert list(fetch_reports(path)["commercial_long"].isna()) == [True] + [False] * 5


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"contract": None}, ["column contract is missing", "found report_date, release_date"]),
        ({"contract": [88691, 2] * 3}, ["column contract has type int64, needs text"]),
        ({"report_date": np.arange(6)}, ["column report_date has type int64, needs a day"]),
        ({"release_date": ["soon"] * 6}, ["release_date 'soon' is not a day"]),
        ({"open_interest": ["1", "?"] * 3}, ["open_interest has type", "needs a number"]),
    ],
    ids=["no contract", "number", "no date", "text", "no number"],
)
def test_a_file_of_reports_that_cannot_be_read_names_the_column(
    tmp_path: Path, columns: dict[str, object], parts: list[str]
) -> None:
    path = write(tmp_path / "r.parquet", weeks(**columns))
    text = message(lambda: fetch_reports(path))
    for part in (f"{path}: ", *parts):
        assert part in text


def test_a_csv_count_that_is_not_a_number_names_the_report(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", weeks(open_interest=["1", "2", "3", "1,000", "5", "6"]))
    text = message(lambda: fetch_reports(path))
    assert f"{path}: A on 2020-11-24: open_interest '1,000' is not a number" in text


def test_no_match_of_reports_names_their_own_setting(tmp_path: Path) -> None:
    text = message(lambda: fetch_reports(tmp_path / "*.csv"))
    assert text.startswith(f"HAWK_COMMITMENTS={str(tmp_path / '*.csv')!r} matches no file")
    assert "sample" not in text


# Real prices, if the file is present.

REAL = Path(
    os.environ.get(
        "HAWK_TEST_REAL_PRICES",
        Path(__file__).parents[2].parent / "shared" / "data" / "us12_ohlcv.parquet",
    )
)


@pytest.mark.skipif(not REAL.exists(), reason="no real prices on this machine")
def test_real_prices_are_read_as_pandas_reads_them() -> None:
    expected = pd.read_parquet(REAL)
    expected = expected.astype({"date": "datetime64[ns]", "ticker": object})
    expected = expected.sort_values(["date", "ticker"], ignore_index=True)[COLUMNS]
    source = MarketDataFiles(str(REAL))
    bars = source.fetch_market_data(pd.Timestamp("1900-01-01"), pd.Timestamp("2100-01-01"))
    pd.testing.assert_frame_equal(bars, expected, check_exact=True)
    latest = expected["date"].max()
    last = latest.to_period("M").to_timestamp()
    found = source.poll(pd.DatetimeIndex([last]))
    assert (list(found.versions), found.latest_session) == ([last], latest)
    month = source.fetch_market_data(last, last + pd.DateOffset(months=1))
    assert len(month) == (expected["date"] >= last).sum()
