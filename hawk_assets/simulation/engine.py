"""The adapter of hawk-backtester: input that the engine would accept wrongly is an error here.

The only module that imports polars and hawk_backtester, and only when a simulation runs. The
engine trades a target at the close of its own date. Lag, holes and restarts are in ``performance``.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hawk_assets.core.errors import SimulationError
from hawk_assets.core.schemas import SIMULATION_COLUMNS
from hawk_assets.simulation.parameters import SimulationParameters

if TYPE_CHECKING:
    import polars as pl

CASH = "cash"
_RESERVED = ("date", CASH)


def run(
    name: str, prices: pd.DataFrame, weights: pd.DataFrame, parameters: SimulationParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate one book from cash, from its first event on.

    :param name: whose book it is, for messages
    :param prices: closes, shape ``(n_sessions, n_tickers)``, finite and positive; columns that the
        weights do not name are ignored
    :param weights: complete target portfolios as fractions of the book's value, shape
        ``(n_events, n_held)``, finite; each is traded at the close of its date, a session
    :param parameters: money and costs; the lag is not applied here
    :return: the engine's results (columns ``SIMULATION_COLUMNS``) and the dollars held at each
        close (the weights' tickers, sorted, and ``cash``), both indexed by session from the first
        event on
    :raises SimulationError: unusable input, a crash of the engine, or a book that is worth nothing
    """
    if weights.columns.empty:  # the engine needs a column, even for a book that is all cash
        weights = weights.assign(idle=0.0)
        prices = prices.assign(idle=1.0)
    _check(name, prices, weights)
    output = _call(name, _to_polars(prices[weights.columns]), _to_polars(weights), parameters)
    results, positions = (
        _to_pandas(output["backtest_results"]),
        _to_pandas(output["backtest_positions"]),
    )
    value = results["portfolio_value"].to_numpy()
    if (lost := ~(np.isfinite(value) & (value > 0))).any():
        row = int(np.argmax(lost))
        raise SimulationError(
            f"{name}: bankrupt on {results.index[row]:%Y-%m-%d}, the book is worth "
            f"{value[row]:,.2f}; reduce the leverage of its weights, or correct that day's prices"
        )
    return results[list(SIMULATION_COLUMNS)], positions


def _check(name: str, prices: pd.DataFrame, weights: pd.DataFrame) -> None:
    if reserved := [c for c in weights.columns if c in _RESERVED]:
        raise SimulationError(
            f"{name}: {reserved[0]!r} cannot be a ticker: the simulator reserves it; rename it"
        )
    if unpriced := [c for c in weights.columns if c not in prices.columns]:
        raise SimulationError(
            f"{name}: no price for {unpriced[0]}, which has a weight; add it to market_data"
        )
    prices = prices[weights.columns]
    for what, frame in (("price", prices), ("weight", weights)):
        step = np.diff(frame.index.to_numpy("datetime64[ns]")).astype(np.int64)
        if (step <= 0).any():
            date = frame.index[int(np.argmax(step <= 0)) + 1]
            raise SimulationError(
                f"{name}: the {what} dates are not unique and increasing at {date:%Y-%m-%d}; "
                "sort them and keep one row per date"
            )
        values = frame.to_numpy(np.float64)
        usable = np.isfinite(values) if what == "weight" else np.isfinite(values) & (values > 0)
        if not usable.all():
            row, column = np.argwhere(~usable)[0]
            raise SimulationError(
                f"{name}: the {what} of {frame.columns[column]} on {frame.index[row]:%Y-%m-%d} is "
                f"{values[row, column]}; correct it at its source"
            )
    if len(strange := weights.index.difference(prices.index)):
        raise SimulationError(
            f"{name}: there are weights for {strange[0]:%Y-%m-%d}, which is not a session; "
            "move them to the session on which they trade"
        )


def _call(
    name: str, prices: "pl.DataFrame", weights: "pl.DataFrame", parameters: SimulationParameters
) -> dict[str, Any]:
    from hawk_backtester import HawkBacktester

    engine = HawkBacktester(
        initial_value=float(parameters.initial_value),
        slippage_bps=float(parameters.slippage_bps),
        fee_model=parameters.fee_model,
    )
    try:
        output: dict[str, Any] = engine.run(prices, weights)
    except BaseException as error:
        # A Rust panic is not an Exception, so the handlers of callers would not catch it.
        if type(error).__name__ != "PanicException":
            raise
        raise SimulationError(f"{name}: hawk-backtester crashed: {error}; report it") from error
    return output


def _to_polars(wide: pd.DataFrame) -> "pl.DataFrame":
    import polars as pl

    dates = np.datetime_as_string(wide.index.to_numpy("datetime64[D]"))
    values = np.asfortranarray(wide.to_numpy(np.float64))
    columns = {str(c): values[:, i] for i, c in enumerate(wide.columns)}
    return pl.DataFrame({"date": dates, **columns})


def _to_pandas(frame: "pl.DataFrame") -> pd.DataFrame:
    dates = frame["date"].to_numpy().astype("datetime64[ns]")
    columns = {c: frame[c].to_numpy() for c in frame.columns if c != "date"}
    return pd.DataFrame(columns, index=pd.DatetimeIndex(dates, name="date"))
