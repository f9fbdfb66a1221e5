"""Models that break the contract: every clause can fail, and each defect fails its clause."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import Array, Bars, States, TradingModel
from hawk_assets.features.indicators import ema
from hawk_assets_tests.markets import ragged_market
from hawk_assets_tests.models.contract import CLAUSES

CHECKS = {clause.__name__.removeprefix("check_"): clause for clause in CLAUSES}


@dataclass(frozen=True)
class Momentum(TradingModel):
    """Keeps every clause; each mutant below changes one thing."""

    name = "momentum_20"
    warmup = 20
    lookback = 0

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"momentum": past_return(bars["close"], 20)}

    def signal(self, states: States) -> pd.DataFrame:
        vol = states["vol_63"]
        return (states["momentum"] / vol.where(vol > 0) / 9.0).clip(-1.0, 1.0)


@dataclass(frozen=True)
class Positioning(Momentum):
    """Reads commitments of traders, and keeps every clause too."""

    name = "positioning_8"
    reports = 8

    def features(self, bars: Bars) -> dict[str, Array]:
        net = bars["commercial_long"] - bars["commercial_short"]
        low, high = net.min(axis=1), net.max(axis=1)
        return {"index": (net[:, -1] - low) / np.where(high > low, high - low, np.nan)}

    def signal(self, states: States) -> pd.DataFrame:
        return 2.0 * states["index"] - 1.0


def past_return(close: Array, lag: int) -> Array:
    """Log return over ``lag`` bars; NaN for the first ``lag`` bars."""
    out = np.full(close.shape, np.nan)
    out[lag:] = np.log(close[lag:] / close[:-lag])
    return out


@dataclass(frozen=True)
class CentredWindow(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        smooth = pd.Series(bars["close"]).rolling(21, center=True, min_periods=1).mean()
        return {"momentum": past_return(smooth.to_numpy(), 20)}


@dataclass(frozen=True)
class PeeksOneBarInFeatures(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        momentum = past_return(bars["close"], 20)
        return {"momentum": np.append(momentum[1:], momentum[-1:])}


@dataclass(frozen=True)
class PeeksOneSessionInSignal(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        return super().signal(states).shift(-1)


@dataclass(frozen=True)
class PeeksAtTheNextReport(Positioning):
    def features(self, bars: Bars) -> dict[str, Array]:
        index = super().features(bars)["index"]
        return {"index": np.append(index[5:], index[-5:])}


@dataclass(frozen=True)
class NormalisesByItsWholeWindow(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        close = bars["close"]
        return {"momentum": past_return(close, 20) * close / close.max(initial=1.0)}


@dataclass(frozen=True)
class NormalisesByAllBars(NormalisesByItsWholeWindow):
    slice_stable = True


@dataclass(frozen=True)
class NormalisesByTheWholeSample(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        return (states["momentum"] / states["momentum"].std() / 2.0).clip(-1.0, 1.0)


@dataclass(frozen=True)
class WarmsUpTooShort(Momentum):
    warmup = 31

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"momentum": np.log(bars["close"] / ema(bars["close"], 20))}


@dataclass(frozen=True)
class LooksBackTooShort(Momentum):
    lookback = 3

    def signal(self, states: States) -> pd.DataFrame:
        return super().signal(states).rolling(126, min_periods=1).max()


@dataclass(frozen=True)
class HoldsForEver(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        entered = super().signal(states).abs() > 0.95
        return entered.astype(float).where(entered).ffill()


@dataclass(frozen=True)
class ReadsUndeclaredVolume(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        return {"momentum": past_return(bars["volume"] * bars["close"], 20)}


@dataclass(frozen=True)
class ClaimsToBeSliceStable(Momentum):
    warmup = 310
    slice_stable = True

    def features(self, bars: Bars) -> dict[str, Array]:
        return {"momentum": np.log(bars["close"] / ema(bars["close"], 20))}


@dataclass(frozen=True)
class DependsOnTheLevel(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        return (states["momentum"] * states["close"] / 50.0).clip(-1.0, 1.0)


@dataclass(frozen=True)
class DividesByZero(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {"momentum": 1.0 / past_return(bars["close"], 1)}


@dataclass(frozen=True)
class ExceedsOne(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        return 1.5 * super().signal(states)


@dataclass(frozen=True)
class DropsATicker(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        return super().signal(states).iloc[:, 1:]


@dataclass(frozen=True)
class HasNoOpinion(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        return 0.0 * super().signal(states)


@dataclass(frozen=True)
class Gambles(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        return {"momentum": np.random.default_rng().normal(size=bars["close"].shape)}


@dataclass(frozen=True)
class OverwritesBars(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        bars["close"][:] = np.log(bars["close"])
        return {"momentum": bars["close"]}


@dataclass(frozen=True)
class OverwritesStates(Momentum):
    def signal(self, states: States) -> pd.DataFrame:
        states["momentum"].iloc[:, 0] = 0.0
        return super().signal(states)


@dataclass(frozen=True)
class NeedsSixtyBars(Momentum):
    def features(self, bars: Bars) -> dict[str, Array]:
        return {"momentum": past_return(bars["close"], 20) / bars["close"][60]}


@dataclass(frozen=True)
class HasATitleForAName(Momentum):
    name = "Momentum 20"


@dataclass(frozen=True)
class DeclaresAnUnknownColumn(Momentum):
    inputs = ("vwap",)


@dataclass(frozen=True)
class CountsHalfBars(Momentum):
    warmup = 20.5


class CanBeChanged(Momentum):
    __setattr__ = object.__setattr__


@dataclass(frozen=True)
class CannotBePickled(Momentum):
    weigh: Callable[[float], float] = field(default=lambda x: x)


MUTANTS: dict[type[Momentum], tuple[str, ...]] = {
    CentredWindow: ("truncation", "poison", "memory"),
    PeeksOneBarInFeatures: ("truncation", "poison", "memory"),
    PeeksOneSessionInSignal: ("truncation", "poison", "window", "memory"),
    PeeksAtTheNextReport: ("truncation", "poison", "memory"),
    NormalisesByItsWholeWindow: ("truncation", "poison", "memory"),
    NormalisesByAllBars: ("truncation", "poison", "window", "slice_stable"),
    NormalisesByTheWholeSample: ("truncation", "poison", "window", "memory"),
    WarmsUpTooShort: ("memory",),
    LooksBackTooShort: ("window", "memory"),
    HoldsForEver: ("window", "memory"),
    ReadsUndeclaredVolume: ("inputs",),
    ClaimsToBeSliceStable: ("slice_stable",),
    DependsOnTheLevel: ("scale",),
    HasNoOpinion: ("range",),
    Gambles: ("truncation", "poison", "window", "memory", "holes", "order"),
    OverwritesBars: ("purity",),
    OverwritesStates: ("purity",),
    HasATitleForAName: ("identity",),
    DeclaresAnUnknownColumn: ("identity",),
    CountsHalfBars: ("identity",),
    CanBeChanged: ("identity",),
    CannotBePickled: ("identity",),
}


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    """Two years of four tickers: enough for models that need 63 bars."""
    market = ragged_market(years=2)
    return market[market["ticker"].isin(["FULL", "LATE", "NANS", "TICK"])].reset_index(drop=True)


@pytest.mark.parametrize("clause", CHECKS)
@pytest.mark.parametrize("model", [Momentum(), Positioning()], ids=lambda model: model.name)
def test_the_models_that_the_mutants_change_keep_every_clause(
    model: TradingModel, clause: str, market: pd.DataFrame
) -> None:
    CHECKS[clause](model, market)


@pytest.mark.parametrize(
    ("mutant", "clause"), [(mutant, clause) for mutant in MUTANTS for clause in MUTANTS[mutant]]
)
def test_a_broken_model_is_caught_by_its_clause(
    mutant: type[Momentum], clause: str, market: pd.DataFrame
) -> None:
    with pytest.raises(AssertionError, match=f"{mutant.name}|{mutant.__name__}"):
        CHECKS[clause](mutant(), market)


def test_every_clause_catches_some_broken_model() -> None:
    caught = {clause for clauses in MUTANTS.values() for clause in clauses}
    assert caught | {"small_markets"} == set(CHECKS), "small_markets has a test of its own below"


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        (DividesByZero, "'momentum' of TICK is infinite on 2015-01-0.*guard the division"),
        (ExceedsOne, r"signal -1\.[0-9]+ for NANS on 2015-03-31 is outside \[-1, 1\]"),
        (DropsATicker, r"shape \(522, 3\).*\(522, 4\)"),
    ],
)
def test_a_model_that_cannot_be_stored_is_refused_by_name(
    mutant: type[Momentum], message: str, market: pd.DataFrame
) -> None:
    with pytest.raises(ModelError, match=message):
        CHECKS["range"](mutant(), market)


def test_a_model_that_needs_sixty_bars_to_run_fails_in_a_small_market(
    market: pd.DataFrame,
) -> None:
    with pytest.raises(IndexError):
        CHECKS["small_markets"](NeedsSixtyBars(), market)
