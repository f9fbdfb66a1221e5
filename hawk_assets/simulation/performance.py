"""Insights and prices to performance: the lag, the holes, and the restart of a month.

The lag between a signal and its trade is applied here and nowhere else; its rule is that of
``core.execution``, ticker by ticker.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from hawk_assets.core.errors import DataError, MissingMonthError, SimulationError
from hawk_assets.core.execution import close_of_execution, closes_since
from hawk_assets.core.schemas import SIMULATION_COLUMNS
from hawk_assets.core.sessions import month_starts, shift
from hawk_assets.core.types import Array, Flags
from hawk_assets.simulation import engine
from hawk_assets.simulation.drift import complete_targets, held_without_order, trading_cost
from hawk_assets.simulation.orders import Queues, schedule_orders
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.positions import last_map, last_positions, to_maps, to_queues


def pending_orders(insights: pd.DataFrame, market_data: pd.DataFrame, lag: int) -> pd.DataFrame:
    """The latest target of each ticker that has not traded yet.

    :param insights: date, ticker, weight of one book; a date is a complete target, and a ticker
        that it does not name is closed
    :param market_data: date, ticker, close from the first of these dates on
    :param lag: closes of the ticker from decision to trade
    :return: date (of the decision), ticker, weight, by ticker; a ticker whose latest target has
        traded has no row
    """
    decisions = _wide(insights, "weight", absent=0.0)
    latest = decisions.index[-1:].to_numpy("datetime64[ns]")
    priced = market_data[market_data["close"].notna()].sort_values("date")
    closes = {t: rows.to_numpy("datetime64[ns]") for t, rows in priced.groupby("ticker")["date"]}
    none = np.empty(0, "datetime64[ns]")
    waits = [
        ticker
        for ticker in decisions.columns
        for own in [closes.get(ticker, none)]
        if (close_of_execution(latest, own, lag) >= len(own)).any()
    ]
    return pd.DataFrame(
        {
            "date": np.repeat(latest, len(waits)),
            "ticker": np.array(waits, object),
            "weight": decisions[waits].to_numpy()[-1:].ravel(),
        }
    )


def simulate(
    name: str,
    insights: pd.DataFrame,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """The performance of a book over ``months``, restarted from the month before.

    A session is a date with at least one close. A date with insights is a complete target: a ticker
    that it does not name is closed. A date without insights is no order: what is held is kept, and
    its weights drift.

    Each ticker trades at its own closes. An insight dated t executes at the ``execution_lag``-th
    close of the ticker after t (``core.execution``). On a session without a close of its own a
    ticker is valued at its last one and its position stays as it is; its order waits for the next
    close, however long that takes, unless a later insight replaces it. So a holding that stops
    trading is sold at the first price that there is, and is kept as long as there is none.

    :param name: whose book it is, for messages
    :param insights: date, ticker, weight, of ``months`` and the last month with sessions before
    :param market_data: date, ticker, close, over the same months
    :param months: the months to compute, ascending and adjacent
    :param previous: performance_timeseries of the last month with sessions before ``months``; None
        for the first month of all, which starts with ``initial_value`` in cash
    :param parameters: capital, costs and lag
    :return: performance_timeseries of every session of ``months``; equal to 1e-9 for a range in one
        call and for its months one after another
    :raises SimulationError: bankrupt, or a position without any known price
    :raises MissingMonthError: ``previous`` does not end on the last session before ``months``
    :raises DataError: two rows for one date and ticker
    """
    closes = _wide(market_data, "close", absent=np.nan)
    closes = closes[(closes.index < shift(months[-1], 1)) & closes.notna().any(axis=1).to_numpy()]
    sessions = pd.DatetimeIndex(closes.index)
    first = int(sessions.searchsorted(months[0]))
    if first == len(sessions):
        nothing = pd.DataFrame(index=sessions[:0], columns=SIMULATION_COLUMNS, dtype=float)
        return _table(nothing, closes[:0], closes[:0], [])
    if previous is None:
        state = _State({engine.CASH: parameters.initial_value}, {}, {})
        start = first
    else:
        _require_end(name, previous, sessions[:first])
        state = _State.at_end_of(previous)
        start = first - 1
    cash = state.positions.get(engine.CASH, 0.0)
    held = {ticker: value for ticker, value in state.positions.items() if ticker != engine.CASH}
    orders = schedule_orders(
        _wide(insights, "weight", absent=0.0),
        closes,
        parameters.execution_lag,
        state.waiting_orders,
        list(held),
        first,
    )
    traded = (orders.targets != 0).any(axis=0)
    used = [i for i, ticker in enumerate(orders.tickers) if traded[i] or ticker in held]
    tickers = [orders.tickers[i] for i in used]
    prices = closes.reindex(columns=tickers).ffill()[start:]
    if lost := [t for t in held if np.isnan(prices[t].iloc[0]) and t in state.last_closes]:
        prices.loc[sessions[start], lost] = [state.last_closes[ticker] for ticker in lost]
        prices = prices.ffill()
    dollars = np.array([held.get(ticker, 0.0) for ticker in tickers])
    _require_prices(name, dollars, prices[:1])

    executes, targets = orders.executes[start:, used], orders.targets[start:, used]
    rows = np.flatnonzero(executes.any(axis=1))
    executes, targets = executes[rows], targets[rows]
    # A ticker has no weight before its first close, so its price there does not matter.
    known = prices.bfill()
    drifting = held_without_order(executes, targets, dollars != 0).any()
    if drifting:
        at = known.to_numpy()[np.append(0, rows)]
        targets = complete_targets(executes, targets, at, dollars, cash, parameters)
    cost = trading_cost(*_bought(dollars, prices.iloc[0].to_numpy()), parameters)
    capital = cash + dollars.sum() + cost
    seed = pd.DataFrame([dollars / capital], index=sessions[[start]], columns=tickers)
    events = pd.DataFrame(targets, index=sessions[start:][rows], columns=tickers)
    portfolios = seed if events.empty else pd.concat([seed, events])
    results, positions = engine.run(
        name,
        known,
        portfolios[~portfolios.index.duplicated(keep="last")],
        replace(parameters, initial_value=capital),
    )
    own = closes.reindex(columns=tickers).notna().to_numpy()
    if drifting:
        positions[tickers] = _unrounded(positions[tickers].to_numpy(), own[start:], dollars)
    if previous is not None:
        results, positions = _continued(results[1:], previous.iloc[-1]), positions[1:]
        prices = prices[1:]
    month = month_starts(sessions).to_numpy()
    untraded = closes_since(sessions.to_numpy(), own, month)[first:] == 0
    stale = prices.where(untraded & (positions[tickers].to_numpy() != 0), 0.0)
    return _table(results, positions, stale, orders.waiting(positions[tickers]))


class _State(NamedTuple):
    """Where a book stands at the close of a session."""

    positions: dict[str, float]
    """Dollars by ticker, and cash."""
    last_closes: dict[str, float]
    waiting_orders: Queues

    @classmethod
    def at_end_of(cls, timeseries: pd.DataFrame) -> "_State":
        """A table by older code has no ``last_closes`` and no ``waiting_orders``."""
        return cls(
            last_positions(timeseries),
            last_map(timeseries, "last_closes"),
            last_map(timeseries, "waiting_orders"),
        )


def _wide(frame: pd.DataFrame, column: str, absent: float) -> pd.DataFrame:
    """One row per date and one column per ticker, both sorted; a NaN stays NaN."""
    dates, rows = np.unique(frame["date"].to_numpy("datetime64[ns]"), return_inverse=True)
    columns, tickers = pd.factorize(frame["ticker"].to_numpy(object), sort=True)
    if len(twice := np.flatnonzero(np.bincount(rows * len(tickers) + columns) > 1)):
        row, ticker = divmod(int(twice[0]), len(tickers))
        raise DataError(
            f"{column} of {tickers[ticker]} on {pd.Timestamp(dates[row]):%Y-%m-%d} is given more "
            "than once; keep one row per date and ticker"
        )
    values = np.full((len(dates), len(tickers)), absent)
    values[rows, columns] = frame[column].to_numpy(np.float64)
    return pd.DataFrame(values, index=pd.DatetimeIndex(dates), columns=tickers)


def _require_end(name: str, previous: pd.DataFrame, earlier: pd.DatetimeIndex) -> None:
    """The last row of ``previous`` must be the last of the earlier sessions."""
    date = pd.Timestamp(previous["date"].iloc[-1])
    if len(earlier) == 0 or date != earlier[-1]:
        found = f"{earlier[-1]:%Y-%m-%d}" if len(earlier) else "not in market_data"
        raise MissingMonthError(
            f"{name}: its performance ends on {date:%Y-%m-%d}, but the last session before the "
            f"months to compute is {found}; materialise performance_timeseries/{name} from "
            f"{date:%Y-%m} on"
        )


def _bought(dollars: Array, prices: Array) -> tuple[Array, Array]:
    """The size and the price of the purchase of these positions from cash.

    Started with so much more capital as the engine charges for it, the engine has exactly these
    positions and this cash afterwards.
    """
    bought = dollars != 0
    return np.abs(dollars[bought]), prices[bought]


def _require_prices(name: str, dollars: Array, prices: pd.DataFrame) -> None:
    """:param prices: one row"""
    unpriced = (dollars != 0) & np.isnan(prices.to_numpy(np.float64)[0])
    if unpriced.any():
        ticker, date = prices.columns[unpriced.argmax()], prices.index[0]
        raise SimulationError(
            f"{name}: {ticker} is held on {date:%Y-%m-%d} but has no close on or before "
            f"that date, back to the start of the month before; load market_data of {ticker} for "
            f"those months, or materialise performance_timeseries/{name} from {date:%Y-%m} on"
        )


def _unrounded(positions: Array, own: Flags, start: Array) -> Array:
    """Positions that stay the same in every bit while a ticker has no close.

    The engine trades to a weight, so it returns them with a rounding error.

    :param positions: dollars, shape ``(n_sessions, n_tickers)``
    :param own: whether a ticker has a close on a session, the same shape
    :param start: the positions of the first session, before what it trades
    """
    steady = np.where(own, positions, np.nan)
    steady[0] = np.where(own[0], positions[0], start)
    return pd.DataFrame(steady).ffill().to_numpy()


def _continued(results: pd.DataFrame, last: "pd.Series[float]") -> pd.DataFrame:
    """The columns that count from the book's start, continued from its last row before."""
    value = results["portfolio_value"]
    growth = value / last["portfolio_value"]
    peak = np.maximum(value.cummax(), last["portfolio_value"] / (1.0 + last["drawdown"]))
    return results.assign(
        cumulative_return=(1.0 + last["cumulative_return"]) * growth - 1.0,
        cumulative_log_return=last["cumulative_log_return"] + np.log(growth),
        drawdown=value / peak - 1.0,
    )


def _table(
    results: pd.DataFrame,
    positions: pd.DataFrame,
    last_closes: pd.DataFrame,
    waiting: Sequence[dict[str, list[float]]],
) -> pd.DataFrame:
    return (
        results.rename_axis("date")
        .reset_index()
        .assign(
            positions=to_maps(positions),
            last_closes=to_maps(last_closes),
            waiting_orders=to_queues(waiting),
        )
    )
