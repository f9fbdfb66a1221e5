"""An independent simulator, one session and one ticker at a time, that the package must match.

Shares no code with the product and none with the engine.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from hawk_assets.simulation.parameters import SimulationParameters

Order = Mapping[str, float]


def account(
    days: Iterator[tuple[pd.Timestamp, Mapping[str, float], Order | None]],
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """Keep the accounts: value the positions, trade at the close, pay the costs from cash.

    :param days: date, last close of every ticker seen so far, and the order for that close, if any
    :return: the columns of performance_timeseries; ``positions`` as dicts
    """
    cash, held = parameters.initial_value, {}
    last_close: dict[str, float] = {}
    last_value = peak = parameters.initial_value
    log_sum = 0.0
    rows = []
    for date, closes, order in days:
        for ticker in held:
            held[ticker] *= closes[ticker] / last_close[ticker]
        last_close = dict(closes)
        volume = slippage = commission = 0.0
        if order is not None:
            total = cash + sum(held.values())
            target = {ticker: weight * total for ticker, weight in order.items() if weight != 0}
            for ticker in {*held, *target}:
                trade = abs(target.get(ticker, 0.0) - held.get(ticker, 0.0))
                volume += trade
                slippage += trade * parameters.slippage_bps / 10_000
                if parameters.fee_model == "ibkr_pro_fixed":
                    shares = trade / closes[ticker]
                    commission += min(max(0.005 * shares, 1.0), 0.01 * trade)
            held = target
            cash = total - sum(target.values()) - slippage - commission
        value = cash + sum(held.values())
        peak = max(peak, value)
        log_sum += math.log(value / last_value)
        rows.append(
            {
                "date": date,
                "portfolio_value": value,
                "daily_return": value / last_value - 1,
                "daily_log_return": math.log(value / last_value),
                "cumulative_return": value / parameters.initial_value - 1,
                "cumulative_log_return": log_sum,
                "drawdown": value / peak - 1,
                "volume_traded": volume,
                "daily_slippage_cost": slippage,
                "daily_commission_cost": commission,
                "positions": {**held, "cash": cash},
            }
        )
        last_value = value
    return pd.DataFrame(rows)


def simulate(
    insights: pd.DataFrame,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """A book that starts in cash, over ``months``, session by session."""
    sessions = sorted(set(market_data["date"]))
    orders: dict[pd.Timestamp, Order] = {}
    for decided, rows in sorted(insights.groupby("date"), key=lambda pair: pair[0]):
        later = [session for session in sessions if session >= decided]
        if len(later) > parameters.execution_lag:
            orders[later[parameters.execution_lag]] = dict(
                zip(rows["ticker"], rows["weight"], strict=True)
            )
    bars = {date: rows for date, rows in market_data.groupby("date")}

    def days() -> Iterator[tuple[pd.Timestamp, Mapping[str, float], Order | None]]:
        closes: dict[str, float] = {}
        for session in sessions:
            for ticker, close in zip(bars[session]["ticker"], bars[session]["close"], strict=True):
                if not np.isnan(close):
                    closes[ticker] = close
            if session >= months[0]:
                yield session, dict(closes), orders.get(session)

    return account(days(), parameters)
