"""``hawk explain``: one weight of the book, taken apart down to the raw rows behind it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hawk_assets.aggregation.combination import build_contributions
from hawk_assets.commands.prices import prices_of
from hawk_assets.commands.show import months_with_rows, no_book
from hawk_assets.core.errors import SettingsError
from hawk_assets.core.model import TradingModel
from hawk_assets.core.schemas import STATE_COLUMNS
from hawk_assets.core.sessions import market_sessions, shift
from hawk_assets.insights.builder import sessions_needed
from hawk_assets.model_states.builder import bars_behind, months_needed, report_months
from hawk_assets.model_states.commitments_of_traders import reports_of
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import (
    COMBINED_INSIGHTS,
    COMMITMENTS_OF_TRADERS,
    MARKET_DATA,
    WEIGHTS,
    insights,
    model_states,
)


def explain(pipeline: Pipeline, ticker: str, session: pd.Timestamp | None = None) -> dict[str, Any]:
    """A ticker's weight in the book at the close of a session, as plain values.

    ``weight`` is the sum of the models' ``part``, in their order and in every bit; a part is the
    model's share of the book times the weight of its insight. A model without an insight for the
    session keeps its last one: ``decided`` is that day. ``signal_since`` is the first session of
    those up to ``decided`` on which the signal is the same: the day on which a signal that is held
    was given; None where that is over a year ago. ``last_close`` is the day of the ticker's
    last close up to then: a ticker without one on the day itself keeps its signal. ``state`` is
    what the signal saw of the ticker on that day. ``bars`` are the rows of market data behind the
    state, oldest first, and ``reports`` the commitments of traders, for a model that reads them.
    The signal also sees the states of ``sessions_before`` sessions before, and for some models
    those of other tickers.

    :param session: default: the latest one of the book
    :raises SettingsError: no such session, or the book has no weight for the ticker on it
    :raises MissingMonthError: there is no book yet, or a month of an input is missing
    """
    storage = pipeline.storage
    prices = prices_of(pipeline)
    key = COMBINED_INSIGHTS
    stored = list(months_with_rows(pipeline, key))
    if not stored:
        raise no_book(pipeline)
    month = stored[0] if session is None else session.to_period("M").to_timestamp()
    if month not in stored and session is not None:
        raise _no_session(session, stored)
    book = storage.read(
        key, pd.DatetimeIndex([month]), ["date", "ticker", "weight"], missing_ok=True
    )
    session = book["date"].max() if session is None else session
    rows = book[book["date"] == session]
    if rows.empty:
        raise _no_session(session, stored)
    ticker = _find_ticker(ticker, list(rows["ticker"]), session)
    mine = rows[rows["ticker"] == ticker]
    weights = storage.read(WEIGHTS, pd.DatetimeIndex([month]))
    how = weights.iloc[0]
    return {
        "ticker": ticker,
        "prices": prices,
        "session": f"{session:%Y-%m-%d}",
        "weight": float(mine["weight"].iloc[0]),
        "month": f"{month:%Y-%m}",
        **{name: str(how[name]) for name in ("objective", "solver", "status", "fallback")},
        "models": [
            _explain_model(pipeline, pipeline.models[name], ticker, decided)
            | {"share": share, "part": part}
            for name, share, part, decided in _parts(pipeline, weights, ticker, session)
        ],
    }


def _no_session(session: pd.Timestamp, stored: Sequence[pd.Timestamp]) -> SettingsError:
    """:param stored: the months of the book, the latest first"""
    return SettingsError(
        f"--date {session:%Y-%m-%d}: the book has no such session; it has sessions from "
        f"{stored[-1]:%Y-%m} to {stored[0]:%Y-%m}"
    )


def _find_ticker(name: str, tickers: Sequence[str], session: pd.Timestamp) -> str:
    """A ticker as the book has it: exactly as it is written, else in any case.

    :raises SettingsError: none, or several that differ in case only
    """
    found = [t for t in tickers if t == name] or [
        t for t in tickers if t.casefold() == name.casefold()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"{name!r} may be {' or '.join(found)}; write it as the book has it")
    raise SettingsError(
        f"the book has no weight for {name!r} on {session:%Y-%m-%d}; it has weights for "
        + ", ".join(tickers)
    )


def _parts(
    pipeline: Pipeline, weights: pd.DataFrame, ticker: str, session: pd.Timestamp
) -> list[tuple[str, float, float, pd.Timestamp]]:
    """Model, share of the book, part of the weight, and the session of the insight it uses."""
    storage = pipeline.storage
    month = session.to_period("M").to_timestamp()
    span = pd.DatetimeIndex([shift(month, -1), month])
    models = sorted(weights.loc[weights["weight"] != 0, "model"])
    by_model = {
        m: storage.read(insights(m), span, ["date", "ticker", "weight"], missing_ok=True)
        for m in models
    }
    sessions = market_sessions(storage.read(MARKET_DATA, span, ["date", "close"], missing_ok=True))
    (parts,) = build_contributions(
        weights, by_model, sessions, pd.DatetimeIndex([month]), pipeline.settings.aggregation
    )
    day = int(np.searchsorted(parts.sessions, session.to_datetime64()))
    column = list(parts.tickers).index(ticker)
    share = weights.set_index("model")["weight"]
    at = sessions.get_loc(session)
    return [
        (m, float(share[m]), float(parts.weight[i, day, column]), sessions[at - parts.age[i, day]])
        for i, m in enumerate(parts.models)
        if np.isfinite(parts.weight[i, day, column])
    ]


def _explain_model(
    pipeline: Pipeline, model: TradingModel, ticker: str, decided: pd.Timestamp
) -> dict[str, Any]:
    storage = pipeline.storage
    month = decided.to_period("M").to_timestamp()
    insight = _row(storage.read(insights(model.name), pd.DatetimeIndex([month])), ticker, decided)
    # One month more than a bar of this month needs: the last close may be in the month before.
    window = pd.date_range(shift(month, -months_needed(model) - 1), month, freq="MS")
    market_data = storage.read(MARKET_DATA, window, missing_ok=True)
    own = market_data[market_data["close"].notna() & (market_data["ticker"] == ticker)]
    traded = max(own.loc[own["date"] <= decided, "date"], default=decided)
    month = traded.to_period("M").to_timestamp()
    state = _row(storage.read(model_states(model.name), pd.DatetimeIndex([month])), ticker, traded)
    found = {
        "model": model.name,
        "decided": f"{decided:%Y-%m-%d}",
        "last_close": f"{traded:%Y-%m-%d}",
        "signal": float(insight["signal"]),
        "signal_since": _signal_since(pipeline, model, ticker, decided, float(insight["signal"])),
        "insight_weight": float(insight["weight"]),
        "state": {} if state is None else _plain(state.drop(list(STATE_COLUMNS[:2]))),
        "sessions_before": sessions_needed(model, pipeline.settings.sizing),
        "bars": _records(bars_behind(model, market_data, ticker, traded)),
    }
    if model.reports:
        first = shift(month, -report_months(model))
        commitments = storage.read(
            COMMITMENTS_OF_TRADERS,
            pd.date_range(first, month, freq="MS"),
            missing_ok=True,
        )
        known = reports_of(ticker, commitments[commitments["release_date"] < traded])
        rows = pd.DataFrame({"release_date": known.released, **known.numbers})
        found["reports"] = _records(rows[-model.reports :])
    return found


def _signal_since(
    pipeline: Pipeline, model: TradingModel, ticker: str, decided: pd.Timestamp, signal: float
) -> str | None:
    """The first session of the unbroken run of equal signals that ends with ``decided``."""
    first, since = shift(decided.to_period("M").to_timestamp(), 1), decided
    for _ in range(12):
        first = shift(first, -1)
        rows = pipeline.storage.read(
            insights(model.name),
            pd.DatetimeIndex([first]),
            ["date", "ticker", "signal"],
            missing_ok=True,
        )
        if rows.empty:
            return f"{since:%Y-%m-%d}"
        own = rows[(rows["ticker"] == ticker) & (rows["date"] <= decided)]
        for date, value in zip(own["date"][::-1], own["signal"][::-1], strict=True):
            if value != signal:
                return f"{since:%Y-%m-%d}"
            since = date
    return None


def _row(frame: pd.DataFrame, ticker: str, date: pd.Timestamp) -> Any:
    rows = frame[(frame["date"] == date) & (frame["ticker"] == ticker)]
    return rows.iloc[0] if len(rows) else None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(row) for _, row in frame.iterrows()]


def _plain(row: "pd.Series[Any]") -> dict[str, Any]:
    """JSON has no NaN and no dates: None, and ISO text."""
    return {
        str(name): f"{value:%Y-%m-%d}"
        if isinstance(value, pd.Timestamp)
        else None
        if pd.isna(value)
        else value
        for name, value in row.items()
    }
