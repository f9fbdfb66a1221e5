"""Refresh after refresh on a source that changes its past: the tables are those of a backfill."""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest

from hawk_assets.orchestration.catalog import MARKET_DATA
from hawk_assets_tests.markets import ragged_market
from hawk_assets_tests.pipelines import Desk, assert_same, open_desk

LONG = bool(os.environ.get("HAWK_TEST_LONG"))
PRICES = ["open", "high", "low", "close"]
FIRST, LAST = ("2015-01", "2016-12") if LONG else ("2015-01", "2015-08")
BEGIN, REFRESHES, SESSIONS, COMPARED = (
    ("2015-12-31", 250, 1, 25) if LONG else ("2015-06-10", 6, 5, 3)
)


class Vendor:
    """A source that appends sessions, and changes what it has said before.

    :param rows: of all dates, also those to come
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        market = ragged_market(years=2).sort_values(["date", "ticker"], ignore_index=True)
        market[PRICES] = market[PRICES].round(4)
        first = ["FULL", "LATE", "NANS", "TICK"]
        self.rows = market[market["ticker"].isin(first)].reset_index(drop=True)
        self.waiting = market[market["ticker"].isin(["MISS", "HALT"])]
        self.names = 0
        self.today = pd.Timestamp(BEGIN)

    def known(self) -> pd.DataFrame:
        return self.rows[self.rows["date"] <= self.today].reset_index(drop=True)

    def a_ticker(self) -> str:
        return str(self.rng.choice(sorted(self.known()["ticker"].unique())))

    def split(self) -> None:
        """All prices are those of half a share, also the ones to come."""
        at = self.rows["ticker"] == self.a_ticker()
        self.rows.loc[at, PRICES] = (self.rows.loc[at, PRICES] / 2).round(4)
        self.rows.loc[at, "volume"] *= 2

    def dividend(self) -> None:
        at = (self.rows["ticker"] == self.a_ticker()) & (self.rows["date"] < self.today)
        self.rows.loc[at, PRICES] = (self.rows.loc[at, PRICES] * 0.9875).round(4)

    def rename(self) -> None:
        self.names += 1
        self.rows["ticker"] = self.rows["ticker"].replace(self.a_ticker(), f"NEW{self.names}")

    def correction(self) -> None:
        known = self.known()
        at = self.rng.choice(known.index, 3)
        keys = known.loc[at, ["date", "ticker"]].apply(tuple, axis=1)
        hit = self.rows[["date", "ticker"]].apply(tuple, axis=1).isin(set(keys))
        self.rows.loc[hit, "close"] = self.rows.loc[hit, "low"]

    def hole(self) -> None:
        """Rows that are neither the first nor the last of their ticker."""
        ticker = self.a_ticker()
        own = self.known().query("ticker == @ticker")["date"].sort_values()
        lost = self.rng.choice(own.iloc[1:-1], 2)
        self.rows = self.rows[~((self.rows["ticker"] == ticker) & self.rows["date"].isin(lost))]
        self.rows = self.rows.reset_index(drop=True)

    def late_ticker(self) -> None:
        """One more ticker, with all its past."""
        if self.waiting.empty:
            return
        name = self.waiting["ticker"].iloc[0]
        new = self.waiting[self.waiting["ticker"] == name]
        self.waiting = self.waiting[self.waiting["ticker"] != name]
        self.rows = pd.concat([self.rows, new]).sort_values(["date", "ticker"], ignore_index=True)

    @property
    def events(self) -> list[Callable[[], None]]:
        return [
            self.split,
            self.dividend,
            self.rename,
            self.correction,
            self.hole,
            self.late_ticker,
        ]

    def next_day(self, chance: float) -> None:
        later = self.rows.loc[self.rows["date"] > self.today, "date"]
        self.today = pd.DatetimeIndex(later.unique())[SESSIONS - 1]
        for event in self.events:
            if self.rng.random() < chance:
                event()


def equals_a_backfill(desk: Desk, vendor: Vendor, folder: Path) -> None:
    with open_desk(folder, vendor.known(), LAST, FIRST) as fresh:
        assert fresh.backfill() == {}
        assert_same(desk.tables(), fresh.tables())


@pytest.mark.parametrize("seed", [1, 2] if LONG else [1])
def test_after_every_refresh_the_tables_are_those_of_a_full_backfill(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor, seconds = Vendor(seed), []
    with open_desk(tmp_path / "desk", vendor.known(), LAST, FIRST) as desk:
        assert desk.backfill() == {}
        for day in range(1, REFRESHES + 1):
            vendor.next_day(chance=0.05 if LONG else 0.3)
            desk.feed(vendor.known())
            began = perf_counter()
            _, failed = desk.refresh()
            seconds.append(perf_counter() - began)
            assert set(failed.values()) == set()
            assert desk.pending() == set()
            raw = desk.tables()[MARKET_DATA]
            known = vendor.known().sort_values(["date", "ticker"], ignore_index=True)
            pd.testing.assert_frame_equal(raw, known[list(raw)], check_exact=True)
            if day % COMPARED == 0:
                equals_a_backfill(desk, vendor, tmp_path / f"afresh {day}")
    with capsys.disabled():
        print(f"\n{REFRESHES} refreshes, median {np.median(seconds):.1f} s")  # noqa: T201
