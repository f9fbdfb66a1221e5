"""What the tests of several models compare with: the same rules, computed the slow way."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from hawk_assets.core.model import Array, Bars, TradingModel
from hawk_assets_tests.markets import PRICES, ragged_market, random_walk


def bars_of_walk(bars: int, seed: int) -> Bars:
    """A random walk without ties or holes, as an argument of ``features``."""
    market = random_walk(1, bars, seed)
    return {name: market[name].to_numpy() for name in PRICES}


def bars_in_ticks() -> Bars:
    """Six years of moves in ticks of 1 %, with many equal closes and exact ties."""
    market = ragged_market()
    market = market[market["ticker"] == "TICK"]
    return {name: market[name].to_numpy() for name in PRICES}


def opinions(model: TradingModel, **states: Iterable[float]) -> list[float]:
    """The signals of one ticker from its states by name."""
    frames = {name: pd.DataFrame({"A": values}, dtype=float) for name, values in states.items()}
    return list(model.signal(frames)["A"])


def unit_of(model: TradingModel, feature: str) -> float:
    """The value of a feature that the model treats as one standard deviation at volatility 1."""
    (signal,) = opinions(model, **{feature: [1e-3]}, vol_63=[1.0])
    return 1e-3 / (2.0 * signal)


def spread_on_a_random_walk(model: TradingModel, feature: str) -> float:
    """Standard deviation of a feature of 100,000 closes whose returns have volatility 1 %, over
    that volatility."""
    returns = np.random.default_rng(1).normal(0.0, 0.01, 100_000)
    values = model.features({"close": np.exp(np.cumsum(returns))})[feature]
    return float(values[model.warmup :].std() / 0.01)


def held(enter: Iterable[bool], leave: Iterable[bool], max_hold: int) -> Array:
    """1 or 0 session by session: 1 from an entry until an exit or until the time is up."""
    left, out = 0, []
    for wants_in, wants_out in zip(enter, leave, strict=True):
        left = 0 if wants_out else max_hold if wants_in else max(0, left - 1)
        out.append(float(left > 0))
    return np.array(out)
