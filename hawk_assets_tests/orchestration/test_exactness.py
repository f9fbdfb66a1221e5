"""However the months are cut up, the same numbers come out; all of it through Dagster."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest

from hawk_assets.commands.runs import run_stage
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.catalog import ATTRIBUTION, WEIGHTS
from hawk_assets_tests.pipelines import Desk, assert_same, open_desk, ragged_prices, real_prices

Tables = Mapping[TableKey, pd.DataFrame]
LONG = bool(os.environ.get("HAWK_TEST_LONG"))
ONE_BY_ONE = 100 if LONG else 4
"""How many months are materialised one by one, the last ones; all before them in one go."""


@dataclass(frozen=True)
class Market:
    """Prices, and the months of them that are looked at."""

    prices: pd.DataFrame
    first: str
    last: str

    def sessions(self) -> list[pd.Timestamp]:
        end = pd.Timestamp(f"{self.last}-01") + pd.offsets.MonthEnd()
        dates = self.prices["date"].unique()
        return sorted(d for d in dates if pd.Timestamp(f"{self.first}-01") <= d <= end)

    def until(self, session: pd.Timestamp) -> pd.DataFrame:
        return self.prices[self.prices["date"] <= session]


@pytest.fixture(scope="module", params=["ragged", "real"])
def market(request: pytest.FixtureRequest) -> Market:
    if request.param == "ragged":
        return Market(ragged_prices(), "2015-01", "2015-12")
    return Market(real_prices(), "2012-01", "2012-08")


@pytest.fixture(scope="module")
def whole(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Every table, computed in one go."""
    with open_market(tmp_path_factory.mktemp("whole"), market) as desk:
        assert desk.backfill() == {}
        return desk.tables()


def open_market(folder: Path, market: Market):  # type: ignore[no-untyped-def]
    return open_desk(folder, market.prices, market.last, market.first)


def assert_same_rows(found: Tables, expected: Tables, last: pd.Timestamp) -> None:
    """Equal up to a session; what is of whole months, up to the month before."""
    before = last.to_period("M").to_timestamp() - pd.Timedelta(days=1)
    for key, table in found.items():
        monthly = key[0].endswith("metrics") or key == ATTRIBUTION
        until = before if monthly else last
        assert_same({key: rows_until(table, until)}, {key: rows_until(expected[key], until)})


def rows_until(table: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    dated = next(c for c in ("date", "as_of", "month", "release_date") if c in table)
    return table[table[dated] <= last].reset_index(drop=True)


def refresh_session_by_session(
    desk: Desk, market: Market, sessions: Iterable[pd.Timestamp]
) -> None:
    for session in sessions:
        desk.feed(market.until(session))
        done, failed = desk.refresh()
        assert done
        assert not failed


def test_the_samples_exercise_what_they_are_for(whole: Tables) -> None:
    weights = whole[WEIGHTS]
    assert (weights["fallback"] == "min_variance").any()
    assert weights["weight"].round(6).nunique() > 4
    for (kind, *_), table in whole.items():
        if kind == "insights":
            assert table["signal"].abs().gt(0).mean() > 0.3


def test_months_in_ranges_of_seven_equal_one_go(
    market: Market, whole: Tables, tmp_path: Path
) -> None:
    with open_market(tmp_path, market) as desk:
        months = desk.pipeline.months
        for at in range(0, len(months), 7):
            part = months[at : at + 7]
            assert desk.backfill(part[0][:7], part[-1][:7]) == {}
        assert_same(desk.tables(), whole)


def test_months_one_by_one_all_stages_in_one_run_equal_one_go(
    market: Market, whole: Tables, tmp_path: Path
) -> None:
    with open_market(tmp_path, market) as desk:
        tables = list(desk.pipeline.catalog.values())
        months = desk.pipeline.months
        if before := months[:-ONE_BY_ONE]:
            assert desk.backfill(None, before[-1][:7]) == {}
        for month in months[-ONE_BY_ONE:]:
            done = run_stage(desk.pipeline, desk.instance, tables, month, month)
            assert done.failed == {}
        assert_same(desk.tables(), whole)


@pytest.mark.parametrize("at", [0.55, 0.8] if LONG else [0.55])
def test_prices_cut_off_at_any_date_give_the_same_rows_before_it(
    at: float, market: Market, whole: Tables, tmp_path: Path
) -> None:
    sessions = market.sessions()
    cut = sessions[int(at * len(sessions))]
    with open_desk(tmp_path, market.until(cut), f"{cut:%Y-%m}", market.first) as desk:
        assert desk.backfill() == {}
        found = desk.tables()
    assert_same_rows(found, whole, cut)


def test_sessions_one_by_one_equal_one_go(market: Market, whole: Tables, tmp_path: Path) -> None:
    """The last session of a month and the first four of the next, as they would come in."""
    sessions = market.sessions()
    turn = next(i for i, s in enumerate(sessions) if f"{s:%Y-%m}" == market.last)
    with open_market(tmp_path, market) as desk:
        desk.feed(market.until(sessions[turn - 2]))
        assert desk.backfill() == {}
        refresh_session_by_session(desk, market, sessions[turn - 1 : turn + 4])
        found = desk.tables()
    assert_same_rows(found, whole, sessions[turn + 3])


@pytest.mark.skipif(not LONG, reason="ten minutes; set HAWK_TEST_LONG=1")
def test_two_years_of_sessions_one_by_one_equal_one_go(tmp_path: Path) -> None:
    """Each month is the open one while its sessions come in, as it is on the clock."""
    market = Market(real_prices(), "2010-01", "2012-12")
    with open_market(tmp_path / "whole", market) as desk:
        assert desk.backfill() == {}
        whole = desk.tables()
    past = market.until(pd.Timestamp("2010-12-31"))
    with open_desk(tmp_path / "daily", past, "2010-12", market.first) as desk:
        assert desk.backfill() == {}
    new = [session for session in market.sessions() if session.year > 2010]
    for month, days in groupby(new, lambda session: f"{session:%Y-%m}"):
        with open_desk(tmp_path / "daily", past, month, market.first) as desk:
            refresh_session_by_session(desk, market, days)
            found = desk.tables()
    assert_same(found, whole)
