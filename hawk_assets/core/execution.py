"""When an order executes: at a close of its own ticker, never at a close of another one.

A decision dated t executes at the ``lag``-th close of the ticker after t: with lag 1 at its next
close. With lag 0 it executes at the close of t, or at the next one where the ticker has none on t.
Of several decisions that come to the same close the latest is kept. A decision whose close does not
exist yet waits for it, however long that takes.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from hawk_assets.core.types import Dates, Flags, Ids, Indices


def close_of_execution(decided: Dates, closes: Dates, lag: int) -> Ids:
    """The close at which each decision executes, counted from 0 at the first of ``closes``.

    :param decided: the dates of the decisions, ascending, shape ``(n_decisions,)``
    :param closes: the dates of one ticker's closes, ascending
    :return: shape ``(n_decisions,)``, ascending; ``len(closes)`` and more for closes still to come
    """
    side: Literal["left", "right"] = "left" if lag == 0 else "right"
    return np.searchsorted(closes, decided, side) + max(lag - 1, 0)


def executed_decisions(decided: Dates, sessions: Dates, traded: Flags, lag: int) -> Indices:
    """The decision that executes at each close.

    :param decided: shape ``(n_decisions,)``, ascending; need not be sessions
    :param sessions: shape ``(n_sessions,)``, ascending
    :param traded: whether a ticker has a close on a session, shape ``(n_sessions, n_tickers)``
    :return: shape ``(n_sessions, n_tickers)``; -1 where none executes
    """
    executed = np.full(traded.shape, -1, np.intp)
    for columns, own in _calendars(traded):
        number = close_of_execution(decided, sessions[own], lag)
        last = np.flatnonzero(np.append(number[1:] != number[:-1], True)[: len(number)])
        last = last[number[last] < len(own)]
        executed[np.ix_(own[number[last]], columns)] = last[:, None]
    return executed


def closes_since(sessions: Dates, traded: Flags, date: Dates) -> Indices:
    """How many closes each ticker has from a date of each session up to that session.

    :param sessions: as for :func:`executed_decisions`, and so is ``traded``
    :param date: shape ``(n_sessions,)``, none after its session
    :return: shape ``(n_sessions, n_tickers)``
    """
    closes = _count_closes(traded)
    return closes[1:] - closes[np.searchsorted(sessions, date)]


class Waiting(NamedTuple):
    """Decisions that wait at the close of a session; arrays of one length."""

    session: Indices
    ticker: Indices
    ahead: Indices
    """How many closes of the ticker come before the one at which it executes."""
    decision: Indices


def waiting_decisions(
    decided: Dates, sessions: Dates, traded: Flags, lag: int, before: Dates
) -> Waiting:
    """The decisions made before a date of each session that wait at its close.

    A decision that a later one has replaced by that close does not wait any more.

    :param decided: as for :func:`executed_decisions`, and so are ``sessions`` and ``traded``
    :param before: shape ``(n_sessions,)``; later decisions are not returned
    """
    closes = _count_closes(traded)
    since = closes[1:] - closes[np.searchsorted(sessions, before)]
    found = []
    # So many closes since ``before`` have executed whatever was decided before it.
    for ticker in np.flatnonzero((since < max(lag, 1)).any(axis=0)):
        rows = np.flatnonzero(since[:, ticker] < max(lag, 1))
        number = close_of_execution(decided, sessions[traded[:, ticker]], lag)
        known = np.searchsorted(decided, sessions[rows], "right") - 1
        for ahead in range(max(lag, 1)):
            wanted = closes[1:][rows, ticker] + ahead
            at = np.minimum(np.searchsorted(number, wanted, "right") - 1, known)
            waits = np.flatnonzero(at >= 0)
            waits = waits[number[at[waits]] == wanted[waits]]
            waits = waits[decided[at[waits]] < before[rows[waits]]]
            n = len(waits)
            found.append((rows[waits], np.full(n, ticker), np.full(n, ahead), at[waits]))
    none = (np.empty(0, np.intp),) * 4
    return Waiting(*(np.concatenate(parts) for parts in zip(none, *found, strict=True)))


def _count_closes(traded: Flags) -> Indices:
    """The closes before each session and, last, all closes: ``(n_sessions + 1, n_tickers)``."""
    closes = np.zeros((len(traded) + 1, traded.shape[1]), np.intp)
    np.cumsum(traded, axis=0, out=closes[1:])
    return closes


def _calendars(traded: Flags) -> Iterator[tuple[Indices, Indices]]:
    """The tickers of each calendar, and its sessions; tickers that always trade together share one.

    :param traded: shape ``(n_sessions, n_tickers)``
    """
    if traded.all():
        yield np.arange(traded.shape[1]), np.arange(len(traded))
        return
    groups: dict[bytes, list[int]] = {}
    for column, bits in enumerate(np.packbits(traded, axis=0).T):
        groups.setdefault(bits.tobytes(), []).append(column)
    for columns in groups.values():
        yield np.array(columns), np.flatnonzero(traded[:, columns[0]])
