"""Decisions to orders: what executes at each close, and what waits at the end of a session."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.core.execution import (
    close_of_execution,
    executed_decisions,
    waiting_decisions,
)
from hawk_assets.core.sessions import month_starts
from hawk_assets.core.types import Array, Dates, Flags

Queues = Mapping[str, Sequence[float]]
"""Waiting targets by ticker: the first executes at its next close, the second at the one after, and
so on; NaN where no order executes."""


@dataclass(frozen=True, eq=False)
class Orders:
    """The orders of one book.

    :param sessions: ascending, shape ``(n_sessions,)``
    :param tickers: ascending, shape ``(n_tickers,)``
    :param executes: whether an order executes at a close, shape ``(n_sessions, n_tickers)``
    :param targets: what it orders, as a fraction of the book; the same shape, 0 where none executes
    """

    sessions: Dates
    tickers: list[str]
    executes: Flags
    targets: Array
    _decided: Dates
    _weights: Array
    _traded: Flags
    _lag: int
    _carried: Queues
    _first: int

    def waiting(self, positions: pd.DataFrame) -> list[dict[str, list[float]]]:
        """The orders that wait at the close of each session, decided before the session's month.

        Those decided within the month can be read from its insights. An order to close what is not
        held is none.

        :param positions: dollars, indexed by the last of the sessions; columns tickers
        """
        first = len(self.sessions) - len(positions)
        held = positions.reindex(columns=self.tickers, fill_value=0.0).to_numpy() != 0
        queues: list[dict[str, list[float]]] = [{} for _ in range(len(positions))]

        def add(row: int, column: int, ahead: int, weight: float) -> None:
            queue = queues[row].setdefault(self.tickers[column], [])
            queue += [np.nan] * (ahead + 1 - len(queue))
            queue[ahead] = weight

        months = month_starts(pd.DatetimeIndex(self.sessions)).to_numpy()
        found = waiting_decisions(self._decided, self.sessions, self._traded, self._lag, months)
        for session, column, ahead, decision in zip(*(a.tolist() for a in found), strict=True):
            if session >= first:
                add(session - first, column, ahead, self._weights[decision, column])
        for ticker, queue in self._carried.items():
            column = self.tickers.index(ticker)
            for ahead, weight in enumerate(queue):
                if not np.isnan(weight):
                    for session, still_ahead in self._waiting_sessions(column, ahead):
                        add(session - first, column, still_ahead, weight)
        for row, waiting in enumerate(queues):
            for ticker, queue in list(waiting.items()):
                if held[row, self.tickers.index(ticker)]:
                    continue
                buys = np.flatnonzero(np.nan_to_num(queue))
                if not len(buys):
                    del waiting[ticker]
                else:
                    queue[: buys[0]] = [np.nan] * int(buys[0])
        return queues

    def _waiting_sessions(self, column: int, ahead: int) -> Iterator[tuple[int, int]]:
        """The sessions at whose close a carried order waits, and how many closes it waits for."""
        own = np.flatnonzero(self._traded[:, column])
        number = int(np.searchsorted(own, self._first)) + ahead
        decided = close_of_execution(self._decided, self.sessions[own], self._lag)
        replaced = self._decided[decided == number][:1]
        stop = own[number] if number < len(own) else len(self.sessions)
        if len(replaced):
            stop = min(stop, int(np.searchsorted(self.sessions, replaced[0])))
        for session in range(self._first, stop):
            yield session, number - int(np.searchsorted(own, session, "right"))


def schedule_orders(
    decisions: pd.DataFrame,
    closes: pd.DataFrame,
    lag: int,
    carried: Queues,
    held: Sequence[str],
    first: int,
) -> Orders:
    """When the decisions of a book execute. A ticker that a decision does not name is closed.

    :param decisions: targets, indexed by date of decision, ascending; columns tickers
    :param closes: indexed by session, ascending; columns tickers; NaN where there is none
    :param lag: closes of the ticker from decision to execution
    :param carried: the orders that waited at the close before ``first``, decided before the first
        of ``decisions``; one decided later for the same close replaces them
    :param held: tickers that are held before ``first``
    :param first: the first session, by position, at which orders may execute
    """
    tickers = sorted({*decisions.columns, *carried, *held})
    traded = closes.reindex(columns=tickers).notna().to_numpy()
    sessions = closes.index.to_numpy("datetime64[ns]")
    decided = decisions.index.to_numpy("datetime64[ns]")
    weights = decisions.reindex(columns=tickers, fill_value=0.0).to_numpy(np.float64)
    executed = executed_decisions(decided, sessions, traded, lag)
    executes = executed >= 0
    # The last row is that of no decision, -1.
    padded = np.concatenate([weights, np.zeros((1, len(tickers)))])
    targets = padded[executed, np.arange(len(tickers))]
    executes[:first], targets[:first] = False, 0.0
    for ticker, queue in carried.items():
        column = tickers.index(ticker)
        own = np.flatnonzero(traded[:, column])
        for weight, row in zip(queue, own[own >= first], strict=False):
            if not (np.isnan(weight) or executes[row, column]):
                executes[row, column], targets[row, column] = True, weight
    return Orders(
        sessions, tickers, executes, targets, decided, weights, traded, lag, carried, first
    )
