from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import TimeSeriesSplit
from sklearn.preprocessing import StandardScaler

from hawk_assets.core.model import Array
from hawk_assets.features.walk_forward import FEATURES, Predict, WalkForwardClassifier

Frames = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Recorder(WalkForwardClassifier):
    """Records what it is fitted on, and predicts ``probability`` for every row."""

    horizon: int = 3
    train: int = 60
    probability: float = 0.75
    fits: list[tuple[Array, NDArray[np.int8], int]] = field(default_factory=list, compare=False)
    rows: list[Array] = field(default_factory=list, compare=False)

    name = "recorder"

    def fit(self, features: Array, rises: NDArray[np.int8], seed: int) -> Predict:
        self.fits.append((features, rises, seed))
        return self.predict

    def predict(self, rows: Array) -> Array:
        self.rows.append(rows)
        return np.full(len(rows), self.probability)


@dataclass(frozen=True)
class Numbered(Recorder):
    """The n-th fit predicts 0.5 + n / 100."""

    numbers: Iterator[int] = field(default_factory=lambda: count(1), compare=False)

    def fit(self, features: Array, rises: NDArray[np.int8], seed: int) -> Predict:
        number = next(self.numbers)
        return lambda rows: np.full(len(rows), 0.5 + number / 100)


@dataclass(frozen=True)
class Quarterly(Numbered):
    period = "Q"


@dataclass(frozen=True)
class Share(Recorder):
    """Predicts the share of rises in its window, which differs between windows."""

    def fit(self, features: Array, rises: NDArray[np.int8], seed: int) -> Predict:
        return lambda rows: np.full(len(rows), 0.4 + 0.2 * rises.mean())


@dataclass(frozen=True)
class QuarterlyShare(Share):
    period = "Q"


def states_of(dates: pd.DatetimeIndex, tickers: int = 3, seed: int = 1) -> Frames:
    """Random walks, and features that are unrelated to them; no hole."""
    rng = np.random.default_rng(seed)
    names = [f"W{n}" for n in range(tickers)]
    shape = len(dates), tickers
    walks = {"close": 100 * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=0))}
    random = {name: rng.normal(3, 2, shape) for name in FEATURES}
    return {name: pd.DataFrame(v, dates, names) for name, v in (walks | random).items()}


def starts_of(dates: pd.DatetimeIndex, period: str) -> NDArray[Any]:
    """Rows of the first sessions of all periods except the first."""
    first = pd.Series(range(len(dates))).groupby(dates.to_period(period)).min()
    return first.to_numpy()[1:]


DATES = pd.bdate_range("2020-01-10", "2020-12-31")


@pytest.mark.parametrize(("horizon", "embargo"), [(3, 1), (1, 0), (5, 4)])
def test_a_window_is_the_last_fold_of_a_purged_time_series_split(
    horizon: int, embargo: int
) -> None:
    model, states = Recorder(horizon=horizon, embargo=embargo), states_of(DATES)
    model.signal(states)
    price = np.log(states["close"].to_numpy())
    rows = np.stack([states[name].to_numpy() for name in FEATURES], axis=2)
    expected = []
    for start in starts_of(DATES, "M"):
        if start < model.train + horizon + embargo - 1:
            continue
        split = TimeSeriesSplit(
            2, max_train_size=model.train, gap=horizon + embargo - 1, test_size=1
        )
        *_, (fold, test) = split.split(np.arange(start + 1))
        assert test == [start]
        assert len(fold) == model.train
        assert fold[-1] + horizon + embargo == start, "the last label ends before the embargo"
        expected.append((fold, (price[fold + horizon] > price[fold]).ravel()))
    assert len(model.fits) == len(expected) > 5
    for (features, rises, _), (fold, labels) in zip(model.fits, expected, strict=True):
        standard = StandardScaler().fit_transform(rows[fold].reshape(-1, len(FEATURES)))
        assert np.allclose(features, standard, rtol=0, atol=1e-12)
        assert np.array_equal(rises, labels)


@pytest.mark.parametrize(("kind", "period"), [(Numbered, "M"), (Quarterly, "Q")])
def test_a_fit_serves_from_the_first_session_of_its_period_to_the_last(
    kind: type[Numbered], period: str
) -> None:
    model = kind()
    signal = model.signal(states_of(DATES))
    starts = starts_of(DATES, period)
    fitted = starts[starts >= model.train + model.horizon + model.embargo - 1]
    expected = 4 * np.searchsorted(fitted, np.arange(len(DATES)), side="right") / 100
    assert np.allclose(signal, expected[:, None], rtol=0, atol=1e-15)
    assert len(fitted) >= 2


def test_rows_to_predict_are_standardised_by_the_window() -> None:
    model, states = Recorder(), states_of(DATES)
    model.signal(states)
    start = starts_of(DATES, "M")[-1]
    rows = np.stack([states[name].to_numpy() for name in FEATURES], axis=2)
    window = slice(start - 4 - model.train + 1, start - 3)
    scaler = StandardScaler().fit(rows[window].reshape(-1, len(FEATURES)))
    expected = scaler.transform(rows[start:].reshape(-1, len(FEATURES)))
    assert np.allclose(model.rows[-1], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("probability", "signal"),
    [(0.0, -1), (0.25, -1), (0.3, -0.8), (0.5, 0), (0.6, 0.4), (0.75, 1), (1.0, 1)],
)
def test_a_probability_becomes_four_times_its_distance_from_a_half(
    probability: float, signal: float
) -> None:
    found = Recorder(probability=probability).signal(states_of(DATES)).iloc[-1]
    assert np.allclose(found, signal, rtol=0, atol=1e-15)


