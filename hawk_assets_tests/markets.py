"""Small synthetic markets for tests: long market_data frames, seeded, not realistic.

``ragged_market`` has, within a few thousand rows, everything that real data does to a model in the
long run. ``mixed_market`` has exchanges with calendars of their own. ``random_walk`` is the market
on which no model may earn anything.
"""

from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from hawk_assets.model_states.commitments_of_traders import NUMBERS

PRICES = ["open", "high", "low", "close"]


def walk(ticker: str, dates: pd.DatetimeIndex, rng: np.random.Generator) -> pd.DataFrame:
    """One ticker's bars: independent normal log returns of 1 % a day, no drift, no hole.

    :return: date, ticker, open, high, low, close, volume; low <= open, close <= high
    """
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(dates))))
    opened = np.append(100.0, close[:-1])[: len(dates)] * np.exp(rng.normal(0, 0.002, len(dates)))
    reach = np.exp(np.abs(rng.normal(0.0, 0.004, (2, len(dates)))))
    return pd.DataFrame(
        {
            "date": dates,
            "ticker": ticker,
            "open": opened,
            "high": np.maximum(opened, close) * reach[0],
            "low": np.minimum(opened, close) / reach[1],
            "close": close,
            "volume": np.round(1e6 * np.exp(rng.normal(0.0, 0.3, len(dates)))),
        }
    )


def random_walk(tickers: int, bars: int, seed: int) -> pd.DataFrame:
    """Independent walks on the same business days from 2005 on."""
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2005-01-03", periods=bars)
    return pd.concat([walk(f"W{i:02d}", dates, rng) for i in range(tickers)], ignore_index=True)


