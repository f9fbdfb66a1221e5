"""Performance to metrics: figures of 1, 12 and 36 months, and since the start of the book.

Every figure is a formula of sums over rows. Months are summed first and then added up, so a month
computed alone equals the same month computed within twenty years. The sums since the start are
stored as well (window ``running``), so that no month reads the whole history.

Annual figures count the sessions of a year in the data (``core.sessions.sessions_per_year``): 252
on any stock exchange, 365 where a ticker trades on every day. A window counts its own sessions, the
last month those of the last 12 months.

``engine_*`` are hawk-backtester's own definitions, but for the sessions of a year, which are always
252 there: its Sharpe and Sortino ratios divide the
geometric return, its win rate counts days without a move as losses. They are recomputed, because
the engine's own figures depend on the period of the call and on rounding. A figure that the engine
defines in the usual way exists once, without the prefix.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import sessions_per_year
from hawk_assets.core.types import Array

WINDOWS = {"1m": 1, "12m": 12, "36m": 36}
SINCE_START = "since_start"
RUNNING = "running"

ENGINE_ROUNDING = 1e-12
"""A daily return below this is a rounding error of the engine and counts as 0. So does a variance
below this fraction of the mean squared return, a volume below this fraction of the value, and a
drawdown of a window that is smaller."""

SUMS = (
    "days",
    "gains",
    "losses",
    "sum_return",
    "sum_squared_return",
    "sum_squared_loss",
    "sum_log_return",
    "sum_value",
    "sum_volume",
    "total_cost",
    "sum_drawdown",
    "max_drawdown",
)
"""What the figures are computed from. All are sums over months, except ``max_drawdown``, which is
the minimum."""

COUNTED_MONTHS = 12
"""The sessions of a year are counted over at least so many months, where the book is that old."""

FIRST_MONTH = "first_month"
"""Stored with the sums: the month in which the book started, in months since 1970-01."""

FIRST_DAY = "first_day"
"""Stored with the sums: the first session of the book, in days since 1970-01-01."""


def build_metrics(
    model: str,
    timeseries: pd.DataFrame,
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
    annual_sessions: float | None = None,
) -> pd.DataFrame:
    """The metrics of ``months``.

    A window is the row's calendar month and those before it; it has no rows while the book is
    younger. The drawdowns of a window start from the value before its first row.

    :param model: whose book it is
    :param timeseries: its performance_timeseries, by date: ``months``, and of the 35 before them
        those that exist
    :param months: the months to compute, ascending and adjacent
    :param previous: its performance_metrics of the last month with sessions before ``months``; None
        for the first month of all
    :param annual_sessions: sessions of a year; None counts them
    :return: model, as_of (the month's last session), window, metric, value, by as_of; a month
        without sessions has no rows, an undefined metric (a ratio over zero) has no row
    :raises MissingMonthError: ``previous`` does not carry the sums up to ``months``
    """
    month = _month_numbers(timeseries["date"])
    sums = _monthly_sums(timeseries, month)
    computed = sums.index[sums.index.isin(_month_numbers(months))]
    rows = np.searchsorted(month, computed, side="right") - 1
    as_of = pd.Series(timeseries["date"].to_numpy()[rows], index=computed)
    running = _running_sums(model, sums.loc[computed], timeseries["date"], months, previous)
    day = timeseries["date"].to_numpy("datetime64[D]").astype(np.int64)

    def annual(ends: "pd.Index[int]", length: int) -> Array:
        first = np.searchsorted(month, ends - max(length, COUNTED_MONTHS) + 1)
        last = np.searchsorted(month, ends, side="right") - 1
        return sessions_per_year(last - first + 1, day[last] - day[first])

    parts = {}
    for window, length in WINDOWS.items():
        grown = computed[computed - running[FIRST_MONTH] >= length - 1]
        year = annual(grown, length) if annual_sessions is None else annual_sessions
        parts[window] = _figures(_window_sums(timeseries, month, sums, grown, length), year)
    year = sessions_per_year(running["days"].to_numpy(), day[rows] - running[FIRST_DAY].to_numpy())
    whole = _figures(running, year if annual_sessions is None else annual_sessions)
    parts |= {SINCE_START: whole, RUNNING: running}
    metrics = pd.concat(
        [_long(model, window, part, as_of) for window, part in parts.items()], ignore_index=True
    )
    return metrics.sort_values("as_of", kind="stable", ignore_index=True)


def _month_numbers(dates: "pd.Series[pd.Timestamp] | pd.DatetimeIndex") -> NDArray[np.int64]:
    """Months since 1970-01."""
    return dates.to_numpy().astype("datetime64[M]").astype(np.int64)


def _monthly_sums(timeseries: pd.DataFrame, month: NDArray[np.int64]) -> pd.DataFrame:
    """``SUMS`` of each calendar month that has rows, with drawdowns since the book's start."""
    returns = timeseries["daily_return"].to_numpy(np.float64)
    returns = np.where(np.abs(returns) > ENGINE_ROUNDING, returns, 0.0)
    rows = pd.DataFrame(
        {
            "days": np.ones(len(returns)),
            "gains": (returns > 0).astype(np.float64),
            "losses": (returns < 0).astype(np.float64),
            "sum_return": returns,
            "sum_squared_return": returns**2,
            "sum_squared_loss": np.minimum(returns, 0.0) ** 2,
            "sum_log_return": np.log1p(returns),
            "sum_value": timeseries["portfolio_value"],
            "sum_volume": timeseries["volume_traded"],
            "total_cost": timeseries["daily_slippage_cost"] + timeseries["daily_commission_cost"],
            "sum_drawdown": timeseries["drawdown"],
            "max_drawdown": timeseries["drawdown"],
        }
    ).set_index(month)
    months = rows.groupby(level=0)
    return months.sum().assign(max_drawdown=months["max_drawdown"].min())


def _running_sums(
    model: str,
    sums: pd.DataFrame,
    dates: "pd.Series[pd.Timestamp]",
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
) -> pd.DataFrame:
    """``SUMS`` from the start of the book to the end of each month, and when it started."""
    if previous is None:
        carried = pd.Series(0.0, index=SUMS)
        carried[FIRST_MONTH] = sums.index.min()
        carried[FIRST_DAY] = dates.min().to_datetime64().astype("datetime64[D]").astype(np.int64)
    else:
        rows = previous[previous["window"] == RUNNING]
        rows = rows[rows["as_of"] == rows["as_of"].max()]
        earlier = dates[dates < months[0]]
        if rows.empty or (len(earlier) and rows["as_of"].iloc[0] != earlier.iloc[-1]):
            raise MissingMonthError(
                f"{model}: its performance_metrics before {months[0]:%Y-%m} do not have the sums "
                f"since the start; materialise performance_metrics/{model} of the last "
                "month with sessions before it"
            )
        carried = rows.set_index("metric")["value"]
        if FIRST_DAY not in carried:  # by older code
            month = np.datetime64(int(carried[FIRST_MONTH]), "M").astype("datetime64[D]")
            carried[FIRST_DAY] = month.astype(np.int64)
    steps = pd.concat([carried[list(SUMS)].to_frame().T, sums])
    total = steps.cumsum().assign(max_drawdown=steps["max_drawdown"].cummin())
    started = {name: carried[name] for name in (FIRST_MONTH, FIRST_DAY)}
    return total[1:].assign(**started)


def _window_sums(
    timeseries: pd.DataFrame,
    month: NDArray[np.int64],
    sums: pd.DataFrame,
    ends: "pd.Index[int]",
    length: int,
) -> pd.DataFrame:
    """``SUMS`` of the ``length`` months up to each of ``ends``, drawdowns within them."""
    value = timeseries["portfolio_value"].to_numpy(np.float64)
    before = value / (1.0 + timeseries["daily_return"].to_numpy(np.float64))
    monthly = sums.to_numpy()
    out = np.empty((len(ends), len(SUMS)))
    drawdowns = np.empty((len(ends), 2))
    for i, end in enumerate(ends):
        span = (end - length + 1, end + 1)
        first, stop = np.searchsorted(sums.index, span)
        out[i] = monthly[first:stop].sum(axis=0)
        first, stop = np.searchsorted(month, span)
        path = value[first:stop]
        drawdown = path / np.maximum(np.maximum.accumulate(path), before[first]) - 1.0
        drawdowns[i] = drawdown.sum(), drawdown.min()
    table = pd.DataFrame(out, index=ends, columns=sums.columns)
    return table.assign(sum_drawdown=drawdowns[:, 0], max_drawdown=drawdowns[:, 1])


def _figures(sums: pd.DataFrame, annual_sessions: Array | float) -> pd.DataFrame:
    """The metrics of each window from its ``SUMS``; not finite where undefined.

    Standard definitions: risk-free rate 0, standard deviation with ddof 1, Sortino with target 0
    over all days (Sortino and Price, 1994), Calmar on the maximum drawdown of the window; turnover
    is one-sided, per year. ``win_rate`` counts only days with a move.

    :param annual_sessions: sessions of a year, of each window
    """
    days, moved = sums["days"], sums["gains"] + sums["losses"]
    mean, mean_square = sums["sum_return"] / days, sums["sum_squared_return"] / days
    variance = (mean_square - mean**2) * days / (days - 1)
    variance = variance.where(variance > ENGINE_ROUNDING * mean_square, 0.0 * variance)
    volatility = np.sqrt(annual_sessions * variance)
    annualized = np.expm1(sums["sum_log_return"] * annual_sessions / days)
    squared_loss = annual_sessions * sums["sum_squared_loss"]
    volume = sums["sum_volume"].where(sums["sum_volume"] > ENGINE_ROUNDING * sums["sum_value"], 0.0)
    turnover = volume / 2 / (sums["sum_value"] / days) / (days / annual_sessions)
    max_drawdown = sums["max_drawdown"].where(sums["max_drawdown"] < -ENGINE_ROUNDING, 0.0)
    return pd.DataFrame(
        {
            "total_return": np.expm1(sums["sum_log_return"]),
            "annualized_return": annualized,
            "annualized_volatility": volatility,
            "sharpe_ratio": annual_sessions * mean / volatility,
            "sortino_ratio": annual_sessions * mean / np.sqrt(squared_loss / days),
            "max_drawdown": max_drawdown,
            "calmar_ratio": annualized / -max_drawdown,
            "win_rate": sums["gains"] / moved,
            "turnover": turnover,
            "total_cost": sums["total_cost"],
            "engine_sharpe_ratio": annualized / volatility,
            "engine_sortino_ratio": annualized / np.sqrt(squared_loss / sums["losses"]),
            "engine_win_rate": sums["gains"] / days,
            "engine_avg_daily_return": mean,
            "engine_avg_drawdown": sums["sum_drawdown"] / days,
            "engine_holding_period_years": 1.0 / turnover,
        }
    )


def _long(
    model: str, window: str, table: pd.DataFrame, as_of: "pd.Series[pd.Timestamp]"
) -> pd.DataFrame:
    values = table.to_numpy(np.float64)
    rows, columns = np.nonzero(np.isfinite(values))
    return pd.DataFrame(
        {
            "model": model,
            "as_of": as_of.loc[table.index].to_numpy()[rows],
            "window": window,
            "metric": table.columns.to_numpy(object)[columns],
            "value": values[rows, columns],
        }
    )
