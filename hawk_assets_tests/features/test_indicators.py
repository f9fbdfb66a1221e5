from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.model import Array
from hawk_assets.features.indicators import (
    ema,
    highest,
    lowest,
    percent_of_range,
    recursive_warmup,
    relative_gap,
    rsi,
    sma,
)
from hawk_assets_tests.markets import random_walk


@pytest.fixture(scope="module")
def close() -> Array:
    return random_walk(1, 600, seed=8)["close"].to_numpy()


@pytest.mark.parametrize("span", [2, 12, 50])
def test_the_ema_equals_that_of_pandas_started_at_the_mean_of_the_first_span(
    close: Array, span: int
) -> None:
    seeded = np.append(close[:span].mean(), close[span:])
    expected = pd.Series(seeded).ewm(span=span, adjust=False).mean()
    assert np.allclose(ema(close, span)[span - 1 :], expected, rtol=1e-13)
    assert np.isnan(ema(close, span)[: span - 1]).all()


@pytest.mark.parametrize("span", [2, 5, 200])
def test_the_sma_equals_the_mean_of_the_last_span(close: Array, span: int) -> None:
    expected = pd.Series(close).rolling(span).mean()
    assert np.allclose(sma(close, span), expected, rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize("span", [2, 5, 200])
def test_the_highest_and_the_lowest_are_of_the_last_span(close: Array, span: int) -> None:
    windows = pd.Series(close).rolling(span)
    assert np.array_equal(highest(close, span), windows.max(), equal_nan=True)
    assert np.array_equal(lowest(close, span), windows.min(), equal_nan=True)


def test_a_value_is_a_percentage_of_its_range_and_50_in_a_range_without_width() -> None:
    value, low = np.array([2.0, 3.0, 5.0, 4.0, np.nan]), np.array([2.0, 2.0, 3.0, 4.0, 1.0])
    high = np.array([4.0, 4.0, 4.0, 4.0, np.nan])
    assert np.array_equal(
        percent_of_range(value, low, high), [0.0, 50.0, 200.0, 50.0, np.nan], equal_nan=True
    )


def wilder(close: Array, span: int) -> Array:
    """Wilder's index as in his book, one bar at a time."""
    out = np.full(len(close), np.nan)
    moves = [b - a for a, b in pairwise(close)]
    gain = sum(max(m, 0.0) for m in moves[:span]) / span
    loss = sum(max(-m, 0.0) for m in moves[:span]) / span
    for bar in range(span, len(close)):
        if bar > span:
            gain = (gain * (span - 1) + max(moves[bar - 1], 0.0)) / span
            loss = (loss * (span - 1) + max(-moves[bar - 1], 0.0)) / span
        out[bar] = 50.0 if gain == loss == 0.0 else 100.0 * gain / (gain + loss)
    return out


@pytest.mark.parametrize("span", [2, 3, 14])
def test_the_rsi_equals_wilders_loop(close: Array, span: int) -> None:
    assert np.allclose(rsi(close, span), wilder(close, span), rtol=1e-11, equal_nan=True)


@pytest.mark.parametrize("span", [2, 14])
def test_the_rsi_of_ticks_and_repeated_closes_equals_wilders_loop(span: int) -> None:
    ticks = np.random.default_rng(3).integers(95, 105, 300) / 20.0
    ticks[100:160] = ticks[100]
    assert np.allclose(rsi(ticks, span), wilder(ticks, span), rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (np.full(60, 40.0), 50.0),
        (np.arange(60.0, 0.0, -1.0), 0.0),
        (np.arange(1.0, 61.0), 100.0),
        (np.append(np.full(50, 40.0), np.full(10, 39.0)), 0.0),
        (np.append(np.full(50, 40.0), np.full(10, 41.0)), 100.0),
    ],
    ids=["flat", "only losses", "only gains", "one loss", "one gain"],
)
def test_the_rsi_is_neutral_where_nothing_moved_and_extreme_where_all_moves_agree(
    prices: Array, expected: float
) -> None:
    assert rsi(prices, 14)[-1] == expected
    assert (rsi(prices, 14)[14:50] == (50.0 if (prices[:50] == 40.0).all() else expected)).all()


def test_the_rsi_of_a_price_that_stopped_long_ago_is_neutral_and_not_oversold() -> None:
    prices = np.append(np.tile([40.0, 41.0], 10), np.full(1200, 41.0))
    assert rsi(prices, 2)[-1] == 50.0


@pytest.mark.parametrize("bars", [0, 1, 5])
def test_indicators_of_short_series_have_their_length_and_are_not_ready(bars: int) -> None:
    prices = np.linspace(1.0, 2.0, bars)
    for indicator in (ema, sma, rsi):
        assert indicator(prices, 10).shape == (bars,)
        assert np.isnan(indicator(prices, 10)).all()


@pytest.mark.parametrize(("first", "alpha"), [(25, 2 / 27), (14, 1 / 14), (2, 1 / 2)])
def test_the_warmup_is_the_shortest_that_forgets_the_start(first: int, alpha: float) -> None:
    decay, error = 0, 1e3
    while error > 1e-9:
        error *= 1 - alpha
        decay += 1
    assert recursive_warmup(first, alpha) == first + decay


@pytest.mark.parametrize("span", [12, 50])
def test_an_ema_with_a_start_a_thousand_times_too_large_is_right_after_its_warmup(
    span: int,
) -> None:
    close = random_walk(1, 1000, seed=9)["close"].to_numpy()
    wrong = close.copy()
    wrong[:span] *= 1e3
    warmup = recursive_warmup(span - 1, 2 / (span + 1))
    error = np.abs(ema(wrong, span) / ema(close, span) - 1.0)
    assert error[warmup] < 2e-9
    assert error[warmup // 2] > 1e-6


def test_equal_levels_have_no_gap_although_a_running_sum_differs_in_its_last_bit() -> None:
    prices = np.append(random_walk(1, 300, seed=8)["close"].to_numpy(), np.full(30, 0.1 + 0.2))
    average = sma(prices, 5)
    assert (average[-20:] != prices[-20:]).any(), "otherwise this proves nothing"
    assert (relative_gap(prices, average)[-20:] == 0.0).all()
    assert relative_gap(np.array([101.0]), np.array([100.0]))[0] == 0.01
