import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from hawk_assets.core.model import Array
from hawk_assets.features.walk_forward import FEATURES, WalkForwardClassifier
from hawk_assets.models.gradient_boosting import GradientBoosting
from hawk_assets.models.logistic import Logistic
from hawk_assets_tests.markets import random_walk

SMALL = {"horizon": 3, "train": 120}
MODELS = [Logistic(**SMALL), GradientBoosting(**SMALL, trees=8)]
by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@pytest.fixture(scope="module")
def closes() -> pd.DataFrame:
    return random_walk(4, 420, seed=1).pivot(index="date", columns="ticker", values="close")


def states_of(model: WalkForwardClassifier, closes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    features = {
        ticker: pd.DataFrame(model.features({"close": close.to_numpy()}), closes.index)
        for ticker, close in closes.items()
    }
    wide = pd.concat(features, axis=1)
    return {name: wide.xs(name, axis=1, level=1) for name in FEATURES} | {"close": closes}


def sample(seed: int = 1) -> tuple[Array, "np.ndarray[tuple[int], np.dtype[np.int8]]"]:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((480, len(FEATURES)))
    return features, (features[:, 0] + rng.standard_normal(480) > 0).astype(np.int8)


def twin(model: WalkForwardClassifier) -> BaseEstimator:
    """The same classifier, built by scikit-learn."""
    if isinstance(model, Logistic):
        return make_pipeline(
            StandardScaler(), LogisticRegression(solver="newton-cholesky", tol=1e-10)
        )
    trees = HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=8, early_stopping=False)
    narrow = FunctionTransformer(lambda x: x.astype(np.float32))
    return make_pipeline(StandardScaler(), narrow, trees)


@by_name
def test_it_is_the_classifier_of_a_purged_time_series_split(
    model: WalkForwardClassifier, closes: pd.DataFrame
) -> None:
    states = states_of(model, closes)
    rows = np.stack([states[name].to_numpy() for name in FEATURES], axis=2)
    price = np.log(closes.to_numpy())
    expected = np.zeros(closes.shape)
    periods = closes.index.to_period(model.period)
    starts = np.flatnonzero(periods[1:] != periods[:-1]) + 1
    fitted = 0
    for start, stop in zip(starts, [*starts[1:], len(closes)], strict=True):
        if start < model.train + model.horizon + model.embargo - 1:
            continue
        gap = model.horizon + model.embargo - 1
        split = TimeSeriesSplit(2, max_train_size=model.train, gap=gap, test_size=1)
        *_, (fold, _) = split.split(np.arange(start + 1))
        ready = np.isfinite(rows[fold]).all(axis=2)
        rises = price[fold + model.horizon] > price[fold]
        with threadpool_limits(1):
            classifier = twin(model).fit(rows[fold][ready], rises[ready])
            chance = classifier.predict_proba(rows[start:stop].reshape(-1, len(FEATURES)))[:, 1]
        expected[start:stop] = np.clip(4 * (chance - 0.5), -1, 1).reshape(-1, closes.shape[1])
        fitted += 1
    assert fitted > 2
    assert np.allclose(model.signal(states), expected, rtol=0, atol=1e-9)
    assert (expected != 0).any()


@dataclass(frozen=True)
class Unpurged(Logistic):
    """Learns from all sessions before the fit, even if their labels are not complete."""

    @property
    def lookback(self) -> int:
        return super().lookback + self.horizon

    def __post_init__(self) -> None:
        object.__setattr__(self, "embargo", 1 - self.horizon)


def test_the_future_changes_the_present_only_without_the_purge(closes: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    moved: dict[type[Logistic], list[float]] = {Logistic: [], Unpurged: []}
    months = closes.index.to_period("M")
    starts = np.flatnonzero(months[1:] != months[:-1]) + 1
    for start in starts[-4:-1]:
        known = start + 2
        poisoned = closes.copy()
        poisoned.iloc[known:] *= np.exp(rng.normal(0, 0.3, poisoned.iloc[known:].shape))
        for kind, changes in moved.items():
            model = kind(**SMALL)
            signals = [model.signal(states_of(model, c))[:known] for c in (closes, poisoned)]
            changes.append(float((signals[0] - signals[1]).abs().max(axis=None)))
    assert moved[Logistic] == [0.0, 0.0, 0.0]
    assert min(moved[Unpurged]) > 1e-3


@by_name
def test_the_order_of_the_training_rows_has_no_influence(model: WalkForwardClassifier) -> None:
    features, rises = sample()
    shuffled = np.random.default_rng(3).permutation(len(rises))
    new, _ = sample(seed=4)
    one = model.fit(features, rises, 7)(new)
    two = model.fit(features[shuffled], rises[shuffled], 7)(new)
    assert np.allclose(one, two, rtol=0, atol=1e-12)
    assert one.std() > 0.05


@by_name
def test_a_probability_does_not_depend_on_other_rows(model: WalkForwardClassifier) -> None:
    features, rises = sample()
    predict = model.fit(features, rises, 7)
    new, _ = sample(seed=4)
    whole = predict(new)
    for count in (1, 2, 3, 17, 100):
        assert np.array_equal(predict(new[:count]), whole[:count])
        assert np.array_equal(predict(new[-count:]), whole[-count:])


@by_name
def test_a_second_fit_equals_the_first_in_every_bit(model: WalkForwardClassifier) -> None:
    features, rises = sample()
    np.random.seed(1)
    one = model.fit(features, rises, 7)(features)
    np.random.seed(2)
    assert np.array_equal(model.fit(features.copy(), rises, 7)(features), one)


@pytest.mark.parametrize(
    ("model", "library"),
    list(zip(MODELS, [LogisticRegression, HistGradientBoostingClassifier], strict=True)),
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fit_uses_one_thread(
    model: WalkForwardClassifier, library: type[BaseEstimator], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = library.fit

    def spy(self: BaseEstimator, *data: object) -> BaseEstimator:
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return original(self, *data)

    monkeypatch.setattr(library, "fit", spy)
    with threadpool_limits(2):
        model.fit(*sample(), seed=7)
        assert max(pool["num_threads"] for pool in threadpool_info()) == 2, "restored afterwards"
    assert set(seen) == {1}


def test_importing_the_models_does_not_load_the_library() -> None:
    code = (
        "import sys; from hawk_assets.models import discover; discover();"
        "print(sorted({'sklearn', 'scipy', 'threadpoolctl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