def ragged_market(years: int = 6, seed: int = 11) -> pd.DataFrame:
    """Eight tickers, each with a problem of its own, on the business days from 2015 on.

    ======  ====================================================================================
    FULL    none
    LATE    listed after a sixth of the time
    GONE    delisted after five sixths
    MISS    rows missing: 2 % of them, 3 sessions in a row, and 9 in a row
    NANS    the same bars present but NaN; others lack only their volume or only their high
    FLAT    one price always, no volume
    HALT    one price for 80 sessions, after a fall of ten and a rise that is too small to undo it
    TICK    moves in ticks of 1 % of its price, so that equal closes and exact ties abound
    ======  ====================================================================================
    """
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2015-01-01", periods=261 * years)
    n = len(dates)
    names = ("FULL", "LATE", "GONE", "MISS", "NANS", "FLAT", "HALT", "TICK")
    bars = {name: walk(name, dates, rng) for name in names}

    holes = rng.random(n) < 0.02
    holes[2 * n // 3 : 2 * n // 3 + 3] = True
    holes[5 * n // 6 : 5 * n // 6 + 9] = True
    bars["LATE"] = bars["LATE"][n // 6 :]
    bars["GONE"] = bars["GONE"][: 5 * n // 6]
    bars["MISS"] = bars["MISS"][~holes]
    bars["NANS"].loc[holes, [*PRICES, "volume"]] = np.nan
    bars["NANS"].loc[rng.random(n) < 0.01, "volume"] = np.nan
    bars["NANS"].loc[rng.random(n) < 0.01, "high"] = np.nan
    bars["FLAT"] = bars["FLAT"].assign(**dict.fromkeys(PRICES, 40.0), volume=0.0)
    stop = 3 * n // 4
    fall = np.exp(np.interp(np.arange(n), [stop - 11, stop - 1, stop], [0.0, -0.2, -0.12]))
    bars["HALT"][PRICES] = bars["HALT"][PRICES].mul(fall, axis=0)
    halt = slice(stop + 1, stop + 80)
    bars["HALT"].loc[halt, PRICES] = bars["HALT"]["close"][stop]
    bars["HALT"].loc[halt, "volume"] = 0.0
    bars["TICK"][PRICES] = np.maximum(bars["TICK"][PRICES] / 20.0, 0.5).mul(20.0).round() / 20.0
    return pd.concat(bars.values(), ignore_index=True)


def mixed_market(years: float = 1.0, start: str = "2018-12-03", seed: int = 5) -> pd.DataFrame:
    """New York, Tokyo and two tickers that trade on every day, each with a calendar of its own.

    ========  ==================================================================================
    NY_FULL   every New York session
    NY_HOLE   rows missing, and rows without prices: 3 % of each
    NY_HALT   no row for ten weeks, then 60 % lower
    NY_LATE   listed after a quarter of the time
    NY_GONE   delisted after two thirds
    TK_FULL   every Tokyo session: weekdays, but for the new year and a golden week of ten days
    TK_HOLE   rows missing, 5 %
    COIN      every day
    COIN_OFF  every day but for 5 %, and a whole week
    ========  ==================================================================================

    There are also rows of all tickers without a price, on a Sunday and on a Monday: no session.
    """
    rng = np.random.default_rng(seed)
    days = pd.date_range(start, periods=round(365 * years), freq="D")
    weekdays = days[days.weekday < 5]
    new_york = weekdays.difference(USFederalHolidayCalendar().holidays("2000", "2040"))
    closed = pd.DatetimeIndex([])
    for year in range(days[0].year, days[-1].year + 2):
        closed = closed.union(pd.date_range(f"{year - 1}-12-31", f"{year}-01-03"))
        closed = closed.union(pd.date_range(f"{year}-04-27", f"{year}-05-06"))
    calendars = {
        **dict.fromkeys(("NY_FULL", "NY_HOLE", "NY_HALT", "NY_LATE", "NY_GONE"), new_york),
        **dict.fromkeys(("TK_FULL", "TK_HOLE"), weekdays.difference(closed)),
        **dict.fromkeys(("COIN", "COIN_OFF"), days),
    }
    bars = {ticker: walk(ticker, dates, rng) for ticker, dates in calendars.items()}

    def cut(ticker: str, lost: "np.ndarray[Any, Any]") -> None:
        bars[ticker] = bars[ticker][~lost].reset_index(drop=True)

    n = len(new_york)
    halt = slice(n // 2, n // 2 + 50)
    bars["NY_HALT"].loc[halt.stop :, PRICES] *= 0.4
    cut("NY_HALT", np.isin(np.arange(n), np.arange(n)[halt]))
    cut("NY_LATE", np.arange(n) < n // 4)
    cut("NY_GONE", np.arange(n) > 2 * n // 3)
    cut("NY_HOLE", rng.random(n) < 0.03)
    bars["NY_HOLE"].loc[rng.random(len(bars["NY_HOLE"])) < 0.03, [*PRICES, "volume"]] = np.nan
    cut("TK_HOLE", rng.random(len(bars["TK_HOLE"])) < 0.05)
    off = rng.random(len(days)) < 0.05
    off[len(days) // 3 : len(days) // 3 + 7] = True
    cut("COIN_OFF", off)
    table = pd.concat(bars.values(), ignore_index=True)
    monday = days[(days.weekday == 0) & (np.arange(len(days)) > len(days) // 3)][0]
    empty = [monday - pd.Timedelta(days=1), monday]
    table = table[~table["date"].isin(empty)]
    blank = pd.MultiIndex.from_product([empty, list(bars)], names=["date", "ticker"])
    return pd.concat([table, blank.to_frame(index=False)], ignore_index=True)


def zigzag_market() -> pd.DataFrame:
    """1000 bars of one ticker whose log close rises by 0.03 and falls by 0.01 in turn.

    Each bar opens at the close before it; high and low are the larger and the smaller of the two.
    """
    closes = 100.0 * np.exp(np.cumsum([0.0, *([0.03, -0.01] * 500)]))
    return pd.DataFrame(
        {
            "date": pd.bdate_range("2015-01-01", periods=1000),
            "ticker": "ZIG",
            "open": closes[:-1],
            "high": np.maximum(closes[:-1], closes[1:]),
            "low": np.minimum(closes[:-1], closes[1:]),
            "close": closes[1:],
            "volume": 1e6,
        }
    )


@cache
def weekly_reports(ticker: str) -> pd.DataFrame:
    """Commitments of traders from 2001 on, in a contract with the ticker's name: positions as of
    Tuesday, released on Friday. They depend on the ticker's name only."""
    rng = np.random.default_rng(crc32(ticker.encode()))
    dates = pd.date_range("2001-01-02", "2021-12-28", freq="W-TUE")
    walks = 1e5 * np.exp(np.cumsum(rng.normal(0.0, 0.05, (len(dates), len(NUMBERS))), axis=0))
    return pd.DataFrame(
        {
            "report_date": dates,
            "release_date": dates + pd.Timedelta(days=3),
            "contract": ticker,
            **dict(zip(NUMBERS, np.round(walks.T), strict=True)),
        }
    )
