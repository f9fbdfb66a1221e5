"""The rule of execution, against a loop that follows it word by word."""

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.execution import (
    close_of_execution,
    closes_since,
    executed_decisions,
    waiting_decisions,
)

SATURDAY, SUNDAY, MONDAY = (np.datetime64(f"2024-01-0{day}") for day in (6, 7, 8))
FRIDAY, TUESDAY = np.datetime64("2024-01-05"), np.datetime64("2024-01-09")


def random_case(seed: int):  # type: ignore[no-untyped-def]
    """Decisions on sessions and between them; a ticker that never trades, one that always does."""
    rng = np.random.default_rng(seed)
    days = np.arange("2024-01-15", "2024-02-20", dtype="datetime64[D]").astype("datetime64[ns]")
    sessions = days[rng.random(len(days)) < 0.7]
    traded = rng.random((len(sessions), 6)) < [0.05, 0.3, 0.8, 0.8, 0.0, 1.0]
    traded[:, 3] = traded[:, 2]
    return days[rng.random(len(days)) < rng.choice([0.1, 0.5, 0.9])], sessions, traded


def close_by_hand(decided, own, lag):  # type: ignore[no-untyped-def]
    """The close at which a decision executes, or None where there are too few."""
    if lag == 0:
        return next((close for close in own if close >= decided), None)
    later = [close for close in own if close > decided]
    return later[lag - 1] if len(later) >= lag else None


@pytest.mark.parametrize("lag", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(8))
def test_each_close_executes_the_latest_decision_that_comes_to_it(seed: int, lag: int) -> None:
    decided, sessions, traded = random_case(seed)
    executed = executed_decisions(decided, sessions, traded, lag)
    for ticker in range(traded.shape[1]):
        own = list(sessions[traded[:, ticker]])
        expected = np.full(len(sessions), -1)
        for i, date in enumerate(decided):
            if (close := close_by_hand(date, own, lag)) is not None:
                expected[list(sessions).index(close)] = i
        np.testing.assert_array_equal(executed[:, ticker], expected)


@pytest.mark.parametrize("lag", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_what_waits_is_what_no_close_has_executed_and_no_later_decision_replaced(
    seed: int, lag: int
) -> None:
    decided, sessions, traded = random_case(seed)
    before = sessions.astype("datetime64[M]").astype("datetime64[ns]")
    found = set(zip(*waiting_decisions(decided, sessions, traded, lag, before), strict=True))
    expected = set()
    for row, session in enumerate(sessions):
        for ticker in range(traded.shape[1]):
            own = list(sessions[traded[:, ticker]])
            future = list(session + np.arange(1, 9).astype("timedelta64[D]"))
            known = [close for close in own if close <= session] + future
            latest = {}
            for i, date in enumerate(decided):
                close = close_by_hand(date, known, lag)
                if date <= session < close:
                    latest[future.index(close)] = i
            expected |= {(row, ticker, ahead, i) for ahead, i in latest.items()
                         if decided[i] < before[row]}  # fmt: skip
    assert found == expected
    assert lag < 2 or expected


def test_a_decision_of_a_weekend_executes_on_monday_and_not_a_session_later() -> None:
    closes = np.array([FRIDAY, MONDAY, TUESDAY])
    decided = np.array([FRIDAY, SATURDAY, SUNDAY, MONDAY])
    assert close_of_execution(decided, closes, 1).tolist() == [1, 1, 1, 2]
    assert close_of_execution(decided, closes, 0).tolist() == [0, 1, 1, 1]
    assert close_of_execution(decided, closes, 2).tolist() == [2, 2, 2, 3]


def test_nothing_executes_without_decisions_or_without_closes() -> None:
    sessions = np.array([FRIDAY, MONDAY], "datetime64[ns]")
    none = sessions[:0]
    assert (executed_decisions(none, sessions, np.ones((2, 3), bool), 1) == -1).all()
    assert (executed_decisions(sessions, sessions, np.zeros((2, 3), bool), 1) == -1).all()
    assert executed_decisions(sessions, none, np.ones((0, 3), bool), 1).shape == (0, 3)
    assert executed_decisions(sessions, sessions, np.ones((2, 0), bool), 1).shape == (2, 0)


def test_closes_are_counted_from_a_date_to_the_session() -> None:
    sessions = pd.DatetimeIndex(["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]).to_numpy()
    traded = np.array([[1, 1], [1, 0], [0, 0], [1, 0]], bool)
    month = sessions.astype("datetime64[M]").astype("datetime64[ns]")
    assert closes_since(sessions, traded, month).tolist() == [[1, 1], [2, 1], [0, 0], [1, 0]]
