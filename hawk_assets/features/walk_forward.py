"""The base of models that are fitted: a classifier that walks forward through the calendar.

On the first session of each month (or quarter) a classifier is fitted on the last ``train``
sessions whose labels were complete before that session, all tickers pooled. It is used until the
next fit. No label lies in the future. Reference: Marcos Lopez de Prado, Advances in Financial
Machine Learning, 2018, chapter 7, for purge and embargo.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hawk_assets.core.model import Array, Bars, Signal, States, TradingModel
from hawk_assets.features.indicators import ema, past_return, percent_b, recursive_warmup, rsi

FEATURES = ("ret_1", "ret_5", "ret_21", "ret_63", "rsi", "ema_gap", "percent_b", "vol_21")
Labels = NDArray[np.int8]
Predict = Callable[[Array], Array]


@dataclass(frozen=True)
class WalkForwardClassifier(TradingModel):
    """Subclasses implement ``fit``. A probability p of a rise becomes ``clip(4 (p - 0.5), -1, 1)``.

    :param horizon: sessions ahead over which a rise is the label
    :param train: sessions of a training window; the signal is 0 until there is a whole window
    :param embargo: sessions between the last label and the fit that are not used
    """

    horizon: int = 5
    train: int = 756
    embargo: int = 1

    period: ClassVar[str] = "M"
    """Calendar period at whose first session the classifier is fitted: ``M`` or ``Q``."""

    def __post_init__(self) -> None:
        if not (self.horizon >= 1 and self.train >= 2 and self.embargo >= 0):
            raise ValueError(f"need horizon >= 1, train >= 2 and embargo >= 0: {self}")

    @property
    def warmup(self) -> int:
        return max(recursive_warmup(14, 1 / 14), recursive_warmup(25, 2 / 27))

    @property
    def lookback(self) -> int:
        longest = {"M": 31, "Q": 92}[self.period]  # days: some markets trade on all of them
        return self.train + self.horizon + self.embargo + longest

    @abstractmethod
    def fit(self, features: Array, rises: Labels, seed: int) -> Predict:
        """Fit a classifier.

        :param features: standardised, shape ``(n_rows, n_features)``
        :param rises: 1 where the price rose, shape ``(n_rows,)``; both classes occur
        :param seed: a function of the date of the fit
        :return: a function from features to the probability of a rise, shape ``(n_rows,)``
        """

    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        daily = past_return(close, 1, 0)
        vol = np.full(len(close), np.nan)
        if len(close) > 21:
            vol[21:] = np.lib.stride_tricks.sliding_window_view(daily[1:], 21).std(axis=1, ddof=1)
        return {
            **{f"ret_{k}": past_return(close, k, 0) for k in (1, 5, 21, 63)},
            "rsi": rsi(close, 14),
            "ema_gap": np.log(ema(close, 12) / ema(close, 26)),
            "percent_b": percent_b(close, 20, 2.0),
            "vol_21": vol,
        }

    def signal(self, states: States) -> Signal:
        close = states["close"]
        rows = np.stack([states[name].to_numpy(np.float64) for name in FEATURES], axis=2)
        price = np.log(close.to_numpy(np.float64))
        ahead = np.full_like(price, np.nan)
        ahead[: -self.horizon] = price[self.horizon :] - price[: -self.horizon]
        ready = np.isfinite(rows).all(axis=2)
        probability = np.full(price.shape, 0.5)
        sessions = pd.DatetimeIndex(close.index)
        for start, stop in _periods(sessions, self.period):
            last = start - self.horizon - self.embargo
            first = last - self.train + 1
            if first < 0:
                continue
            window = slice(first, last + 1)
            known = ready[window] & np.isfinite(ahead[window])
            x, rises = rows[window][known], (ahead[window][known] > 0).astype(np.int8)
            now = ready[start:stop]
            if len(np.unique(rises)) < 2 or not now.any():
                continue
            mean, spread = x.mean(axis=0), x.std(axis=0)
            spread = np.where(spread > 0, spread, 1.0)
            predict = self.fit((x - mean) / spread, rises, _seed(sessions[start]))
            probability[start:stop][now] = predict((rows[start:stop][now] - mean) / spread)
        opinion = np.clip(4 * (probability - 0.5), -1.0, 1.0)
        return pd.DataFrame(opinion, close.index, close.columns).where(close.notna())


def _periods(sessions: pd.DatetimeIndex, period: str) -> list[tuple[int, int]]:
    """First row and end of each calendar period except the first, which may be incomplete."""
    names = sessions.to_period(period)
    starts = np.flatnonzero(names[1:] != names[:-1]) + 1
    return list(zip(starts, np.append(starts[1:], len(sessions)), strict=False))


def _seed(date: pd.Timestamp) -> int:
    return int.from_bytes(blake2b(f"{date:%Y-%m-%d}".encode(), digest_size=4).digest())
