from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import talib

from hawk_assets.core.model import Array
from hawk_assets.models.adx_trend import AdxTrend, directional_index
from hawk_assets_tests.models.oracles import bars_of_walk, opinions

TICK = 0.05


def wilder(high: Array, low: Array, close: Array, span: int) -> Array:
    """Wilder's index as in his book, bar by bar; each average starts at a plain mean."""
    rises, falls, ranges = [], [], []
    for before, now in pairwise(range(len(close))):
        up, down = high[now] - high[before], low[before] - low[now]
        rises.append(up if up > down and up > 0 else 0)
        falls.append(down if down > up and down > 0 else 0)
        ranges.append(
            max(high[now] - low[now], abs(high[now] - close[before]), abs(low[now] - close[before]))
        )

    def smooth(values: list[float]) -> list[float]:
        averages = [sum(values[:span]) / span]
        for value in values[span:]:
            averages.append((averages[-1] * (span - 1) + value) / span)
        return averages

    strength = []
    for rise, fall, reach in zip(smooth(rises), smooth(falls), smooth(ranges), strict=True):
        plus, minus = rise / reach, fall / reach
        strength.append(100 * abs(plus - minus) / (plus + minus) if plus + minus else 0)
    out = np.full(len(close), np.nan)
    out[2 * span - 1 :] = [float(value) for value in smooth(strength)]
    return out


@pytest.mark.parametrize("span", [5, 14])
def test_the_index_equals_wilders_loop(span: int) -> None:
    bars = bars_of_walk(600, seed=1)
    series = bars["high"], bars["low"], bars["close"]
    found, expected = directional_index(*series[:2], span), wilder(*series, span)
    assert np.allclose(found, expected, rtol=0, atol=1e-9, equal_nan=True)


def test_long_after_its_start_the_index_equals_that_of_talib() -> None:
    bars = bars_of_walk(1500, seed=2)
    series = bars["high"], bars["low"], bars["close"]
    found, expected = directional_index(*series[:2], 14), talib.ADX(*series, timeperiod=14)
    assert np.allclose(found[400:], expected[400:], rtol=0, atol=1e-6)
    assert not np.allclose(found[27:60], expected[27:60], rtol=0, atol=1e-2), "a different start"


def test_a_tie_that_rounding_breaks_is_still_a_tie() -> None:
    rng = np.random.default_rng(3)
    close = 2000 + np.cumsum(rng.integers(-3, 4, 300))
    high, low = close + rng.integers(0, 4, 300), close - rng.integers(0, 4, 300)
    exact = [[Fraction(int(v)) for v in side] for side in (high, low, close)]
    expected = wilder(*exact, 5)
    prices = [side * TICK for side in (high, low, close)]
    up, down = np.diff(prices[0]), -np.diff(prices[1])
    tied = (np.diff(high) == -np.diff(low)) & (np.diff(high) > 0)
    assert (up[tied] != down[tied]).any(), "otherwise this proves nothing"
    found = directional_index(*prices[:2], 5)
    assert np.allclose(found, expected, rtol=0, atol=1e-9, equal_nan=True)
    naive = wilder(*prices, 5)
    assert np.nanmax(np.abs(naive - expected)) > 0.1


def test_a_price_that_does_not_move_has_no_trend() -> None:
    flat = np.full(100, 40.0)
    assert (directional_index(flat, flat, 14)[27:] == 0).all()
    steady = np.linspace(40.0, 80.0, 100)
    assert np.allclose(directional_index(steady + 1, steady - 1, 14)[27:], 100)


def test_a_trend_is_forgotten_when_the_price_has_not_moved_for_long() -> None:
    close = np.append(np.linspace(40.0, 80.0, 100), np.full(900, 80.0))
    for reach in (0.0, 1.0):
        high, low = close + reach, close - reach
        assert directional_index(high, low, 14)[-1] < 1e-6
        assert talib.ADX(high, low, close, timeperiod=14)[-1] > 99


@pytest.mark.parametrize("bars", [0, 1, 14, 27, 28])
def test_a_short_series_is_not_ready(bars: int) -> None:
    close = np.linspace(40.0, 50.0, bars)
    assert list(np.isfinite(directional_index(close + 1, close - 1, 14))) == [
        bar >= 27 for bar in range(bars)
    ]


def test_the_side_is_that_of_the_averages_and_the_size_that_of_the_index() -> None:
    found = opinions(
        AdxTrend(),
        ema_gap=[1, 1, 1, 1, 1, -1, -1, 0, np.nan, 1],
        adx=[10, 20, 25, 40, 90, 30, 50, 50, 50, np.nan],
    )
    assert np.allclose(found[:9], [0, 0, 0.25, 1, 1, -0.5, -1, 0, 0])
    assert np.isnan(found[9])


def test_the_gap_is_that_of_exponential_averages() -> None:
    model, bars = AdxTrend(), bars_of_walk(1200, seed=4)
    series = pd.Series(bars["close"])
    fast, slow = (series.ewm(span=span, adjust=False).mean() for span in (20, 50))
    gap = model.features(bars)["ema_gap"][model.warmup :]
    assert np.allclose(gap, (fast / slow - 1)[model.warmup :], rtol=0, atol=2e-12)


@pytest.mark.parametrize("fault", [{"fast": 50}, {"fast": 1}, {"span": 1}, {"weak": 40.0}])
def test_parameters_that_make_no_trend_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need 2 <= fast < slow, span >= 2 and weak < strong"):
        AdxTrend(**fault)
