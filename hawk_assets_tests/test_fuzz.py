"""Whatever bytes a file of prices, a stored table or a command line has: read, or an error of ours.

HAWK_TEST_FUZZ is how many inputs each test tries, such as 50000; by default a quick sample.
"""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hawk_assets import cli
from hawk_assets.commands.selection import select_months, select_tables
from hawk_assets.core.errors import HawkError
from hawk_assets.core.schemas import MARKET_DATA_SCHEMA, validate
from hawk_assets.models import discover
from hawk_assets.orchestration.catalog import build_catalog
from hawk_assets.orchestration.settings import Settings
from hawk_assets.sources.local import MarketDataFiles
from hawk_assets.storage.tables import Tables
from hawk_assets_tests.pipelines import ragged_prices

INPUTS = int(os.environ.get("HAWK_TEST_FUZZ", "0"))
START, END = pd.Timestamp("2015-01-01"), pd.Timestamp("2015-02-01")
KEY, MONTHS = ("market_data",), pd.DatetimeIndex(["2015-01-01"])
ENDED_THE_PROCESS = [46_991]
"""Of Parquet files: statistics of a column that has two types abort pyarrow."""

PARTS = [b",", b"\n", b'"', b"\0", b"-", b"1e400", b"nan", b"\xff", b"2015-01-05", b"[/]", b"\r"]


def bars() -> pd.DataFrame:
    prices = ragged_prices()
    some = prices[(prices["date"] < "2015-01-09") & prices["ticker"].isin(["FULL", "TICK"])]
    return some.sort_values(["date", "ticker"], ignore_index=True)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few bits flipped, bytes replaced, cut, doubled or put in."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at, kind = rng.randrange(len(out) or 1), rng.randrange(6)
        if kind == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at] = rng.randrange(256)
        elif kind == 2:
            del out[at : at + rng.choice([1, 2, 20, 10_000])]
        elif kind == 3:
            out[at:at] = out[at : at + rng.choice([1, 10, 200])]
        else:
            out[at:at] = rng.choice(PARTS)
    return bytes(out)


def refused_or(read: Callable[[], pd.DataFrame]) -> pd.DataFrame | None:
    """What is read; None for an error of ours."""
    with suppress(HawkError):
        return read()
    return None


@pytest.fixture(params=["csv", "parquet"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / f"prices.{request.param}"
    (bars().to_csv if request.param == "csv" else bars().to_parquet)(file, index=False)
    return file


def test_any_file_of_prices_is_read_or_refused(source: Path) -> None:
    """And what is read is valid: no nonsense is accepted."""
    content = source.read_bytes()
    read = 0
    for seed in [*ENDED_THE_PROCESS, *range(INPUTS or 250)]:
        source.write_bytes(mutated(content, random.Random(seed)))
        files = MarketDataFiles(str(source))
        found = refused_or(lambda files=files: files.fetch_market_data(START, END))  # type: ignore[misc]
        if found is not None:
            read += 1
            validate(MARKET_DATA_SCHEMA, found, "prices")
        with suppress(HawkError):
            files.poll(MONTHS)
    assert 0 < read < (INPUTS or 250)


def test_text_that_is_no_text_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.parquet"
    bars().to_parquet(file, index=False, compression="none", use_dictionary=False)
    file.write_bytes(file.read_bytes().replace(b"TICK", b"TIC\xde"))
    with pytest.raises(HawkError, match=r"prices.parquet: cannot be read: .*can't decode"):
        MarketDataFiles(str(file)).fetch_market_data(START, END)


def test_a_stored_table_with_other_bytes_is_the_same_table_or_refused(tmp_path: Path) -> None:
    store = Tables(str(tmp_path))
    store.write(KEY, bars(), MONTHS, pa.Schema.from_pandas(bars(), preserve_index=False))
    (file,) = tmp_path.rglob("2015-01-01.parquet")
    content = file.read_bytes()
    for seed in range(INPUTS or 500):
        other = mutated(content, random.Random(seed))
        file.write_bytes(other)
        found = refused_or(lambda: Tables(str(tmp_path)).read(KEY, MONTHS))
        if found is not None:
            pd.testing.assert_frame_equal(found, bars(), check_exact=True)


WORDS = st.one_of(
    st.sampled_from(
        [
            *cli.cli.commands,
            *[
                "--from",
                "--to",
                "--select",
                "--json",
                "--date",
                "--hold",
                "--help",
                "-h",
                "--",
                "-",
            ],
        ]
    ),
    st.sampled_from(["2015-01", "2015-01-01", "weights", "2015-13", "0", "", "[/]", "\udcff"]),
    st.text(max_size=12),
    st.dates().map(str),
)


@settings(max_examples=INPUTS or 300, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_any_command_line_is_understood_or_refused(words: list[str]) -> None:
    with suppress(click.exceptions.Exit, click.ClickException, HawkError):
        name, command, rest = cli.cli.resolve_command(click.Context(cli.cli), words or ["status"])
        assert command
        given = command.make_context(name, rest).params
        if "first" in given:
            first, last = select_months(months(), given["first"], given["last"])
            assert first <= last
        if "select" in given:
            assert select_tables(CATALOG, given["select"])
        if "session" in given:
            cli._parse_date(given["session"])


def months() -> list[str]:
    return [f"{month:%Y-%m-%d}" for month in pd.date_range("2014-06", "2015-06", freq="MS")]


DEFAULTS = Settings()
CATALOG = build_catalog(discover(), DEFAULTS.simulation, DEFAULTS.aggregation, DEFAULTS.sizing)