def test_a_row_that_is_not_ready_is_neither_learned_nor_predicted() -> None:
    states = states_of(DATES)
    states["ret_63"].iloc[:110, 0] = np.nan
    states["rsi"].iloc[-5:, 1] = np.nan
    model = Recorder()
    signal = model.signal(states)
    assert all(np.isfinite(rows).all() for rows in model.rows)
    first = model.fits[0][0]
    assert len(first) == 2 * model.train
    assert (signal.iloc[-5:, 1] == 0).all()
    assert (signal.iloc[-6:, [0, 2]] == 1).all(axis=None)


def test_a_label_that_ends_in_a_hole_is_not_learned_and_a_hole_has_no_opinion() -> None:
    states = states_of(DATES, tickers=1)
    holes = [40, 41, 60]
    states["close"].iloc[holes] = np.nan
    model = Recorder()
    signal = model.signal(states)
    features, rises, _ = model.fits[0]
    start = next(s for s in starts_of(DATES, "M") if s >= 63)
    window = set(range(start - 4 - 59, start - 3))
    lost = {row for hole in holes for row in (hole, hole - 3)} & window
    assert len(features) == len(rises) == 60 - len(lost)
    assert len(lost) == 6
    states["close"].iloc[-2] = np.nan
    assert list(model.signal(states).iloc[-3:].isna().squeeze()) == [False, True, False]
    assert list(np.flatnonzero(signal.isna())) == holes


def test_a_window_in_which_all_prices_rise_teaches_nothing() -> None:
    states = states_of(DATES)
    for side in (1, -1):
        states["close"][:] = np.exp(side * 0.001 * np.arange(len(DATES)))[:, None]
        model = Recorder()
        assert (model.signal(states) == 0).all(axis=None)
        assert not model.fits


def test_a_constant_feature_becomes_zero() -> None:
    states = states_of(DATES)
    states["rsi"][:] = 50.0
    model = Recorder()
    model.signal(states)
    assert all((features[:, FEATURES.index("rsi")] == 0).all() for features, *_ in model.fits)


def test_the_seed_depends_on_the_date_only() -> None:
    one, two = Recorder(), Recorder(train=80, horizon=1)
    one.signal(states_of(DATES))
    two.signal(states_of(DATES[30:], tickers=5, seed=2))
    seeds = [seed for *_, seed in one.fits]
    assert len(set(seeds)) == len(seeds)
    assert [seed for *_, seed in two.fits] == seeds[-len(two.fits) :]
    last = DATES[starts_of(DATES, "M")[-1]]
    assert seeds[-1] == int.from_bytes(blake2b(f"{last:%Y-%m-%d}".encode(), digest_size=4).digest())


@pytest.mark.parametrize("model", [Share(), QuarterlyShare()], ids=["month", "quarter"])
def test_the_lookback_contains_the_window_even_if_every_day_is_a_session(model: Share) -> None:
    days = pd.date_range("2019-12-20", "2021-01-31")
    states = states_of(days)
    signal = model.signal(states)
    for end in pd.to_datetime(["2020-07-31", "2020-09-30", "2020-12-31"]):
        row = days.get_loc(end)
        recent = {name: f.iloc[row - model.lookback : row + 1] for name, f in states.items()}
        assert model.signal(recent).iloc[-1].equals(signal.loc[end])
    assert len(signal.stack().unique()) > 3


@pytest.mark.parametrize("bars", [0, 1, 3, 60])
def test_too_few_sessions_give_a_signal_of_0(bars: int) -> None:
    assert (Recorder().signal(states_of(DATES[:bars])) == 0).all(axis=None)


@pytest.mark.parametrize("fault", [{"horizon": 0}, {"train": 1}, {"embargo": -1}])
def test_unusable_parameters_are_refused(fault: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="need horizon >= 1, train >= 2 and embargo >= 0"):
        Recorder(**fault)


def test_features_are_those_of_the_declared_names_in_scale_free_units() -> None:
    close = states_of(pd.bdate_range("2015-01-01", periods=600), 1)["close"].to_numpy()[:, 0]
    features = Recorder().features({"close": close})
    assert tuple(features) == FEATURES
    price = pd.Series(np.log(close))
    for days in (1, 5, 21, 63):
        expected = price.diff(days)
        assert np.allclose(features[f"ret_{days}"], expected, rtol=0, atol=1e-13, equal_nan=True)
    assert np.allclose(
        features["vol_21"], price.diff().rolling(21).std(), rtol=0, atol=1e-10, equal_nan=True
    )
    for name, values in Recorder().features({"close": 7 * close}).items():
        assert np.allclose(values, features[name], rtol=1e-8, atol=1e-10, equal_nan=True)
