"""An independent simulator, one session and one ticker at a time, that the package must match.

Shares no code with the product and none with the engine. ``account`` trades given targets, as the
engine does; ``simulate`` keeps shares and a queue of orders for each ticker, by the rule of the
product: a ticker trades at its own closes only.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from hawk_assets.simulation.parameters import SimulationParameters

Order = Mapping[str, float]


class Ledger:
    """The rows of a performance_timeseries; ``positions`` as dicts."""

    def __init__(self, initial_value: float) -> None:
        self.start = self.last = self.peak = initial_value
        self.log_sum = 0.0
        self.rows: list[dict[str, Any]] = []

    def close(
        self,
        date: pd.Timestamp,
        held: Mapping[str, float],
        cash: float,
        volume: float,
        slippage: float,
        commission: float,
    ) -> None:
        value = cash + sum(held.values())
        self.peak = max(self.peak, value)
        self.log_sum += math.log(value / self.last)
        self.rows.append(
            {
                "date": date,
                "portfolio_value": value,
                "daily_return": value / self.last - 1,
                "daily_log_return": math.log(value / self.last),
                "cumulative_return": value / self.start - 1,
                "cumulative_log_return": self.log_sum,
                "drawdown": value / self.peak - 1,
                "volume_traded": volume,
                "daily_slippage_cost": slippage,
                "daily_commission_cost": commission,
                "positions": {**held, "cash": cash},
            }
        )
        self.last = value


def commission_of(shares: float, dollars: float, parameters: SimulationParameters) -> float:
    if parameters.fee_model != "ibkr_pro_fixed":
        return 0.0
    return min(max(0.005 * shares, 1.0), 0.01 * dollars)


def account(
    days: Iterator[tuple[pd.Timestamp, Mapping[str, float], Order | None]],
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """Keep the accounts: value the positions, trade at the close, pay the costs from cash.

    :param days: date, last close of every ticker seen so far, and the order for that close, if any
    """
    cash, held = parameters.initial_value, {}
    last_close: dict[str, float] = {}
    ledger = Ledger(parameters.initial_value)
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
                commission += commission_of(trade / closes[ticker], trade, parameters)
            held = target
            cash = total - sum(target.values()) - slippage - commission
        ledger.close(date, held, cash, volume, slippage, commission)
    return pd.DataFrame(ledger.rows)


def simulate(
    insights: pd.DataFrame,
    market_data: pd.DataFrame,
    months: pd.DatetimeIndex,
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """A book that starts in cash, over ``months``: shares, and a queue of orders per ticker.

    Day by day: the closes of the day execute the orders whose turn it is, then orders are decided.
    With a lag of 0 they are decided first.
    """
    lag = parameters.execution_lag
    bars: dict[pd.Timestamp, dict[str, float]] = {}
    for date, ticker, close in market_data[["date", "ticker", "close"]].itertuples(index=False):
        if not math.isnan(close):
            bars.setdefault(date, {})[ticker] = close
    decisions: dict[pd.Timestamp, dict[str, float]] = {}
    for date, ticker, weight in insights[["date", "ticker", "weight"]].itertuples(index=False):
        decisions.setdefault(date, {})[ticker] = weight
    tickers = sorted({*market_data["ticker"], *insights["ticker"]})
    # Per ticker, by how many of its closes are still to come: the target that executes then.
    queues: dict[str, dict[int, float]] = {ticker: {} for ticker in tickers}
    shares, closes = dict.fromkeys(tickers, 0.0), dict.fromkeys(tickers, math.nan)
    cash = parameters.initial_value
    ledger = Ledger(cash)
    for date in sorted({*bars, *decisions}):
        order = decisions.get(date)
        if order is not None and lag == 0:
            for ticker in tickers:
                queues[ticker][1] = order.get(ticker, 0.0)
        targets = {}
        for ticker, close in bars.get(date, {}).items():
            closes[ticker] = close
            queues[ticker] = {left - 1: weight for left, weight in queues[ticker].items()}
            if 0 in queues[ticker]:
                targets[ticker] = queues[ticker].pop(0)
        if order is not None and lag > 0:
            for ticker in tickers:
                queues[ticker][lag] = order.get(ticker, 0.0)
        if date in bars and date >= months[0]:
            before = cash + sum(n * closes[ticker] for ticker, n in shares.items() if n)
            volume = commission = 0.0
            for ticker, weight in targets.items():
                change = weight * before / closes[ticker] - shares[ticker]
                shares[ticker] += change
                if weight == 0:
                    shares[ticker] = 0.0
                cash -= change * closes[ticker]
                volume += abs(change) * closes[ticker]
                commission += commission_of(abs(change), abs(change) * closes[ticker], parameters)
            slippage = volume * parameters.slippage_bps / 10_000
            cash -= slippage + commission
            held = {ticker: n * closes[ticker] for ticker, n in shares.items() if n}
            ledger.close(date, held, cash, volume, slippage, commission)
    return pd.DataFrame(ledger.rows)
