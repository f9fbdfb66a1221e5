import numpy as np
import pytest
import talib
from talib import abstract

from hawk_assets.core.model import Array, Bars
from hawk_assets.models.candles import Candles
from hawk_assets_tests.models.oracles import bars_in_ticks, bars_of_walk, opinions

MODEL = Candles()
PATTERNS = {
    "CDLENGULFING": {},
    "CDLHAMMER": {},
    "CDLSHOOTINGSTAR": {},
    "CDLMORNINGSTAR": {"penetration": 0.3},
    "CDLEVENINGSTAR": {"penetration": 0.3},
    "CDLPIERCING": {},
    "CDLDARKCLOUDCOVER": {"penetration": 0.5},
    "CDLHARAMI": {},
}


def balance(bars: Bars) -> Array:
    """Rising minus falling patterns, each from one pass over the whole series."""
    prices = [bars[name] for name in MODEL.inputs]
    sides = [np.sign(getattr(talib, name)(*prices, **more)) for name, more in PATTERNS.items()]
    return np.sum(sides, axis=0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_ties_it_is_the_balance_of_the_patterns_of_the_whole_series(seed: int) -> None:
    bars = bars_of_walk(5000, seed)
    found, expected = MODEL.features(bars)["balance"], balance(bars)
    assert np.isnan(found[:12]).all()
    assert np.array_equal(found[12:], expected[12:])
    assert min(np.bincount(expected[12:] + 3)[2:5]) > 200, "both sides occur, and neither"


def test_in_ticks_it_differs_only_where_lengths_tie() -> None:
    ticks = bars_in_ticks()
    exact = balance({name: np.round(values * 20) for name, values in ticks.items()})
    differs = MODEL.features(ticks)["balance"][12:] != exact[12:]
    assert differs.mean() < 0.02
    rng = np.random.default_rng(1)
    untied = {
        name: values * np.exp(rng.normal(0, 1e-5, len(values))) for name, values in ticks.items()
    }
    untied["high"] = np.max(list(untied.values()), axis=0)
    untied["low"] = np.min(list(untied.values()), axis=0)
    assert np.array_equal(MODEL.features(untied)["balance"][12:], balance(untied)[12:])


def test_it_needs_as_many_bars_as_the_longest_pattern() -> None:
    bars = [abstract.Function(name, **more).lookback for name, more in PATTERNS.items()]
    assert max(bars) == MODEL.warmup
    short = {name: values[:12] for name, values in bars_of_walk(20, seed=1).items()}
    assert np.isnan(MODEL.features(short)["balance"]).all()


@pytest.mark.parametrize("factor", [7.0, 1e-5])
def test_a_pattern_is_read_from_its_own_bars_in_any_unit_of_price(factor: float) -> None:
    bars = bars_in_ticks()
    whole = MODEL.features(bars)["balance"]
    for bar in (12, 500, 1000, 1500):
        window = {name: values[bar - 12 : bar + 1] * factor for name, values in bars.items()}
        assert MODEL.features(window)["balance"][-1] == whole[bar]


def test_the_latest_balance_that_is_not_even_is_held_for_five_sessions() -> None:
    balances = [0, 2, 0, 0, -1, 0, 0, 0, 0, 0, 1, np.nan, 0, 0, 0, 0, -3]
    sides = [0, 1, 1, 1, -1, -1, -1, -1, -1, 0, 1, 1, 1, 1, 1, 0, -1]
    assert opinions(MODEL, balance=balances) == sides
    assert opinions(Candles(hold=2), balance=[1, 0, 0, -1]) == [1, 1, 0, -1]


def test_a_hold_of_one_session_is_refused() -> None:
    with pytest.raises(ValueError, match="need hold >= 2"):
        Candles(hold=1)
