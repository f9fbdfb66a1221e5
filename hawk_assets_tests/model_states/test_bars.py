import numpy as np
import pytest

from hawk_assets.model_states.bars import volatility
from hawk_assets_tests.markets import random_walk

CLOSE = random_walk(1, 500, seed=4)["close"]


def test_volatility_is_the_deviation_of_the_last_63_log_returns() -> None:
    close = CLOSE
    expected = np.log(close).diff().rolling(63).std()
    assert np.allclose(volatility(close.to_numpy()), expected, rtol=1e-10, equal_nan=True)
    assert np.isnan(volatility(close.to_numpy())[:63]).all()


def test_volatility_forgets_a_spike_entirely() -> None:
    close = CLOSE.to_numpy()
    spiked = close.copy()
    spiked[100] *= 1e6
    assert np.array_equal(volatility(spiked)[164:], volatility(close)[164:])
    assert volatility(spiked)[163] > 100 * volatility(close)[163]


def test_volatility_of_a_slice_is_the_slice_of_the_volatility() -> None:
    close = CLOSE.to_numpy()
    whole = volatility(close)
    for start in range(0, 400, 13):
        for bars in (64, 65, 71, 85, 100):
            part = volatility(close[start : start + bars])
            assert np.array_equal(part[63:], whole[start + 63 : start + bars])


@pytest.mark.parametrize("bars", [0, 1, 63])
def test_volatility_is_not_ready_before_64_closes(bars: int) -> None:
    assert np.isnan(volatility(np.full(bars, 10.0))).all()


def test_volatility_of_a_flat_price_is_zero() -> None:
    assert volatility(np.full(64, 10.1))[-1] == 0.0
