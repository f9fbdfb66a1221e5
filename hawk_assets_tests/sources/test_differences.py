"""What the source has changed, told apart: a new basis, a new name, a correction, a loss."""

import numpy as np
import pandas as pd
import pytest

from hawk_assets.sources.differences import (
    PRICES,
    describe_differences,
    find_differences,
)
from hawk_assets_tests.markets import ragged_market

PAIRS = list(PRICES)


def bars(*tickers: str, decimals: int = 4) -> pd.DataFrame:
    """A year of bars; holes where the ticker of the market has some."""
    market = ragged_market(years=1)
    found = market[market["ticker"].isin(tickers)].reset_index(drop=True)
    found[PAIRS] = found[PAIRS].round(decimals)
    return found.sort_values(["date", "ticker"], ignore_index=True)


def scaled(
    rows: pd.DataFrame, ticker: str, ratio: float, until: str = "2100", decimals: int = 4
) -> pd.DataFrame:
    """The prices of one ticker before a day times a ratio, rounded as vendors do."""
    at = (rows["ticker"] == ticker) & (rows["date"] < until)
    out = rows.copy()
    out.loc[at, PAIRS] = (out.loc[at, PAIRS] * ratio).round(decimals)
    return out


def lines(stored: pd.DataFrame, fetched: pd.DataFrame) -> list[str]:
    return describe_differences(find_differences(stored, fetched), "market_data")


def test_nothing_differs_between_equal_tables_and_new_rows_are_no_difference() -> None:
    stored = bars("FULL", "NANS")
    later = stored.iloc[[-1]].assign(date=pd.Timestamp("2016-01-04"))
    assert lines(stored, pd.concat([stored.sample(frac=1, random_state=1), later])) == []
    assert lines(stored.iloc[:0], stored) == []


def test_corrected_filled_emptied_and_removed_rows_are_told_apart() -> None:
    stored = bars("FULL", "NANS")
    fetched = stored.copy()
    changed, filled, removed = *stored.index[stored["close"].notna()][[10, 300]].tolist(), 400
    emptied = stored.index[stored["close"].isna()][0]
    fetched.loc[changed, "volume"] += 1
    fetched.loc[filled, "close"] = np.nan
    fetched.loc[emptied, "close"] = 5.0
    found = find_differences(stored, fetched.drop(index=removed).sample(frac=1, random_state=1))
    keys = ["date", "ticker"]
    assert found.restated.equals(
        stored.loc[sorted([changed, filled, emptied]), keys].reset_index(drop=True)
    )
    assert found.gone.equals(stored.loc[[removed], keys].reset_index(drop=True))
    assert not found.rebased
    assert not found.renamed


@pytest.mark.parametrize("decimals", [2, 3, 4, 12])
@pytest.mark.parametrize("ratio", [0.5, 0.1, 4.0, 0.9966, 0.99, 1 / 3, 1.5])
def test_a_split_or_a_dividend_is_one_line(ratio: float, decimals: int) -> None:
    stored = bars("FULL", "NANS", decimals=decimals)
    fetched = scaled(stored, "FULL", ratio, "2015-09-10", decimals)
    before = stored[(stored["ticker"] == "FULL") & (stored["date"] < "2015-09-10")]
    found = find_differences(stored, fetched)
    (only,) = found.rebased
    assert only.ratio == pytest.approx(ratio, rel=1e-3)
    assert (only.ticker, only.sessions) == ("FULL", len(before))
    assert only.last == before["date"].max()
    assert found.restated.empty
    (line,) = lines(stored, fetched)
    assert line.startswith(f"FULL re-based by {only.ratio:g} since 2015-01 (")
    assert line.endswith("to 2015-09-09): split or dividend")


def test_the_ratio_is_the_shortest_number_that_explains_the_prices() -> None:
    stored = bars("FULL", decimals=2)
    (line,) = lines(stored, scaled(stored, "FULL", 0.5, decimals=2))
    assert line.startswith("FULL re-based by 0.5 since 2015-01 (")


