import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.model import Array, Bars
from hawk_assets.models.donchian import MODELS, Donchian
from hawk_assets_tests.models.oracles import bars_in_ticks, bars_of_walk, held, opinions

SMALL = Donchian(5, 3, 4)


def signal(model: Donchian, close: Array) -> Array:
    return np.array(opinions(model, **model.features({"close": close})))


@pytest.mark.parametrize("model", [*MODELS, SMALL], ids=lambda model: model.name)
@pytest.mark.parametrize(
    "bars", [bars_of_walk(1500, seed=1), bars_in_ticks()], ids=["walk", "tick"]
)
def test_it_equals_the_rule_applied_session_by_session(model: Donchian, bars: Bars) -> None:
    close = pd.Series(bars["close"])
    before = close.shift(1)
    high, low = (before.rolling(model.enter).max(), before.rolling(model.enter).min())
    exit_high, exit_low = (before.rolling(model.leave).max(), before.rolling(model.leave).min())
    long = held(close > high, close < exit_low, model.max_hold)
    short = held(close < low, close > exit_high, model.max_hold)
    found = signal(model, bars["close"])
    assert np.array_equal(found, long - short)
    assert {-1.0, 0.0, 1.0} == set(found)


@pytest.mark.parametrize("model", [*MODELS, SMALL], ids=lambda model: model.name)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_signal_without_another_event_lasts_exactly_max_hold_sessions(
    model: Donchian, side: float
) -> None:
    quiet = np.full(model.enter + 10, 100.0)
    close = np.concatenate([quiet, np.full(2 * model.max_hold, 100.0 + side)])
    found = signal(model, close)
    assert np.array_equal(np.flatnonzero(found), len(quiet) + np.arange(model.max_hold))
    assert set(found[len(quiet) : len(quiet) + model.max_hold]) == {side}


def test_the_channel_does_not_contain_the_current_close() -> None:
    close = np.array([10.0, 11.0, 12.0, 11.0, 10.0, 12.0, 12.0 + 1e-9, 12.0])
    assert list(signal(SMALL, close)) == [0, 0, 0, 0, 0, 0, 1, 1]


def test_there_is_no_signal_before_the_channel_is_complete() -> None:
    assert list(signal(SMALL, np.arange(10.0, 17.0))) == [0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("faulty", [(20, 20, 5), (20, 1, 5), (20, 10, 1)])
def test_unusable_channels_are_refused(faulty: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="need 2 <= leave < enter and max_hold >= 2"):
        Donchian(*faulty)
