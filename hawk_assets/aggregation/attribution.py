"""Attribution of the book to models: contributions to its weight and return, by month."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from hawk_assets.aggregation.combination import Contributions, build_contributions
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.types import Array, Flags, Indices

NETTING = "(netting)"
"""The row for positions of models that offset each other; no model can have this name."""


def attribute(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    lag: int,
    parameters: AggregationParameters,
) -> pd.DataFrame:
    """The contribution of each model and ticker to the book's weight and gross return, per month.

    ``weight`` is the mean over the month's sessions of the model's contribution to the book's
    weight of the ticker, ``gross_weight`` the mean of its absolute value. ``gross_return`` is what
    the contribution earned before costs: the sum over the month's sessions of the weight in effect
    at the close before, decided ``lag`` sessions earlier, times the ticker's return since. On a
    session without a bar a ticker stays at its last close.

    A ticker on which models offset each other has an additional row, ``(netting)``: the absolute
    weight of the book less the sum of the absolute contributions. It is never positive. So each
    column adds up to the book's own net weight, gross exposure and gross return.

    :param weights: the ``weights`` table of ``months`` and, if there is one, of the month before
    :param insights: per model, date, ticker and weight of ``months`` and of the two months before
    :param market_data: date, ticker and close over the same span
    :param months: adjacent, ascending
    :param lag: sessions from the close a weight is decided on to the close it trades at
    :return: the ``attribution`` table, by month, model and ticker, ``(netting)`` last; no
        rows for a month without sessions
    :raises MissingMonthError: a month has no weights
    """
    closes = market_data.pivot(index="date", columns="ticker", values="close").sort_index().ffill()
    sessions = pd.DatetimeIndex(closes.index)
    first = months[:1] - pd.DateOffset(months=1)
    known = months if weights.loc[weights["month"] == first[0]].empty else months.union(first)
    books = list(build_contributions(weights, insights, sessions, known, parameters))
    if len(known) == len(months):
        books.insert(0, _no_contributions(books[0]))
    returns = closes.reindex(columns=books[0].tickers).pct_change(fill_method=None).fillna(0.0)
    tables = [
        _attribute_month(month, earlier, now, returns, lag)
        for month, (earlier, now) in zip(months, pairwise(books), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _attribute_month(
    month: pd.Timestamp,
    earlier: Contributions,
    now: Contributions,
    returns: pd.DataFrame,
    lag: int,
) -> pd.DataFrame:
    """The ATTRIBUTION rows of one month.

    :param earlier: of the month before; its last decisions are still in effect when ``now`` starts
    :param returns: by session and ticker
    """
    models = sorted({*earlier.models, *now.models})
    contributions = np.concatenate([_align(models, earlier), _align(models, now)], axis=1)
    stated = np.isfinite(contributions)
    start = len(earlier.sessions)
    effective = _decision_in_effect(stated.any(axis=(0, 2)), start, lag)
    began = effective >= 0
    held = contributions[:, effective[began]]
    moves = returns.loc[pd.DatetimeIndex(now.sessions[began])].to_numpy(np.float64)
    earned = (np.nan_to_num(held) * moves).sum(axis=1)
    listed = stated[:, start:].any(axis=1) | np.isfinite(held).any(axis=1)
    weight = np.nan_to_num(contributions[:, start:])
    size = np.abs(weight).sum(axis=1)
    n_sessions = max(len(now.sessions), 1)
    netting = np.abs(weight.sum(axis=0)).sum(axis=0) - size.sum(axis=0)
    opposed = np.flatnonzero(((weight > 0).any(axis=0) & (weight < 0).any(axis=0)).any(axis=0))
    row, column = np.nonzero(listed)
    none = np.zeros(len(opposed))
    return pd.DataFrame(
        {
            "month": month,
            "model": np.append(np.array(models, object)[row], [NETTING] * len(opposed)),
            "ticker": now.tickers[np.append(column, opposed)],
            "weight": np.append(weight.sum(axis=1)[row, column] / n_sessions, none),
            "gross_weight": np.append(size[row, column], netting[opposed]) / n_sessions,
            "gross_return": np.append(earned[row, column], none),
        }
    ).astype({"model": object, "ticker": object})


def _decision_in_effect(decided: Flags, start: int, lag: int) -> Indices:
    """For each session from ``start`` on, the session whose book was in effect at the close before.

    :param decided: whether a session has a book, shape ``(n_sessions,)``; a session without one
        keeps the last one
    :return: positions among all sessions; -1 if there is no book yet
    """
    latest = np.maximum.accumulate(np.where(decided, np.arange(len(decided)), -1))
    at = np.arange(start, len(decided)) - 1 - lag
    return np.where(at >= 0, latest[np.maximum(at, 0)], -1)


def _align(models: list[str], month: Contributions) -> Array:
    """The contributions of ``models``, NaN for models that have none."""
    aligned = np.full((len(models), *month.weight.shape[1:]), np.nan)
    aligned[[models.index(model) for model in month.models]] = month.weight
    return aligned


def _no_contributions(month: Contributions) -> Contributions:
    """The month before the start of the history: no sessions and no models."""
    return Contributions(
        month.sessions[:0], month.tickers, [], month.weight[:0, :0], month.age[:0, :0]
    )
