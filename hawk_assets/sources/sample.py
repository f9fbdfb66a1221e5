"""The built-in market: synthetic, so that everything can be tried without data.

Nothing in it happened. It has the features of real data, good and bad: sectors that move together,
fat tails, quiet and volatile times, trends that end, late listings, a delisting, holes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.core.sessions import BARS_PER_YEAR
from hawk_assets.core.types import Array
from hawk_assets.sources.base import MarketDataSource
from hawk_assets.sources.release import release_dates

SECTORS = ("ENR", "FIN", "HLT", "IND", "TEC")
TICKERS = tuple(f"{sector}{n}" for sector in SECTORS for n in range(1, 6))
BILL, CONSTANT, DELISTED, VOLATILE = "FIN5", "HLT5", "IND5", "TEC5"
YEARS_TO_DELISTING = 9
YEARS_TO_LISTING = {"ENR4": 2, "HLT4": 5, "TEC4": 8}
CONTRACTS = ("ENR1", "ENR2", "FIN1", "FIN2", "HLT1", "IND1", "TEC1", "TEC2")
REPORTS_BEFORE_START = pd.DateOffset(months=42)

_PRICES_BEFORE_START = pd.DateOffset(years=4)
_TICK = 0.01
_YEARLY_DRIFT = 0.06
_MARKET_VOL, _SECTOR_VOL, _OWN_VOL = 0.13, 0.10, (0.10, 0.28)
_N_FACTORS = 1 + len(SECTORS) + len(TICKERS)
_REGIME_DAYS = 120
# One row per regime (rise, range, fall): share of time, drift in standard deviations per day, pull
# towards the recent average, volatility. The drifts average to 0 and are small compared with the
# noise: trend followers and mean reversion both have good years and bad ones.
_REGIMES = np.array(
    [
        [0.40, 0.045, 0.00, 0.85],
        [0.40, 0.000, 0.03, 0.90],
        [0.20, -0.090, 0.00, 1.40],
    ]
)
_PULL_MEMORY = 0.9
_GARCH_NEWS, _GARCH_MEMORY = 0.06, 0.92
_TAIL = 6.0


@dataclass(frozen=True)
class SampleMarket(MarketDataSource):
    """25 tickers and weekly commitments of traders for 8 of them. Synthetic.

    The data of a date depends only on ``start`` and ``seed``: a later ``end`` only appends. Reports
    begin 3.5 years before ``start``, so that a three-year rank is ready on the first day.

    :param start: bars begin on the first session on or after it
    :param end: the day after the last day; None is today in UTC, determined at each call
    :param seed: each seed gives a different market
    """

    start: pd.Timestamp
    end: pd.Timestamp | None = None
    seed: int = 7

    @property
    def description(self) -> str:
        return f"built-in sample market (synthetic, seed {self.seed})"

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        bars = _between(self._history().bars, "date", start, end)
        return validate(MARKET_DATA_SCHEMA, bars, self.description)

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        reports = _between(self._history().reports, "release_date", start, end)
        return validate(COMMITMENTS_OF_TRADERS_SCHEMA, reports, self.description)

    def _history(self) -> "_History":
        return _generate(self.start, today() if self.end is None else self.end, self.seed)


def today() -> pd.Timestamp:
    """The current day in UTC, the same in every container."""
    return pd.Timestamp.now("UTC").tz_localize(None).normalize()


class _History(NamedTuple):
    bars: pd.DataFrame
    reports: pd.DataFrame


@lru_cache(maxsize=1)
def _generate(start: pd.Timestamp, end: pd.Timestamp, seed: int) -> _History:
    """The whole market before ``end``.

    There is one random stream per quantity, drawn day by day, and sums and recursions only run
    forward. So a later end does not change a bit of the earlier data.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
    traits, regimes, shocks, shapes, flaws, positions = streams
    holidays = USFederalHolidayCalendar().holidays(start - _PRICES_BEFORE_START, end)
    weekdays = pd.bdate_range(start - _PRICES_BEFORE_START, end, inclusive="left")
    days = weekdays[~weekdays.isin(holidays)]
    returns, vol = _log_returns(len(days), traits, regimes, shocks)
    path = np.log(traits.uniform(20, 200, len(TICKERS))) + np.cumsum(returns, axis=0)
    reports = _reports(days, path, holidays, start - REPORTS_BEFORE_START, positions)
    return _History(
        _bars(days, path, vol, start, shapes, flaws),
        reports[reports["release_date"] < end].reset_index(drop=True),
    )


