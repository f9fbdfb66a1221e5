"""Model weights times insight weights: the combined book, and how old its ingredients are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.model import Array
from hawk_assets.core.sessions import key_of, shift

_Column = NDArray[Any]


def combine_insights(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    sessions: pd.DatetimeIndex,
    months: pd.DatetimeIndex,
    parameters: AggregationParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The book of ``months``: per session and ticker, the sum of model weight times insight weight.

    A model without insights on a session keeps its last ones for ``hold_sessions`` sessions; after
    that its share is cash. Nothing is rescaled. A month sees its own insights and those of the
    month before, however much is passed, so that a month computed alone and the same month
    computed within a range are equal in every bit.

    :param weights: the WEIGHTS table, with rows for each of ``months``
    :param insights: per model, date, ticker and weight of ``months`` and of the month before each;
        rows dated on no session play no part
    :param sessions: the market's sessions over the same span, ascending
    :param months: the months to compute, ascending
    :return: the COMBINED_INSIGHTS table, by date and ticker, with a row for each ticker that a
        contributing model has one for, zeros included; and, by date and model, the ``age`` of a
        weighted model's insights where it is not 0: sessions since its last ones or, where it has
        none, since the session before the month before
    :raises MissingMonthError: a month without weights
    """
    days = sessions.to_numpy("datetime64[ns]")
    stored = {model: frame for model, frame in insights.items() if len(frame)}
    tickers = np.array(sorted({t for f in stored.values() for t in f["ticker"].unique()}), object)
    rows = {model: _by_session(frame, days, tickers) for model, frame in stored.items()}
    books: list[tuple[_Column, ...]] = []
    ages: list[tuple[_Column, ...]] = []
    for month in months:
        edges = [shift(month, by).to_datetime64() for by in (-1, 0, 1)]
        before, start, stop = np.searchsorted(days, edges)
        inside = days[start:stop]
        book = np.zeros((len(inside), len(tickers)))
        listed = np.zeros(book.shape, dtype=bool)
        for model, share in _shares(weights, month).items():
            wide = np.full((stop - before, len(tickers)), np.nan)
            if model in rows:
                session, ticker, weight = rows[model]
                span = slice(*np.searchsorted(session, [before, stop]))
                wide[session[span] - before, ticker[span]] = weight[span]
            age = _age(np.isfinite(wide))[start - before :]
            source = np.arange(start - before, stop - before) - age
            live = (source >= 0) & (age <= parameters.hold_sessions)
            held = wide[source[live]]
            listed[live] |= np.isfinite(held)
            book[live] += share * np.nan_to_num(held)
            late = age > 0
            ages.append((inside[late], np.full(late.sum(), model, object), age[late]))
        day, ticker = np.nonzero(listed)
        books.append((inside[day], tickers[ticker], book[day, ticker]))
    combined = _stack(books, date="datetime64[ns]", ticker=object, weight=np.float64)
    late_rows = _stack(ages, date="datetime64[ns]", model=object, age=np.int64)
    return combined, late_rows.sort_values(["date", "model"], kind="stable", ignore_index=True)


def _shares(weights: pd.DataFrame, month: pd.Timestamp) -> dict[str, float]:
    """The models that have a weight, in one order whatever that of the rows."""
    rows = weights[weights["month"] == month]
    if rows.empty:
        raise MissingMonthError(
            f"the weights of {month:%Y-%m} are missing, without which its insights cannot be "
            f"combined; run: hawk backfill --from {key_of(month)}"
        )
    pairs = zip(rows["model"], rows["weight"], strict=True)
    return {str(model): float(weight) for model, weight in sorted(pairs) if weight != 0}


def _by_session(
    frame: pd.DataFrame, days: NDArray[np.datetime64], tickers: NDArray[np.object_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Insights as positions among ``days`` and ``tickers`` and weights, ascending by session."""
    frame = frame[frame["date"].isin(days)].sort_values("date", kind="stable")
    session = np.searchsorted(days, frame["date"].to_numpy("datetime64[ns]"))
    ticker = pd.Index(tickers).get_indexer(pd.Index(frame["ticker"]))
    return session, ticker, frame["weight"].to_numpy(np.float64)


def _age(listed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Sessions since the last one with a row, counted from before the first if there is none.

    :param listed: shape ``(n_sessions, n_tickers)``
    :return: shape ``(n_sessions,)``
    """
    position = np.arange(len(listed))
    return position - np.maximum.accumulate(np.where(listed.any(axis=1), position, -1))


def _stack(parts: list[tuple[_Column, ...]], **columns: Any) -> pd.DataFrame:
    """The parts below one another; ``columns`` are names and dtypes, also those of no rows."""
    return pd.DataFrame(
        {
            name: np.concatenate([np.empty(0, dtype), *(part[i] for part in parts)])
            for i, (name, dtype) in enumerate(columns.items())
        }
    )
