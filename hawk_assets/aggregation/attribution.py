"""Which model put what into the book, and what it made of it: the book's parts, month by month."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.aggregation.combination import Parts, split_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.model import Array

NETTING = "(netting)"
"""The line of what models with opposite opinions take off each other; no model can be called so."""


def attribute(
    weights: pd.DataFrame,
    insights: Mapping[str, pd.DataFrame],
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    lag: int,
    parameters: AggregationParameters,
) -> pd.DataFrame:
    """The share of each model and ticker in the book's weight and gross return, per month.

    ``weight`` is the mean over the month's sessions of what the model puts into the book's weight
    of the ticker, ``gross_weight`` the mean of its size; without the other models it would be the
    exposure. ``gross_return`` is the sum over the month's sessions of the weight that stood at the
    close before, decided ``lag`` sessions earlier, times the ticker's return since: what the part
    earned before costs. On a session without a bar a ticker stays at its last close.

    Per ticker a line of its own, ``(netting)``, is the difference between the size of the book's
    weight and the sum of its parts' sizes; it is never positive. So each column adds up to the
    book's own: net weight, gross exposure and gross return.

    :param weights: the ``weights`` table of ``months`` and, where there is one, of the month before
    :param insights: per model, date, ticker and weight of ``months`` and of the two months before
    :param market_data: date, ticker and close over the same span
    :param months: adjacent, ascending
    :param lag: sessions from the close a weight is decided on to the close it trades at
    :return: the ``attribution`` table, by month, model and ticker, ``(netting)`` last; no
        rows for a month without sessions
    :raises MissingMonthError: a month without weights
    """
    closes = market_data.pivot(index="date", columns="ticker", values="close").sort_index().ffill()
    sessions = pd.DatetimeIndex(closes.index)
    first = months[:1] - pd.DateOffset(months=1)
    known = months if weights.loc[weights["month"] == first[0]].empty else months.union(first)
    split = list(split_insights(weights, insights, sessions, known, parameters))
    if len(known) == len(months):
        split.insert(0, _nothing(split[0]))
    returns = closes.reindex(columns=split[0].tickers).pct_change(fill_method=None).fillna(0.0)
    tables = [
        _month(month, earlier, now, returns, lag)
        for month, (earlier, now) in zip(months, pairwise(split), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _month(
    month: pd.Timestamp, earlier: Parts, now: Parts, returns: pd.DataFrame, lag: int
) -> pd.DataFrame:
    models = sorted({*earlier.models, *now.models})
    parts = np.concatenate([_of(models, earlier), _of(models, now)], axis=1)
    stated = np.isfinite(parts)
    start = len(earlier.sessions)
    standing = _standing(stated.any(axis=(0, 2)), start, lag)
    began = standing >= 0
    held = parts[:, standing[began]]
    moves = returns.loc[pd.DatetimeIndex(now.sessions[began])].to_numpy(np.float64)
    earned = (np.nan_to_num(held) * moves).sum(axis=1)
    listed = stated[:, start:].any(axis=1) | np.isfinite(held).any(axis=1)
    weight = np.nan_to_num(parts[:, start:])
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


def _standing(decided: NDArray[np.bool_], start: int, lag: int) -> NDArray[np.intp]:
    """For each session from ``start`` on, the one whose decision stood at the close before.

    :param decided: whether a session has a book at all, shape ``(n_sessions,)``; where it has none
        the last one stands
    :return: positions among all sessions; -1 where there is none yet
    """
    latest = np.maximum.accumulate(np.where(decided, np.arange(len(decided)), -1))
    at = np.arange(start, len(decided)) - 1 - lag
    return np.where(at >= 0, latest[np.maximum(at, 0)], -1)


def _of(models: list[str], parts: Parts) -> Array:
    """The weights of ``models``, NaN for those that have no part."""
    out = np.full((len(models), *parts.weight.shape[1:]), np.nan)
    out[[models.index(model) for model in parts.models]] = parts.weight
    return out


def _nothing(parts: Parts) -> Parts:
    """What there is before the first month of all."""
    return Parts(parts.sessions[:0], parts.tickers, [], parts.weight[:0, :0], parts.age[:0, :0])
