import math

import numpy as np
import pytest

from hawk_assets.core.errors import SettingsError
from hawk_assets.core.types import Array
from hawk_assets.insights.sizing import SizingParameters, inverse_volatility_budget


def fill_step_by_step(vol: list[float], cap: float, floor: float) -> list[float]:
    """Water-filling step by step: distribute, apply the cap, distribute the rest again."""
    share = [0.0] * len(vol)
    inverse = {
        i: 1.0 / max(v * np.sqrt(252.0), floor) for i, v in enumerate(vol) if not np.isnan(v)
    }
    budget = 1.0
    while inverse:
        total = sum(inverse.values())
        full = [i for i, amount in inverse.items() if budget * amount / total > cap + 1e-15]
        for i in full or list(inverse):
            share[i] = cap if full else budget * inverse[i] / total
        budget -= cap * len(full)
        inverse = {i: amount for i, amount in inverse.items() if i not in full} if full else {}
    return share


def random_vol(rows: int, tickers: int, ready: float) -> Array:
    rng = np.random.default_rng(tickers)
    vol = np.exp(rng.normal(np.log(0.015), 1.2, (rows, tickers)))
    return np.where(rng.random((rows, tickers)) < ready, vol, np.nan)


@pytest.mark.parametrize(
    ("tickers", "ready"), [(1, 1.0), (4, 0.7), (10, 1.0), (12, 0.8), (40, 0.6)]
)
@pytest.mark.parametrize("cap", [0.1, 0.25, 0.3])
def test_the_budget_is_water_filling(tickers: int, ready: float, cap: float) -> None:
    vol = random_vol(200, tickers, ready)
    expected = [fill_step_by_step(list(row), cap, 0.05) for row in vol]
    assert np.allclose(
        inverse_volatility_budget(vol, SizingParameters(cap=cap)), expected, rtol=0.0, atol=1e-13
    )


def test_the_budget_is_spent_up_to_the_cap_of_each_ready_ticker() -> None:
    vol = random_vol(500, 25, 0.5)
    budget = inverse_volatility_budget(vol)
    ready = np.isfinite(vol).sum(axis=1)
    assert budget.max() <= 0.1
    assert (budget >= 0).all()
    assert (budget[np.isnan(vol)] == 0).all()
    assert np.allclose(budget.sum(axis=1), np.minimum(1.0, 0.1 * ready), rtol=0.0, atol=1e-12)
    assert (budget.sum(axis=1) <= 1 + 1e-12).all()
    assert ready.min() < 10 < ready.max(), "both cases are in the sample"


@pytest.mark.parametrize("tickers", [1, 5, 9, 10, 11, 20, 64])
def test_equal_volatility_gets_equal_shares(tickers: int) -> None:
    budget = inverse_volatility_budget(np.full((1, tickers), 0.013))
    assert np.allclose(budget, min(0.1, 1.0 / tickers), rtol=1e-12)


def test_below_the_floor_volatility_counts_as_the_floor() -> None:
    daily_floor = 0.05 / np.sqrt(252.0)
    rest = [0.02] * 30
    calm, calmer, at_floor = (
        inverse_volatility_budget(np.array([[v, *rest]]))
        for v in (0.5 * daily_floor, 0.0, daily_floor)
    )
    assert np.array_equal(calm, calmer)
    assert np.allclose(calm, at_floor, rtol=1e-12)


def test_a_row_does_not_depend_on_tickers_that_are_not_ready_not_even_in_its_last_bit() -> None:
    for row in random_vol(300, 30, 0.4):
        ready = np.isfinite(row)
        alone = inverse_volatility_budget(row[None, ready])
        assert np.array_equal(inverse_volatility_budget(row[None])[:, ready], alone)
        padded = np.insert(row[ready], np.arange(ready.sum()), np.nan)
        assert np.array_equal(inverse_volatility_budget(padded[None])[:, 1::2], alone)


def test_the_budget_follows_its_ticker_in_any_order() -> None:
    vol = random_vol(100, 15, 0.8)
    order = np.random.default_rng(0).permutation(15)
    assert np.array_equal(
        inverse_volatility_budget(vol[:, order]), inverse_volatility_budget(vol)[:, order]
    )


def test_the_floor_can_be_set() -> None:
    vol = np.array([[0.001, 0.02]])
    low, high = (
        inverse_volatility_budget(vol, SizingParameters(cap=1.0, vol_floor=floor))
        for floor in (0.001, 10.0)
    )
    assert np.allclose(low, [[20 / 21, 1 / 21]], rtol=1e-12)
    assert np.allclose(high, 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cap", 0.0),
        ("cap", 1.1),
        ("cap", math.nan),
        ("vol_floor", 0.0),
        ("vol_floor", math.inf),
        ("vol_floor", math.nan),
        ("hold_sessions", -1),
        ("hold_sessions", 253),
    ],
)
def test_sizing_that_cannot_be_used_is_refused(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"^{field} {value}: "):
        SizingParameters(**{field: value})
