"""``hawk show``: the latest combined book, as plain values."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.parameters import BENCHMARKS
from hawk_assets.commands.book_age import explain_age
from hawk_assets.commands.prices import prices_of
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import sessions_of, shift
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    COMBINED_METRICS,
    COMBINED_PERFORMANCE,
    MARKET_DATA,
    WEIGHTS,
    performance_metrics,
)
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.simulation.performance import pending_orders
from hawk_assets.simulation.positions import last_positions


def latest_book(pipeline: Pipeline, instance: dg.DagsterInstance) -> dict[str, Any]:
    """The target of the latest session, and what the simulated account holds.

    ``orders`` are the pending trades, as fractions of the portfolio: decided at the close of
    ``session``, each executed at a later close of its own ticker, or 0 where that has happened.
    ``last_close`` is the date of the ticker's last close, None where it has none in the month of
    ``session`` and the one before. ``held_on`` is the close at which ``held`` was held, None before
    the first possible trade. ``metrics`` are those since the start. ``behind`` says how old the
    book is and why; it is empty for a book as it should be. ``prices`` is the source of it all.

    :raises MissingMonthError: there is no book yet
    :raises SettingsError: the settings name another source than that of the stored tables
    """
    prices = prices_of(pipeline)
    insights = _latest(pipeline, COMBINED_INSIGHTS)
    if insights.empty:
        raise no_book(pipeline)
    session = sessions_of(insights["date"])[-1]
    today = insights[insights["date"] == session]
    target = dict(zip(today["ticker"].astype(str), today["weight"].astype(float), strict=True))
    month = session.to_period("M").to_timestamp()
    history = months_of(pipeline.months)
    market_data = pipeline.storage.read(
        MARKET_DATA,
        history[history >= shift(month, -1)],
        ["date", "ticker", "close"],
        missing_ok=True,
    )
    closes = market_data[market_data["close"].notna()].groupby("ticker")["date"].max()
    account = _latest(pipeline, COMBINED_PERFORMANCE)
    held: dict[str, float] = {}
    if len(account):
        value = float(account["portfolio_value"].iloc[-1])
        held = {t: v / value for t, v in last_positions(account).items() if t != "cash"}
    tickers = sorted({t for t, w in target.items() if w} | set(held))
    decided = pd.DataFrame({"date": session, "ticker": tickers}).assign(
        weight=[target.get(ticker, 0.0) for ticker in tickers]
    )
    lag = pipeline.settings.simulation.execution_lag
    pending = set(pending_orders(decided, market_data, lag)["ticker"])
    weights = pipeline.storage.read(WEIGHTS, pd.DatetimeIndex([month])).sort_values("model")
    first = weights.iloc[0]
    models = [
        {
            "model": str(row.model),
            **{name: float(getattr(row, name)) for name in ("weight", *BENCHMARKS)},
            "reason": str(row.reason),
            "metrics": _since_start(pipeline, performance_metrics(str(row.model))),
        }
        for row in weights.itertuples()
    ]
    combined = _since_start(pipeline, COMBINED_METRICS)
    shares = dict.fromkeys(("weight", *BENCHMARKS))
    models.append({"model": "combined", **shares, "reason": "", "metrics": combined})
    return {
        "prices": prices,
        "session": f"{session:%Y-%m-%d}",
        "behind": explain_age(pipeline, instance, session),
        "held_on": f"{account['date'].iloc[-1]:%Y-%m-%d}" if len(account) else None,
        "month": f"{month:%Y-%m}",
        **{name: str(first[name]) for name in ("objective", "solver", "status", "fallback")},
        "orders": [
            {
                "ticker": ticker,
                "target": target.get(ticker, 0.0),
                "held": held.get(ticker, 0.0),
                "order": target.get(ticker, 0.0) - held.get(ticker, 0.0)
                if ticker in pending
                else 0.0,
                "last_close": f"{closes[ticker]:%Y-%m-%d}" if ticker in closes else None,
            }
            for ticker in tickers
        ],
        "models": models,
    }


def _latest(pipeline: Pipeline, key: TableKey) -> pd.DataFrame:
    """The last month of a table that has rows; an empty frame where none has."""
    months = months_with_rows(pipeline, key)
    for month in months:
        return pipeline.storage.read(key, pd.DatetimeIndex([month]))
    return pd.DataFrame()


def no_book(pipeline: Pipeline) -> MissingMonthError:
    """The error of a storage without a book: there is none yet, or it is the wrong storage."""
    return MissingMonthError(
        f"HAWK_STORAGE={pipeline.storage.root} holds no combined book: is it the right storage, "
        "and is its disk mounted? If there is none yet, run: hawk backfill"
    )


def months_with_rows(pipeline: Pipeline, key: TableKey) -> Iterator[pd.Timestamp]:
    """The stored months of the history that have rows, the latest first.

    What is stored before HAWK_START or after HAWK_END is no part of the history.
    """
    storage = pipeline.storage
    stored = storage.months(key).intersection(months_of(pipeline.months))
    return (month for month in reversed(stored) if storage.rows(key, month))


def _since_start(pipeline: Pipeline, key: TableKey) -> dict[str, float]:
    metrics = _latest(pipeline, key)
    if metrics.empty:
        return {}
    metrics = metrics[metrics["window"] == "since_start"]
    return {str(k): float(v) for k, v in zip(metrics["metric"], metrics["value"], strict=True)}