def _factors(
    n_days: int, regimes: np.random.Generator, shocks: np.random.Generator
) -> tuple[Array, Array]:
    """Daily returns, of about unit variance, of the market, the sectors and each ticker's own part.

    GARCH(1, 1) with Student t shocks (Bollerslev, Review of Economics and Statistics, 1987). A
    regime per factor, 120 days on average, sets its drift, its volatility and its pull.

    :return: the returns and their conditional volatility, each ``(n_days, n_factors)``
    """
    draws = regimes.random((n_days, _N_FACTORS, 2))
    begins = np.where(draws[..., 0] < 1 / _REGIME_DAYS, np.arange(n_days)[:, None], 0)
    since = np.maximum.accumulate(begins, axis=0)
    kinds = np.searchsorted(np.cumsum(_REGIMES[:, 0]), draws[..., 1], side="right")
    _, drift, pull, level = _REGIMES.T[:, np.take_along_axis(kinds, since, axis=0)]
    news = shocks.standard_t(_TAIL, (n_days, _N_FACTORS)) * np.sqrt((_TAIL - 2) / _TAIL)
    returns, vol = np.empty_like(news), np.empty_like(news)
    variance, gap = np.ones(_N_FACTORS), np.zeros(_N_FACTORS)
    for day in range(n_days):
        vol[day] = np.sqrt(variance)
        news[day] *= vol[day]
        returns[day] = drift[day] - pull[day] * gap + level[day] * news[day]
        gap = _PULL_MEMORY * gap + returns[day]
        variance = 1 + _GARCH_NEWS * (news[day] ** 2 - 1) + _GARCH_MEMORY * (variance - 1)
    return returns, vol * level


