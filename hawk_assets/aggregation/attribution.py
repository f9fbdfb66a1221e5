"""Attribution of the book to models: contributions to its weight and return, by month."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from hawk_assets.aggregation.combination import Contributions, build_contributions
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.execution import executed_decisions
from hawk_assets.core.types import Array, Dates, Flags, Indices

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
    the contribution earned before costs: the sum over the month's sessions of the weight held at
    the close before, times the ticker's return since. A weight decided at a close is held from the
    ``lag``-th close of the ticker after it (``core.execution``). Until the next one is, it drifts:
    it grows with its ticker and shrinks as the book grows. A ticker without a close earns nothing
    on that session, and all of it at its next close.

    A month knows what was decided in it and in the month before. So a ticker without a close in the
    whole month before earns nothing up to the first trade that was decided since.

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
    closes = market_data.pivot(index="date", columns="ticker", values="close").sort_index()
    closes = closes[closes.notna().any(axis=1)]
    sessions = pd.DatetimeIndex(closes.index)
    first = months[:1] - pd.DateOffset(months=1)
    known = months if weights.loc[weights["month"] == first[0]].empty else months.union(first)
    books = list(build_contributions(weights, insights, sessions, known, parameters))
    if len(known) == len(months):
        books.insert(0, _no_contributions(books[0]))
    closes = closes.reindex(columns=books[0].tickers)
    returns = closes.ffill().pct_change(fill_method=None).fillna(0.0)
    tables = [
        _attribute_month(month, earlier, now, closes.notna(), returns, lag)
        for month, (earlier, now) in zip(months, pairwise(books), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _attribute_month(
    month: pd.Timestamp,
    earlier: Contributions,
    now: Contributions,
    traded: pd.DataFrame,
    returns: pd.DataFrame,
    lag: int,
) -> pd.DataFrame:
    """The ATTRIBUTION rows of one month.

    :param earlier: of the month before; its last decisions are still in effect when ``now`` starts
    :param traded: whether a ticker has a close, by session and ticker
    :param returns: by session and ticker
    """
    models = sorted({*earlier.models, *now.models})
    contributions = np.concatenate([_align(models, earlier), _align(models, now)], axis=1)
    stated = np.isfinite(contributions)
    start = len(earlier.sessions)
    sessions = np.concatenate([earlier.sessions, now.sessions])
    rows = pd.DatetimeIndex(sessions)
    own, moves = traded.loc[rows].to_numpy(bool), returns.loc[rows].to_numpy(np.float64)
    executed = _executed(stated.any(axis=(0, 2)), sessions, own, lag)
    size = np.nan_to_num(contributions).sum(axis=0)
    drift = _drift(executed, size, moves)
    # What is held at the close before each session of the month.
    before = np.arange(max(start, 1), len(sessions)) - 1
    latest = np.maximum.accumulate(executed, axis=0)[before]
    began, columns = latest >= 0, np.arange(len(now.tickers))
    held = np.where(began, contributions[:, latest, columns], np.nan)
    earned = (np.nan_to_num(held) * drift[before] * moves[before + 1]).sum(axis=1)
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


def _executed(decided: Flags, sessions: Dates, traded: Flags, lag: int) -> Indices:
    """The session whose book is executed at each close, by position; -1 where none is.

    :param decided: whether a session has a book, shape ``(n_sessions,)``
    :param traded: shape ``(n_sessions, n_tickers)``
    :return: the same shape
    """
    books = np.flatnonzero(decided)
    executed = executed_decisions(sessions[books], sessions, traded, lag)
    return np.append(books, -1)[executed]


def _drift(executed: Indices, weight: Array, moves: Array) -> Array:
    """What one unit of each decided weight has grown to at each close, as a share of the book.

    :param executed: as ``_executed`` returns it, shape ``(n_sessions, n_tickers)``
    :param weight: the decided weights of the book, the same shape
    :param moves: the tickers' returns since the session before, the same shape
    :return: the same shape; 1 at an execution
    """
    trades = executed >= 0
    drift = np.ones(executed.shape)
    if trades[1:].all():
        return drift
    target = np.where(trades, weight[executed, np.arange(executed.shape[1])], 0.0)
    held = target[0] if len(target) else np.empty(0)
    for row in range(1, len(executed)):
        growth = 1.0 + moves[row]
        book = 1.0 + float((held * moves[row]).sum())
        factor = growth / book if book > 0 else growth
        drift[row] = np.where(trades[row], 1.0, drift[row - 1] * factor)
        held = np.where(trades[row], target[row], held * factor)
    return drift


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
