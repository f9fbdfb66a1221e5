"""On independent returns no model earns anything; a model that sees tomorrow does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.model_states.bars import volatility
from hawk_assets.models import discover
from hawk_assets_tests.markets import random_walk
from hawk_assets_tests.models.contract import KEYS, bars_of

LIMIT = 3.5


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    return random_walk(tickers=20, bars=3000, seed=17)


def t_statistic(model: TradingModel, market: pd.DataFrame, lag: int) -> float:
    """t of the mean over tickers of signal times the log return ``lag`` sessions later."""
    parts = []
    for ticker, (bars, dates) in bars_of(model, market).items():
        base = {"close": bars["close"], "vol_63": volatility(bars["close"])}
        features = model.features(bars)
        parts.append(pd.DataFrame({"date": dates, "ticker": ticker, **base, **features}))
    long = pd.concat(parts)
    wide = {c: long.pivot(index="date", columns="ticker", values=c) for c in long if c not in KEYS}
    earned = model.signal(wide) * np.log(wide["close"]).diff().shift(-lag)
    daily = earned.mean(axis=1)
    daily = daily[earned.any(axis=1)]
    return float(daily.mean() / daily.std() * np.sqrt(len(daily)))


@pytest.mark.parametrize("model", discover().values(), ids=lambda model: model.name)
def test_no_model_earns_on_a_random_walk(model: TradingModel, market: pd.DataFrame) -> None:
    assert abs(t_statistic(model, market, lag=1)) < LIMIT


@dataclass(frozen=True)
class Clairvoyant(TradingModel):
    """Knows the sign of tomorrow's return."""

    name = "clairvoyant"
    warmup = 0
    lookback = 0

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"level": bars["close"]}

    def signal(self, states: States) -> pd.DataFrame:
        return np.sign(states["level"].shift(-1) - states["level"])


def test_a_model_that_sees_tomorrow_is_far_above_the_limit(market: pd.DataFrame) -> None:
    assert t_statistic(Clairvoyant(), market, lag=1) > 50 * LIMIT


def test_a_signal_booked_on_its_own_session_is_far_above_the_limit(market: pd.DataFrame) -> None:
    assert t_statistic(discover()["ema_cross_8_21"], market, lag=0) > 5 * LIMIT
