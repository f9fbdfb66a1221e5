"""Candlestick patterns predict the next days: the balance of eight of them, held for a week.

An example, not a recommendation: Marshall, Young and Rose, Candlestick Technical Trading
Strategies: Can They Create Value for Investors?, Journal of Banking and Finance 30, 2006, find no
value in them. The patterns of each bar are computed from exactly the bars they need: with TA-Lib's
running averages, the start of a series sometimes changes a pattern.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import talib

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel

PATTERNS: tuple[tuple[Callable[..., Any], dict[str, float]], ...] = (
    (talib.CDLENGULFING, {}),
    (talib.CDLHAMMER, {}),
    (talib.CDLSHOOTINGSTAR, {}),
    (talib.CDLMORNINGSTAR, {"penetration": 0.3}),
    (talib.CDLEVENINGSTAR, {"penetration": 0.3}),
    (talib.CDLPIERCING, {}),
    (talib.CDLDARKCLOUDCOVER, {"penetration": 0.5}),
    (talib.CDLHARAMI, {}),
)


@dataclass(frozen=True)
class Candles(TradingModel):
    """:param hold: sessions for which the latest balance of patterns is held"""

    hold: int = 5

    inputs = ("open", "high", "low", "close")
    warmup = 12
    slice_stable = True

    def __post_init__(self) -> None:
        if self.hold < 2:
            raise ValueError(f"need hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"candles_{self.hold}"

    @property
    def lookback(self) -> int:
        return self.hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        balance = np.full(len(bars["close"]), np.nan)
        if len(balance) <= self.warmup:
            return {"balance": balance}
        length = self.warmup + 1
        prices = np.stack([bars[c] for c in self.inputs])
        windows = np.lib.stride_tricks.sliding_window_view(prices, length, axis=1)
        windows = windows / windows[3, :, -1:]
        # Prices in multiples of 2^-30 of the last close. Their sums are exact, so TA-Lib's running
        # averages can run across windows. Lengths that differ only by rounding compare as equal,
        # whatever the unit of the price.
        series = (np.round(windows * 2.0**30) / 2.0**30).reshape(4, -1)
        found = (np.sign(pattern(*series, **options)) for pattern, options in PATTERNS)
        balance[self.warmup :] = np.sum([side[length - 1 :: length] for side in found], axis=0)
        return {"balance": balance}

    def signal(self, states: States) -> Signal:
        side = states["balance"].clip(-1.0, 1.0)
        return side.where(side != 0).ffill(limit=self.hold - 1).fillna(0.0)


MODELS = (Candles(),)
