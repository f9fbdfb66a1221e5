"""What the source changes in the past, through the whole pipeline: refresh = full backfill."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.commands.runs import run_stage
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.orchestration.catalog import MARKET_DATA
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.source_record import change_source
from hawk_assets_tests.pipelines import MODELS, Desk, assert_same, open_desk, ragged_prices, stored

LAST = "2015-12"
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backfilled")
    with open_desk(folder, prices(), LAST, models=MODELS[1:]) as desk:
        assert desk.backfill() == {}
    return folder


@pytest.fixture
def desk(backfilled: Path, tmp_path: Path) -> Iterator[Desk]:
    shutil.copytree(backfilled, tmp_path / "desk")
    with open_desk(tmp_path / "desk", None, LAST, models=MODELS[1:]) as desk:
        change_source(desk.pipeline.storage, desk.pipeline.source)  # it went with the folder
        yield desk


def prices() -> pd.DataFrame:
    return ragged_prices().sort_values(["date", "ticker"], ignore_index=True)


def follows(desk: Desk) -> None:
    """The tables are those of a full backfill of the source, and nothing is left to do."""
    assert desk.pending() == set()
    path = Path(desk.settings.storage).parent
    source = pd.read_parquet(path / "prices.parquet")
    with open_desk(path / "afresh", source, LAST, models=MODELS[1:]) as fresh:
        assert fresh.backfill() == {}
        assert_same(stored(desk.settings.storage), fresh.tables())


def split(rows: pd.DataFrame) -> pd.DataFrame:
    at = (rows["ticker"] == "FULL") & (rows["date"] < "2015-12-10")
    rows.loc[at, PRICES] /= 2
    rows.loc[at, "volume"] *= 2
    return rows


def without(rows: pd.DataFrame, first: str, last: str, *tickers: str) -> pd.DataFrame:
    at = rows["date"].between(first, last)
    return rows[~(at & rows["ticker"].isin(tickers or rows["ticker"].unique()))]


CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a split": (split, "FULL re-based by 0.5 since 2015-01 ("),
    "a new name": (lambda r: r.replace({"ticker": {"FULL": "META"}}), "FULL is now META"),
    "a hole": (
        lambda r: without(r, "2015-03-10", "2015-03-12", "FULL"),
        "no longer in the source: 3 rows of market_data from 2015-03-10 to 2015-03-12, the first "
        "FULL on 2015-03-10",
    ),
    "a month gone": (
        lambda r: without(r, "2015-06-01", "2015-06-30"),
        "no longer in the source: ",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_refresh_follows_the_source_and_says_what_it_has_changed(desk: Desk, change: str) -> None:
    changed, line = CHANGES[change]
    desk.feed(changed(prices()))
    assert desk.pending()
    runs, failed = desk.refresh()
    assert not failed
    (found,) = [line for run in runs for line in run.warnings]
    assert found.startswith(line)
    follows(desk)


SHORTER: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str]] = {
    "ends early": (
        lambda r: without(r, "2015-10-21", "2016"),
        "the source ends on 2015-10-20, market_data on 2015-12-31",
        "2015-10",
    ),
    "starts late": (
        lambda r: without(r, "2015", "2015-02-15"),
        "the source starts on 2015-02-16, market_data on 2015-01-01",
        "2015-01",
    ),
    "ends early for a ticker": (
        lambda r: without(r, "2015-11-11", "2016", "FULL"),
        "FULL ends on 2015-11-10 in the source, on 2015-12-31 in market_data",
        "2015-11",
    ),
    "starts late for a ticker": (
        lambda r: without(r, "2015", "2015-04-30", "FULL"),
        "FULL starts on 2015-05-01 in the source, on 2015-01-01 in market_data",
        "2015-01",
    ),
    "no longer has a ticker": (
        lambda r: r[r["ticker"] != "FULL"],
        "the source no longer has FULL, which is in market_data from 2015-01-01 to 2015-12-31",
        "2015-01",
    ),
}


@pytest.mark.parametrize("how", SHORTER)
def test_a_shorter_source_is_refused_until_somebody_accepts_it(desk: Desk, how: str) -> None:
    shorten, what, first = SHORTER[how]
    before = stored(desk.settings.storage)
    desk.feed(shorten(prices()))
    reason = (
        f"{what}: is the source complete? To follow it and drop the rows: hawk backfill "
        f"--from {first}-01"
    )
    for _ in range(2):
        _, failed = desk.refresh()
        assert failed[MARKET_DATA] == reason
        assert desk.pending()
        assert_same(stored(desk.settings.storage), before)
    assert desk.backfill(first, None, "market_data") == {}
    raw = desk.pipeline.storage.read(MARKET_DATA, months_of(desk.pipeline.months))
    expected = shorten(prices()).reset_index(drop=True)[raw.columns]
    pd.testing.assert_frame_equal(raw, expected, check_exact=True)
    assert MARKET_DATA[0] not in {table for table, _ in desk.pending()}


def test_a_source_that_is_whole_again_is_stored_as_before(desk: Desk) -> None:
    before = stored(desk.settings.storage)
    desk.feed(without(prices(), "2015-10-21", "2016"))
    assert desk.refresh()[1]
    desk.feed(prices())
    assert not desk.refresh()[1]
    assert desk.pending() == set()
    assert_same(stored(desk.settings.storage), before)


def test_one_month_alone_shows_the_end_of_a_ticker_by_the_months_after_it(desk: Desk) -> None:
    """A run of the month that is cut sees, in the months stored after it, that it is no hole."""
    desk.feed(without(prices(), "2015-10-21", "2016"))
    raw = [desk.pipeline.catalog[MARKET_DATA]]
    result = run_stage(desk.pipeline, desk.instance, raw, "2015-10-01", "2015-10-01")
    assert result.failed[MARKET_DATA].startswith("the source ends on 2015-10-20")
    desk.feed(without(prices(), "2015-10-21", "2015-10-31", "FULL"))
    result = run_stage(desk.pipeline, desk.instance, raw, "2015-10-01", "2015-10-01")
    assert result.failed == {}
    assert result.warnings[0].startswith("no longer in the source: ")


def test_without_a_history_nothing_is_compared(tmp_path: Path) -> None:
    with (
        open_desk(tmp_path, prices(), LAST, models=MODELS[1:]) as desk,
        pytest.raises(MissingMonthError, match="hawk backfill"),
    ):
        desk.refresh()
