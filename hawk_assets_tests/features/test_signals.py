import numpy as np
import pandas as pd
import pytest

from hawk_assets.features.signals import latch, scaled_signal


def frame(*rows: list[float]) -> pd.DataFrame:
    index = pd.bdate_range("2020-01-01", periods=len(rows))
    return pd.DataFrame(list(rows), index=index, columns=list("ABC")[: len(rows[0])])


def machine(enter: pd.DataFrame, leave: pd.DataFrame, max_hold: int) -> pd.DataFrame:
    """The rule for one ticker and one session at a time; every entry restarts the clock."""
    out = enter.astype(float) * 0.0
    for column in range(enter.shape[1]):
        left = 0
        for row in range(len(enter)):
            if leave.iat[row, column]:
                left = 0
            elif enter.iat[row, column]:
                left = max_hold
            out.iat[row, column] = float(left > 0)
            left = max(0, left - 1)
    return out


@pytest.mark.parametrize("max_hold", [2, 3, 10, 63])
@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_latch_equals_a_state_machine(max_hold: int, rate: float) -> None:
    rng = np.random.default_rng(max_hold)
    enter, leave = (pd.DataFrame(rng.random((400, 3)) < rate) for _ in range(2))
    pd.testing.assert_frame_equal(latch(enter, leave, max_hold), machine(enter, leave, max_hold))


@pytest.mark.parametrize("max_hold", [2, 10, 63])
def test_an_entry_without_exit_lasts_exactly_max_hold_sessions(max_hold: int) -> None:
    never = pd.DataFrame(np.zeros((100, 1), dtype=bool))
    once = never.copy()
    once.iat[20, 0] = True
    held = latch(once, never, max_hold)[0]
    assert held.sum() == max_hold
    assert (held[20 : 20 + max_hold - 1] == 1.0).all()


def test_an_exit_beats_an_entry_of_the_same_session() -> None:
    yes = frame([1.0]) > 0
    assert latch(yes, yes, 5).iat[0, 0] == 0.0


def test_the_memory_of_a_latch_is_one_session_less_than_its_hold() -> None:
    rng = np.random.default_rng(0)
    enter, leave = (pd.DataFrame(rng.random((200, 2)) < 0.05) for _ in range(2))
    whole = latch(enter, leave, 10)
    exact = [latch(enter[i - 9 : i + 1], leave[i - 9 : i + 1], 10).iloc[-1] for i in range(9, 200)]
    short = [latch(enter[i - 8 : i + 1], leave[i - 8 : i + 1], 10).iloc[-1] for i in range(9, 200)]
    assert np.array_equal(exact, whole[9:])
    assert not np.array_equal(short, whole[9:])


def test_a_scaled_signal_is_half_the_score_in_units_of_its_scale_and_bounded() -> None:
    signal = scaled_signal(frame([0.02, -0.1, 0.03]), frame([0.02, 0.02, 0.01]))
    assert signal.to_numpy().tolist() == [[0.5, -1.0, 1.0]]


def test_a_scaled_signal_has_no_opinion_without_a_scale_or_a_score() -> None:
    signal = scaled_signal(frame([0.2, 0.1, np.nan]), frame([0.0, np.nan, 0.1]))
    assert signal.isna().all(axis=None)
