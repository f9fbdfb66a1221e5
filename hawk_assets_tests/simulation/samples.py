"""Random markets and books with everything that happens: holes, listings, delistings, drift."""

import numpy as np
import pandas as pd

from hawk_assets.core.sessions import month_starts, sessions_of


def long(wide: pd.DataFrame, column: str) -> pd.DataFrame:
    """Every cell of dates x tickers as date, ticker, ``column``."""
    return pd.DataFrame(
        {
            "date": np.repeat(wide.index.to_numpy("datetime64[ns]"), wide.shape[1]),
            "ticker": np.tile(wide.columns.to_numpy(object), len(wide)),
            column: wide.to_numpy(np.float64).ravel(),
        }
    )


def months_of(table: pd.DataFrame) -> pd.DatetimeIndex:
    """All months from that of the first row to that of the last."""
    starts = month_starts(sessions_of(table["date"]))
    return pd.date_range(starts[0], starts[-1], freq="MS")


def random_market(rng: np.random.Generator, n_sessions: int, n_tickers: int) -> pd.DataFrame:
    """date, ticker, close: holidays, late listings, delistings, holes (no row, or NaN)."""
    weekdays = pd.bdate_range("2019-12-16", periods=n_sessions + n_sessions // 20)
    dates = weekdays[np.sort(rng.permutation(len(weekdays))[:n_sessions])]
    tickers = [f"T{i:02d}" for i in range(n_tickers)]
    steps = rng.normal(0.0002, 0.012, (n_sessions, n_tickers))
    close = rng.uniform(3, 300, n_tickers) * np.exp(steps.cumsum(axis=0))
    middle = n_sessions // 2
    for column in range(1, n_tickers):
        if rng.random() < 0.3:
            close[: rng.integers(0, middle), column] = np.nan
        if rng.random() < 0.2:
            close[rng.integers(middle, n_sessions) :, column] = np.nan
    close[:, 1:][rng.random((n_sessions, n_tickers - 1)) < 0.03] = np.nan
    market_data = long(pd.DataFrame(close, dates, tickers), "close")
    kept = market_data["close"].notna() | (rng.random(len(market_data)) < 0.5)
    return market_data[kept].reset_index(drop=True)


def random_insights(
    rng: np.random.Generator, market_data: pd.DataFrame, gross: float
) -> pd.DataFrame:
    """date, ticker, weight: shorts, zeros, absent tickers, days without an order, weekend dates."""
    close = market_data.pivot(index="date", columns="ticker", values="close")
    weight = rng.normal(size=close.shape)
    weight *= gross / np.abs(weight).sum(axis=1, keepdims=True)
    weight[rng.random(close.shape) < 0.2] = 0.0
    insights = long(pd.DataFrame(weight, close.index, close.columns), "weight")
    listed = long(close.ffill(limit=5), "close")["close"].notna()
    ordered = rng.random(len(close)) < rng.choice([0.4, 1.0])
    insights = insights[listed & np.repeat(ordered, close.shape[1])]
    if rng.random() < 0.5:
        friday = insights["date"].dt.weekday == 4
        insights = insights.assign(date=insights["date"] + pd.to_timedelta(friday * 1, unit="D"))
    return insights.sample(frac=1.0, random_state=1).reset_index(drop=True)
