"""Model weights times insight weights: the combined book, its parts, and how old those are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.model import Array
from hawk_assets.core.sessions import key_of, shift

_Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Parts:
    """The book of one month by model.

    :param sessions: of the month, ascending, shape ``(n_sessions,)``
    :param tickers: shape ``(n_tickers,)``
    :param models: those with a weight, ascending
    :param weight: model weight times insight weight, shape ``(n_models, n_sessions, n_tickers)``;
        NaN where the model says nothing of the ticker, or nothing any more
    :param age: sessions since the insights a model stands by, shape ``(n_models, n_sessions)``
    """

    sessions: NDArray[np.datetime64]
    tickers: NDArray[np.object_]
    models: list[str]
    weight: Array
    age: NDArray[np.intp]

    def book(self) -> Array:
        """Their sum, shape ``(n_sessions, n_tickers)``; NaN where no model says anything.

        The models are added one after another, in the order of ``models``: whoever adds the parts
        up in that order has the book in every bit.
        """
        total = np.zeros(self.weight.shape[1:])
        for part in self.weight:
            total += np.nan_to_num(part)
        return np.where(np.isfinite(self.weight).any(axis=0), total, np.nan)


def combine_insights(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    sessions: pd.DatetimeIndex,
    months: pd.DatetimeIndex,
    parameters: AggregationParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The book of ``months``: per session and ticker, the sum of model weight times insight weight.

    See :func:`split_insights` for the arguments and for what a silent model counts.

    :return: the ``combined_insights`` table, by date and ticker, with a row for each ticker that a
        contributing model has one for, zeros included; and, by date and model, the ``age`` of a
        weighted model's insights where it is not 0: sessions since its last ones or, where it has
        none, since the session before the month before
    :raises MissingMonthError: a month without weights
    """
    books: list[tuple[_Column, ...]] = []
    ages: list[tuple[_Column, ...]] = []
    for parts in split_insights(weights, insights, sessions, months, parameters):
        book = parts.book()
        day, ticker = np.nonzero(np.isfinite(book))
        books.append((parts.sessions[day], parts.tickers[ticker], book[day, ticker]))
        model, day = np.nonzero(parts.age)
        names = np.array(parts.models, object)
        ages.append((parts.sessions[day], names[model], parts.age[model, day]))
    combined = _stack(books, date="datetime64[ns]", ticker=object, weight=np.float64)
    late_rows = _stack(ages, date="datetime64[ns]", model=object, age=np.int64)
    return combined, late_rows.sort_values(["date", "model"], kind="stable", ignore_index=True)


def split_insights(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    sessions: pd.DatetimeIndex,
    months: pd.DatetimeIndex,
    parameters: AggregationParameters,
) -> Iterator[Parts]:
    """What each model puts into the book of each of ``months``.

    A model without insights on a session keeps its last ones for ``hold_sessions`` sessions; after
    that its share is cash. Nothing is rescaled. A month sees its own insights and those of the
    month before, however much is passed, so that a month computed alone and the same month
    computed within a range are equal in every bit.

    :param weights: the ``weights`` table, with rows for each of ``months``
    :param insights: per model, date, ticker and weight of ``months`` and of the month before each;
        rows dated on no session play no part
    :param sessions: the market's sessions over the same span, ascending
    :param months: the months to compute, ascending
    :raises MissingMonthError: a month without weights
    """
    days = sessions.to_numpy("datetime64[ns]")
    stored = {model: frame for model, frame in insights.items() if len(frame)}
    tickers = np.array(sorted({t for f in stored.values() for t in f["ticker"].unique()}), object)
    rows = {model: _by_session(frame, days, tickers) for model, frame in stored.items()}
    for month in months:
        edges = [shift(month, by).to_datetime64() for by in (-1, 0, 1)]
        before, start, stop = np.searchsorted(days, edges)
        shares = _shares(weights, month)
        parts = np.full((len(shares), stop - start, len(tickers)), np.nan)
        ages = np.zeros((len(shares), stop - start), np.intp)
        for part, age, (model, share) in zip(parts, ages, shares.items(), strict=True):
            wide = np.full((stop - before, len(tickers)), np.nan)
            if model in rows:
                session, ticker, weight = rows[model]
                span = slice(*np.searchsorted(session, [before, stop]))
                wide[session[span] - before, ticker[span]] = weight[span]
            age[:] = _age(np.isfinite(wide))[start - before :]
            source = np.arange(start - before, stop - before) - age
            live = (source >= 0) & (age <= parameters.hold_sessions)
            part[live] = share * wide[source[live]]
        yield Parts(days[start:stop], tickers, list(shares), parts, ages)


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
