"""Insights and prices to performance: the lag, the holes, and the restart of a month.

The one-session lag between a signal and its trade is applied here and nowhere else.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from hawk_assets.core.errors import DataError, MissingMonthError, SimulationError
from hawk_assets.core.schemas import SIMULATION_COLUMNS
from hawk_assets.core.sessions import shift
from hawk_assets.core.types import Array
from hawk_assets.simulation import engine
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.positions import last_positions, to_maps


def to_sessions(
    weights: pd.DataFrame, sessions: pd.DatetimeIndex, lag: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move targets from the date of their decision to the session on which they trade.

    A target decided on a day without a session counts as decided on the next session. It trades
    ``lag`` sessions later. If several trade on one session, the last decided is kept.

    :param weights: targets, shape ``(n_decisions, n_tickers)``, indexed by decision date, ascending
    :param sessions: every session from the first decision on, ascending
    :param lag: sessions from decision to trade; 0 trades at the close of the decision
    :return: the targets by the session on which they trade, and by decision date those that trade
        after the last session
    """
    at = sessions.searchsorted(weights.index, side="left") + lag
    tradable = at < len(sessions)
    events = weights[tradable].set_axis(sessions[at[tradable]], axis=0)
    return events[~events.index.duplicated(keep="last")], weights[~tradable]


def pending_target(insights: pd.DataFrame, sessions: pd.DatetimeIndex, lag: int) -> pd.DataFrame:
    """The latest target that has not traded yet.

    :param insights: date, ticker, weight
    :param sessions: the sessions so far, ascending
    :param lag: sessions from decision to trade
    :return: date (of the decision), ticker, weight; no rows when nothing is pending
    """
    _, pending = to_sessions(_wide(insights, "weight", absent=0.0), sessions, lag)
    latest = insights["date"].isin(pending.index[-1:])
    return insights.loc[latest, ["date", "ticker", "weight"]].reset_index(drop=True)


def simulate(
    name: str,
    insights: pd.DataFrame,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    previous: pd.DataFrame | None,
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """The performance of a book over ``months``, restarted from the month before.

    A date with insights is a complete target: a ticker that it does not name is closed. A date
    without insights is no order: what is held is kept, and its weights drift. On a session without
    a bar a ticker is valued, and traded, at its last close.

    :param name: whose book it is, for messages
    :param insights: date, ticker, weight, of ``months`` and the last month with sessions before
    :param market_data: date, ticker, close, over the same months
    :param months: the months to compute, ascending and adjacent
    :param previous: performance_timeseries of the last month with sessions before ``months``; None
        for the first month of all, which starts with ``initial_value`` in cash
    :param parameters: capital, costs and lag
    :return: performance_timeseries of every session of ``months``; equal to 1e-9 for a range in one
        call and for its months one after another
    :raises SimulationError: bankrupt, or a ticker held or ordered before its first close
    :raises MissingMonthError: ``previous`` does not end on the last session before ``months``
    :raises DataError: two rows for one date and ticker
    """
    closes = _wide(market_data, "close", absent=np.nan)
    closes = closes[closes.index < shift(months[-1], 1)]
    sessions = pd.DatetimeIndex(closes.index)
    first = int(sessions.searchsorted(months[0]))
    if first == len(sessions):
        return _table(
            pd.DataFrame(index=sessions[:0], columns=SIMULATION_COLUMNS, dtype=float), closes[:0]
        )
    events, _ = to_sessions(
        _wide(insights, "weight", absent=0.0), sessions, parameters.execution_lag
    )
    if previous is None:
        start, held = sessions[first], {engine.CASH: parameters.initial_value}
        events = events[events.index >= start]
    else:
        start, held = _restart_date(name, previous, sessions[:first]), last_positions(previous)
        events = events[events.index > start]

    cash = held.pop(engine.CASH, 0.0)
    tickers = sorted({*events.columns[(events != 0).any()], *held})
    events = events.reindex(columns=tickers, fill_value=0.0)
    prices = closes.reindex(columns=tickers).ffill().loc[start:]
    dollars = np.array([held.get(ticker, 0.0) for ticker in tickers])
    cost = _purchase_cost(dollars, prices.iloc[0].to_numpy(), parameters)
    capital = cash + dollars.sum() + cost
    seed = pd.DataFrame([dollars / capital], index=[start], columns=tickers)
    targets = seed if events.empty else pd.concat([seed, events])
    targets = targets[~targets.index.duplicated(keep="last")]
    _require_prices(name, targets, prices)
    results, positions = engine.run(
        name,
        # A ticker has no weight before its first bar, so its price there does not matter.
        prices.bfill(),
        targets,
        replace(parameters, initial_value=capital),
    )
    if previous is not None:
        results, positions = _continued(results[1:], previous.iloc[-1]), positions[1:]
    return _table(results, positions)


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


def _restart_date(name: str, previous: pd.DataFrame, earlier: pd.DatetimeIndex) -> pd.Timestamp:
    """The date of the last row of ``previous``, which must be the last of the earlier sessions."""
    date = pd.Timestamp(previous["date"].iloc[-1])
    if len(earlier) == 0 or date != earlier[-1]:
        found = f"{earlier[-1]:%Y-%m-%d}" if len(earlier) else "not in market_data"
        raise MissingMonthError(
            f"{name}: its performance ends on {date:%Y-%m-%d}, but the last session before the "
            f"months to compute is {found}; materialise performance_timeseries/{name} from "
            f"{date:%Y-%m} on"
        )
    return date


def _purchase_cost(dollars: Array, prices: Array, parameters: SimulationParameters) -> float:
    """What the engine charges for buying these positions from cash.

    Started with so much more capital, it has exactly these positions and this cash afterwards.
    """
    bought = dollars != 0
    size, prices = np.abs(dollars[bought]), prices[bought]
    cost = size.sum() * parameters.slippage_bps / 1e4
    if parameters.fee_model is not None:
        cost += np.minimum(np.maximum(0.005 * size / prices, 1.0), 0.01 * size).sum()
    return float(cost)


def _require_prices(name: str, targets: pd.DataFrame, prices: pd.DataFrame) -> None:
    unpriced = (targets != 0) & prices.loc[targets.index].isna()
    if unpriced.to_numpy().any():
        row, column = np.argwhere(unpriced.to_numpy())[0]
        ticker, date = targets.columns[column], targets.index[row]
        raise SimulationError(
            f"{name}: {ticker} is held or ordered on {date:%Y-%m-%d} but has no close on or before "
            f"that date, back to the start of the month before; load market_data of {ticker} for "
            "those months, or give it no weight until it has a close"
        )


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


def _table(results: pd.DataFrame, positions: pd.DataFrame) -> pd.DataFrame:
    return results.rename_axis("date").reset_index().assign(positions=to_maps(positions))
