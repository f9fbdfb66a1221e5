"""Model weights times insight weights: the combined book, and what each model contributes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import key_of, shift
from hawk_assets.core.types import Array, Dates, Flags, Indices

_Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each model contributes to the book of one month.

    :param sessions: the sessions of the month, ascending, shape ``(n_sessions,)``
    :param tickers: shape ``(n_tickers,)``
    :param models: the models with a weight, ascending
    :param weight: model weight times insight weight, shape ``(n_models, n_sessions, n_tickers)``;
        NaN where the model has no insight on the ticker, or its last one is too old
    :param age: the age in sessions of the insights in use, shape ``(n_models, n_sessions)``
    """

    sessions: Dates
    tickers: NDArray[np.object_]
    models: list[str]
    weight: Array
    age: Indices

    def total(self) -> Array:
        """Their sum, the book: shape ``(n_sessions, n_tickers)``; NaN where no model has one.

        The models are added one after another in the order of ``models``, so that anyone who adds
        the contributions in this order gets the same bits.
        """
        total = np.zeros(self.weight.shape[1:])
        for contribution in self.weight:
            total += np.nan_to_num(contribution)
        return np.where(np.isfinite(self.weight).any(axis=0), total, np.nan)


def combine_insights(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    sessions: pd.DatetimeIndex,
    months: pd.DatetimeIndex,
    parameters: AggregationParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The book of ``months``: per session and ticker, the sum of model weight times insight weight.

    See :func:`build_contributions` for the arguments and for models without insights.

    :return: the ``combined_insights`` table, by date and ticker, with a row for each ticker for
        which a contributing model has one, zeros included; and a table by date and model with the
        ``age`` of the insights of a model with weight, where it is not 0: the sessions since its
        last insights or, without any, since the last session before the month before
    :raises MissingMonthError: a month has no weights
    """
    books: list[tuple[_Column, ...]] = []
    ages: list[tuple[_Column, ...]] = []
    for month in build_contributions(weights, insights, sessions, months, parameters):
        book = month.total()
        day, ticker = np.nonzero(np.isfinite(book))
        books.append((month.sessions[day], month.tickers[ticker], book[day, ticker]))
        model, day = np.nonzero(month.age)
        names = np.array(month.models, object)
        ages.append((month.sessions[day], names[model], month.age[model, day]))
    combined = _concatenate(books, date="datetime64[ns]", ticker=object, weight=np.float64)
    aged = _concatenate(ages, date="datetime64[ns]", model=object, age=np.int64)
    return combined, aged.sort_values(["date", "model"], kind="stable", ignore_index=True)


def build_contributions(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    sessions: pd.DatetimeIndex,
    months: pd.DatetimeIndex,
    parameters: AggregationParameters,
) -> Iterator[Contributions]:
    """What each model contributes to the book of each of ``months``.

    A model without insights on a session keeps its last ones for ``hold_sessions`` sessions; after
    that its share is cash. Nothing is rescaled. A month uses its own insights and those of the
    month before, and ignores any others, so that a month computed alone and the same month computed
    within a range are equal in every bit.

    :param weights: the ``weights`` table, with rows for each of ``months``
    :param insights: per model, date, ticker and weight of ``months`` and of the month before each;
        rows whose date is not a session are ignored
    :param sessions: the market's sessions over the same span, ascending
    :param months: the months to compute, ascending
    :raises MissingMonthError: a month has no weights
    """
    days = sessions.to_numpy("datetime64[ns]")
    stored = {model: frame for model, frame in insights.items() if len(frame)}
    tickers = np.array(sorted({t for f in stored.values() for t in f["ticker"].unique()}), object)
    rows = {model: _index_insights(frame, days, tickers) for model, frame in stored.items()}
    for month in months:
        edges = [shift(month, by).to_datetime64() for by in (-1, 0, 1)]
        before, start, stop = np.searchsorted(days, edges)
        shares = _weights_of(weights, month)
        contributions = np.full((len(shares), stop - start, len(tickers)), np.nan)
        ages = np.zeros((len(shares), stop - start), np.intp)
        per_model = zip(contributions, ages, shares.items(), strict=True)
        for contribution, age, (model, share) in per_model:
            wide = np.full((stop - before, len(tickers)), np.nan)
            if model in rows:
                session, ticker, weight = rows[model]
                span = slice(*np.searchsorted(session, [before, stop]))
                wide[session[span] - before, ticker[span]] = weight[span]
            age[:] = _insight_age(np.isfinite(wide))[start - before :]
            source = np.arange(start - before, stop - before) - age
            live = (source >= 0) & (age <= parameters.hold_sessions)
            contribution[live] = share * wide[source[live]]
        yield Contributions(days[start:stop], tickers, list(shares), contributions, ages)


def _weights_of(weights: pd.DataFrame, month: pd.Timestamp) -> dict[str, float]:
    """The weights of a month that are not 0, sorted by model."""
    rows = weights[weights["month"] == month]
    if rows.empty:
        raise MissingMonthError(
            f"weights of {month:%Y-%m} are missing; the combined insights depend on them; "
            f"run: hawk backfill --from {key_of(month)}"
        )
    pairs = zip(rows["model"], rows["weight"], strict=True)
    return {str(model): float(weight) for model, weight in sorted(pairs) if weight != 0}


def _index_insights(
    frame: pd.DataFrame, days: Dates, tickers: NDArray[np.object_]
) -> tuple[Indices, Indices, Array]:
    """Insights as positions in ``days`` and ``tickers``, and weights, ascending by session."""
    frame = frame[frame["date"].isin(days)].sort_values("date", kind="stable")
    session = np.searchsorted(days, frame["date"].to_numpy("datetime64[ns]"))
    ticker = pd.Index(tickers).get_indexer(pd.Index(frame["ticker"]))
    return session, ticker, frame["weight"].to_numpy(np.float64)


def _insight_age(listed: Flags) -> Indices:
    """Sessions since the last session with a row; without any, since before the first session.

    :param listed: shape ``(n_sessions, n_tickers)``
    :return: shape ``(n_sessions,)``
    """
    position = np.arange(len(listed))
    return position - np.maximum.accumulate(np.where(listed.any(axis=1), position, -1))


def _concatenate(parts: list[tuple[_Column, ...]], **columns: Any) -> pd.DataFrame:
    """The parts below one another; ``columns`` are names and dtypes, also if there are no rows."""
    return pd.DataFrame(
        {
            name: np.concatenate([np.empty(0, dtype), *(part[i] for part in parts)])
            for i, (name, dtype) in enumerate(columns.items())
        }
    )