def _log_returns(
    n_days: int,
    traits: np.random.Generator,
    regimes: np.random.Generator,
    shocks: np.random.Generator,
) -> tuple[Array, Array]:
    """Daily log returns and their conditional volatility, each ``(n_days, n_tickers)``."""
    n = len(TICKERS)
    drift = np.full(n, _YEARLY_DRIFT)
    market = _MARKET_VOL * traits.uniform(0.6, 1.4, n)
    sector = _SECTOR_VOL * traits.uniform(0.7, 1.3, n)
    own = traits.uniform(*_OWN_VOL, n)
    for ticker, moves in ((BILL, (0.02, 0, 0, 0.004)), (CONSTANT, (0, 0, 0, 0))):
        at = TICKERS.index(ticker)
        drift[at], market[at], sector[at], own[at] = moves
    own[TICKERS.index(VOLATILE)] = 0.68
    factors, vol = _factors(n_days, regimes, shocks)
    parts = (
        (market, np.zeros(n, dtype=int)),
        (sector, 1 + np.repeat(np.arange(len(SECTORS)), n // len(SECTORS))),
        (own, 1 + len(SECTORS) + np.arange(n)),
    )
    per_day = np.sqrt(BARS_PER_YEAR)
    returns, variance = np.tile(drift / BARS_PER_YEAR, (n_days, 1)), np.zeros((n_days, n))
    for size, columns in parts:
        returns += size / per_day * factors[:, columns]
        variance += (size / per_day * vol[:, columns]) ** 2
    return returns, np.sqrt(variance)


def _bars(
    days: pd.DatetimeIndex,
    path: Array,
    vol: Array,
    start: pd.Timestamp,
    shapes: np.random.Generator,
    flaws: np.random.Generator,
) -> pd.DataFrame:
    """Bars around the closes ``exp(path)``, where listed, with their holes.

    :param path: log close, ``(n_days, n_tickers)``
    :param vol: volatility of the day's log return, the same shape
    :return: the columns of market_data from ``start`` on, by date and ticker
    """
    gap, up, down, activity = np.moveaxis(shapes.standard_normal((*path.shape, 4)), 2, 0)
    close = np.maximum(np.round(np.exp(path), 4), _TICK)
    before = np.concatenate([close[:1], close[:-1]])
    opening = np.maximum(np.round(before * np.exp(0.35 * vol * gap), 4), _TICK)
    high = np.round(np.maximum(opening, close) * np.exp(0.4 * vol * np.abs(up)), 4)
    low = np.round(np.minimum(opening, close) * np.exp(-0.4 * vol * np.abs(down)), 4)
    low = np.maximum(low, _TICK)
    volume = np.round(1e6 * np.exp(0.35 * activity + 0.3 * np.abs(up)))

    flaw = flaws.random(path.shape)
    close[(flaw > 0.0030) & (flaw < 0.0035)] = np.nan
    for column in (high, low):
        column[(flaw > 0.0035) & (flaw < 0.0040)] = np.nan
    volume[(flaw > 0.0040) & (flaw < 0.0050)] = np.nan
    volume[(flaw > 0.0050) & (flaw < 0.0080)] = 0.0
    present = (flaw > 0.0030) & (days >= start)[:, None]
    for ticker, years in YEARS_TO_LISTING.items():
        present[days < start + pd.DateOffset(years=years), TICKERS.index(ticker)] = False
    delisted = days >= start + pd.DateOffset(years=YEARS_TO_DELISTING)
    present[delisted, TICKERS.index(DELISTED)] = False

    row, column = np.nonzero(present)
    numbers = {"open": opening, "high": high, "low": low, "close": close, "volume": volume}
    return pd.DataFrame(
        {
            "date": days[row],
            "ticker": np.array(TICKERS, dtype=object)[column],
            **{name: values[row, column] for name, values in numbers.items()},
        }
    )


def _reports(
    days: pd.DatetimeIndex,
    path: Array,
    holidays: pd.DatetimeIndex,
    since: pd.Timestamp,
    positions: np.random.Generator,
) -> pd.DataFrame:
    """Weekly positions; commercials go against the move of the last 63 sessions, others follow it.

    As of Tuesday (Monday if Tuesday is a holiday), released when the CFTC published its report.

    :return: the columns of commitments_of_traders, by release date, contract and report date
    """
    last = days[-1] if len(days) else since
    tuesdays = pd.date_range(since, last, freq="W-TUE")
    report = tuesdays.where(~tuesdays.isin(holidays), tuesdays - pd.Timedelta(days=1))
    release = release_dates(report)

    columns = [TICKERS.index(contract) for contract in CONTRACTS]
    known = days.searchsorted(report, side="right") - 1
    move = path[known][:, columns] - path[known - 63][:, columns]
    noise = positions.standard_normal((len(report), len(CONTRACTS), 2))
    interest = np.round(2e5 * np.exp(0.5 * np.abs(move) + 0.05 * noise[..., 0]))
    net = -0.3 * np.tanh(4 * move + 0.4 * noise[..., 1])
    counts = {
        "commercial_long": np.round(interest * (0.40 + net / 2)),
        "commercial_short": np.round(interest * (0.40 - net / 2)),
        "noncommercial_long": np.round(interest * (0.30 - 0.4 * net)),
        "noncommercial_short": np.round(interest * (0.30 + 0.4 * net)),
        "open_interest": interest,
    }
    reports = pd.DataFrame(
        {
            "report_date": report.repeat(len(CONTRACTS)),
            "release_date": release.repeat(len(CONTRACTS)),
            "contract": np.tile(np.array(CONTRACTS, dtype=object), len(report)),
            **{name: values.ravel() for name, values in counts.items()},
        }
    )
    return reports.sort_values(["release_date", "contract", "report_date"], ignore_index=True)


def _between(
    frame: pd.DataFrame, dated: str, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """The rows dated within ``[start, end)`` of a frame sorted by that date."""
    first, stop = frame[dated].searchsorted([start, end])
    return frame.iloc[first:stop].reset_index(drop=True)
