import numpy as np
import pandas as pd
import pytest

from hawk_assets.models.connors_rsi import ConnorsRsi
from hawk_assets_tests.markets import random_walk


def opinions(model: ConnorsRsi, close: pd.Series) -> pd.Series:
    features = model.features({"close": close.to_numpy()})
    return model.signal({n: pd.DataFrame({"A": v}) for n, v in features.items()})["A"]


def test_it_equals_the_rule_applied_session_by_session() -> None:
    close = random_walk(1, 3000, seed=12)["close"]
    moves = close.diff()
    gain, loss = moves.clip(lower=0.0), (-moves).clip(lower=0.0)
    up, down = (
        pd.concat([side[1:3].mean() * pd.Series(1.0, index=[2]), side[3:]])
        .ewm(alpha=0.5, adjust=False)
        .mean()
        for side in (gain, loss)
    )
    rsi = 100.0 * up / (up + down)
    exit_average, trend_average = close.rolling(5).mean(), close.rolling(200).mean()

    side, left, expected = 0, 0, np.zeros(len(close))
    for t in range(200, len(close)):
        trend = np.sign(close[t] - trend_average[t])
        back = np.sign(close[t] - exit_average[t])
        if side and back == side:
            left = 0
        if rsi[t] < 10 and trend > 0 and back <= 0:
            side, left = 1, 10
        elif rsi[t] > 90 and trend < 0 and back >= 0:
            side, left = -1, 10
        expected[t] = side * (left > 0)
        left = max(0, left - 1)
    found = opinions(ConnorsRsi(), close)
    assert np.array_equal(found[200:], expected[200:])
    assert {-1.0, 0.0, 1.0} == set(expected)


def test_there_is_no_signal_before_the_trend_is_known() -> None:
    assert (opinions(ConnorsRsi(), random_walk(1, 199, seed=12)["close"]) == 0.0).all()


def states_of(**columns: list[float]) -> dict[str, pd.DataFrame]:
    return {name: pd.DataFrame({"A": values}) for name, values in columns.items()}


def test_a_signal_without_an_exit_lasts_max_hold_sessions() -> None:
    model = ConnorsRsi()
    states = states_of(rsi=[50.0, 5.0] + [50.0] * 20, exit_gap=[-0.01] * 22, trend_gap=[0.1] * 22)
    assert model.signal(states)["A"].to_list() == [0.0] + [1.0] * 10 + [0.0] * 11
    last = {name: frame[10 - model.lookback : 11] for name, frame in states.items()}
    assert model.signal(last)["A"].iloc[-1] == 1.0, "computed from exactly the declared lookback"


def test_a_close_on_its_average_is_neither_an_exit_nor_a_trend() -> None:
    held = states_of(rsi=[5.0, 50.0, 50.0], exit_gap=[-0.01, 0.0, 0.01], trend_gap=[0.1] * 3)
    assert ConnorsRsi().signal(held)["A"].to_list() == [1.0, 1.0, 0.0]
    short = states_of(rsi=[95.0, 50.0, 50.0], exit_gap=[0.01, 0.0, -0.01], trend_gap=[-0.1] * 3)
    assert ConnorsRsi().signal(short)["A"].to_list() == [-1.0, -1.0, 0.0]
    trendless = states_of(rsi=[5.0, 95.0], exit_gap=[0.0, 0.0], trend_gap=[0.0, 0.0])
    assert ConnorsRsi().signal(trendless)["A"].to_list() == [0.0, 0.0]


@pytest.mark.parametrize("fault", [{"span": 1}, {"low": 50.0}, {"max_hold": 1}])
def test_unusable_parameters_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need span >= 2, 0 < low < 50, max_hold >= 2"):
        ConnorsRsi(**fault)
