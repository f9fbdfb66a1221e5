"""Complete target portfolios for the engine, where only some tickers trade.

The engine trades every ticker to its target at each event. A ticker that must not trade gets, as
its target, the weight that it has at that close before anything is traded: the engine then leaves
it alone. That weight depends on all trades and costs before, so the account is kept here as well,
by the engine's rules.
"""

import numpy as np

from hawk_assets.core.types import Array, Flags
from hawk_assets.simulation.parameters import SimulationParameters


def held_without_order(executes: Flags, targets: Array, held: Flags) -> Flags:
    """Whether a ticker may be held at an event at which no order of it executes.

    :param executes: shape ``(n_events, n_tickers)``
    :param targets: what executes there; the same shape
    :param held: whether a ticker is held before the first event, shape ``(n_tickers,)``
    """
    events = np.arange(len(executes))[:, None]
    latest = np.maximum.accumulate(np.where(executes, events, -1), axis=0)
    columns = np.arange(executes.shape[1])
    return ~executes & np.where(latest >= 0, targets[latest, columns] != 0, held)


def complete_targets(
    executes: Flags,
    targets: Array,
    prices: Array,
    dollars: Array,
    cash: float,
    parameters: SimulationParameters,
) -> Array:
    """The targets, with the weight before trading where no order executes.

    :param executes: shape ``(n_events, n_tickers)``
    :param targets: fractions of the book; the same shape
    :param prices: at the start of the account and at each event, ``(n_events + 1, n_tickers)``
    :param dollars: what is held at the start, shape ``(n_tickers,)``
    :param cash: at the start
    :return: shape ``(n_events, n_tickers)``; 0 without order from where the book is worth nothing
    """
    ordered = np.where(executes, targets, 0.0)
    idle = ~executes
    growth = prices[1:] / prices[:-1]
    before, values = np.zeros(ordered.shape), np.full(len(ordered), np.inf)
    # Thousands of short rows: each numpy call counts.
    rows = zip(before, growth, ordered, idle, prices[1:], strict=True)
    for event, (held, moved, weights, kept, price) in enumerate(rows):
        np.multiply(dollars, moved, out=held)
        value = cash + float(np.add.reduce(held))
        if not value > 0:
            break
        values[event] = value
        dollars = weights * value
        np.copyto(dollars, held, where=kept)
        size = np.abs(dollars - held)
        cash = value - float(np.add.reduce(dollars)) - trading_cost(size, price, parameters)
    return np.where(executes, targets, before / values[:, None])


def trading_cost(size: Array, prices: Array, parameters: SimulationParameters) -> float:
    """What the engine charges for trades at one close.

    :param size: dollars, not negative
    :param prices: of one share, the same shape
    """
    cost = np.add.reduce(size) * parameters.slippage_bps / 1e4
    if parameters.fee_model is not None:
        shares = size / prices
        cost += np.add.reduce(np.minimum(np.maximum(0.005 * shares, 1.0), 0.01 * size))
    return float(cost)