def test_volume_may_change_by_the_inverse_of_the_ratio() -> None:
    stored = bars("FULL")
    fetched = scaled(stored, "FULL", 0.5)
    fetched["volume"] *= 2
    assert len(lines(stored, fetched)) == 1
    fetched.loc[7, "volume"] *= 5
    assert [line.split()[0] for line in lines(stored, fetched)] == ["FULL", "restated:"]


def test_two_dividends_since_the_last_look_are_a_line_each() -> None:
    stored = bars("FULL")
    fetched = scaled(scaled(stored, "FULL", 0.99, "2015-09-10"), "FULL", 0.98, "2015-04-01")
    found = find_differences(stored, fetched)
    assert [round(part.ratio, 3) for part in found.rebased] == [0.970, 0.990]
    assert found.restated.empty


def test_a_correction_within_a_new_basis_is_restated_beside_it() -> None:
    stored = bars("FULL")
    fetched = scaled(stored, "FULL", 0.5)
    fetched.loc[50, "close"] *= 1.01
    fetched.loc[90, PAIRS] *= 1.07
    found = find_differences(stored, fetched)
    assert [part.ratio for part in found.rebased] == [0.5]
    assert found.restated["date"].tolist() == stored.loc[[50, 90], "date"].tolist()


def test_a_cent_more_is_a_correction_and_no_new_basis() -> None:
    stored = bars("FULL", decimals=2)
    fetched = stored.copy()
    fetched.loc[20:40, "close"] = (fetched.loc[20:40, "close"] + 0.01).round(2)
    found = find_differences(stored, fetched)
    assert not found.rebased
    assert len(found.restated) == fetched.loc[20:40, "close"].notna().sum()


def test_a_renamed_ticker_is_one_line_also_with_new_sessions_and_a_new_basis() -> None:
    stored = bars("FULL", "NANS")
    early, late = stored[stored["date"] < "2015-12-20"], stored
    fetched = late.assign(ticker=late["ticker"].replace("FULL", "META"))
    assert lines(early, fetched) == ["FULL is now META"]
    assert [line.split("(")[0] for line in lines(early, scaled(fetched, "META", 0.5))] == [
        "FULL is now META",
        "META re-based by 0.5 since 2015-01 ",
    ]


def test_a_new_name_may_come_with_corrections_and_a_hole() -> None:
    stored = bars("FULL", "NANS")
    fetched = stored.assign(ticker=stored["ticker"].replace("FULL", "META"))
    own = fetched.index[fetched["ticker"] == "META"]
    fetched.loc[own[[9, 40]], "close"] = fetched.loc[own[[9, 40]], "low"]
    found = lines(stored, fetched.drop(index=own[70]))
    assert [line.split(":")[0] for line in found] == [
        "FULL is now META",
        "restated",
        "no longer in the source",
    ]


def test_another_ticker_in_the_place_of_one_that_is_gone_is_no_new_name() -> None:
    stored = bars("FULL", "NANS")
    fetched = stored.assign(ticker=stored["ticker"].replace("FULL", "META"))
    fetched.loc[fetched["ticker"] == "META", PAIRS] **= 0.9
    found = find_differences(stored, fetched)
    assert not found.renamed
    assert set(found.gone["ticker"]) == {"FULL"}


def test_all_of_a_large_market_re_based_stays_a_screen_of_lines() -> None:
    days = pd.bdate_range("2015-01-01", periods=20)
    rows = pd.DataFrame({"date": np.repeat(days, 60), "ticker": [f"T{n}" for n in range(60)] * 20})
    rows = rows.assign(open=10.0, high=10.0, low=10.0, close=10.0, volume=1.0)
    found = lines(rows, rows.assign(open=5.0, high=5.0, low=5.0, close=5.0))
    assert len(found) == 21
    assert found[-1] == "and 40 more re-based or renamed"
