"""Candlestick patterns foretell the next days: the balance of eight of them, held a week.

An example rather than a recommendation: Marshall, Young and Rose, Candlestick Technical Trading
Strategies: Can They Create Value for Investors?, Journal of Banking and Finance 30, 2006, find no
value in them. Each bar's patterns are read from exactly the bars they need, because TA-Lib's
running averages flip a pattern now and then with the place where a series starts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import talib

from hawk_assets.core.model import Array, Bars, States, TradingModel

PATTERNS: tuple[tuple[Callable[..., Any], int, dict[str, float]], ...] = (
    (talib.CDLENGULFING, 2, {}),
    (talib.CDLHAMMER, 11, {}),
    (talib.CDLSHOOTINGSTAR, 11, {}),
    (talib.CDLMORNINGSTAR, 12, {"penetration": 0.3}),
    (talib.CDLEVENINGSTAR, 12, {"penetration": 0.3}),
    (talib.CDLPIERCING, 11, {}),
    (talib.CDLDARKCLOUDCOVER, 11, {"penetration": 0.5}),
    (talib.CDLHARAMI, 11, {}),
)


@dataclass(frozen=True)
class Candles(TradingModel):
    """:param hold: sessions the latest balance of patterns is held"""

    hold: int = 5

    inputs = ("open", "high", "low", "close")
    slice_stable = True

    def __post_init__(self) -> None:
        if self.hold < 2:
            raise ValueError(f"need hold >= 2: {self}")

    @property
    def name(self) -> str:
        return f"candles_{self.hold}"

    @property
    def warmup(self) -> int:
        return 12

    @property
    def lookback(self) -> int:
        return self.hold - 1

    def features(self, bars: Bars) -> dict[str, Array]:
        balance = np.full(len(bars["close"]), np.nan)
        if len(balance) <= self.warmup:
            return {"balance": balance}
        windows = np.lib.stride_tricks.sliding_window_view(
            np.stack([bars[c] for c in self.inputs]), self.warmup + 1, axis=1
        ).transpose(1, 0, 2)
        # In units of the last close, to 12 decimals: patterns compare lengths, and two that are
        # equal must stay equal whatever the price is quoted in.
        windows = np.round(windows / windows[:, 3:, -1:], 12)
        balance[self.warmup :] = [
            sum(
                np.sign(find(*bar[:, -length - 1 :], **more)[-1]) for find, length, more in PATTERNS
            )
            for bar in windows
        ]
        return {"balance": balance}

    def signal(self, states: States) -> pd.DataFrame:
        side = states["balance"].clip(-1.0, 1.0)
        return side.where(side != 0).ffill(limit=self.hold - 1).fillna(0.0)


MODELS = (Candles(),)
