import numpy as np
import pandas as pd
import pytest

from hawk_assets.models.rsi import Rsi
from hawk_assets_tests.markets import random_walk


def opinions(values: list[float], model: Rsi) -> list[float]:
    return model.signal({"rsi": pd.DataFrame({"A": values})})["A"].to_list()


def test_it_buys_below_30_and_exits_at_50_and_shorts_mirror_it() -> None:
    values = [50, 31, 30, 29, 35, 49.9, 50, 40, 69, 70, 71, 60, 50.1, 50, 60]
    held = [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, -1, -1, -1, 0, 0]
    assert opinions(values, Rsi()) == held


def test_a_signal_without_an_exit_lasts_max_hold_sessions() -> None:
    values = [50.0, 29.0] + [40.0] * 100
    assert sum(opinions(values, Rsi())) == 63
    assert sum(opinions(values, Rsi(max_hold=10))) == 10


def test_the_last_session_of_a_hold_is_known_from_exactly_the_declared_lookback() -> None:
    model, values = Rsi(), [29.0] + [40.0] * 62
    assert opinions(values[-1 - model.lookback :], model)[-1] == 1
    assert opinions(values[-model.lookback :], model)[-1] == 0


def test_a_hole_is_neither_an_entry_nor_an_exit() -> None:
    assert opinions([29.0, np.nan, 40.0, np.nan, 50.0], Rsi()) == [1, 1, 1, 1, 0]


def test_it_equals_the_rule_applied_session_by_session() -> None:
    model = Rsi(span=3, max_hold=7)
    close = random_walk(1, 1500, seed=6)["close"].to_numpy()
    values = model.features({"close": close})["rsi"]
    side, left, expected = 0, 0, []
    for value in values:
        if value < 30:
            side, left = 1, 7
        elif value > 70:
            side, left = -1, 7
        elif (side == 1 and value >= 50) or (side == -1 and value <= 50):
            left = 0
        expected.append(float(side * (left > 0)))
        left = max(0, left - 1)
    assert opinions(list(values), model) == expected
    assert {-1.0, 0.0, 1.0} == set(expected)


@pytest.mark.parametrize("fault", [{"span": 1}, {"low": 60.0}, {"middle": 100.0}, {"max_hold": 1}])
def test_unusable_parameters_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need span >= 2, 0 < low < middle < 100"):
        Rsi(**fault)
