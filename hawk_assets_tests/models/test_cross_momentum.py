import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from hawk_assets.insights.builder import build_insights
from hawk_assets.models.cross_momentum import CrossSectionalMomentum

MODEL = CrossSectionalMomentum()


def returns_of(seed: int) -> pd.DataFrame:
    """Forty sessions of nine tickers, with ties and holes; on some sessions fewer than four."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-6, 7, (40, 9)) / 10.0
    values[rng.random(values.shape) < np.linspace(0.0, 0.8, 40)[:, None]] = np.nan
    return pd.DataFrame(values, pd.bdate_range("2020-01-01", periods=40), list("ABCDEFGHI"))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_rank_among_the_tickers_that_have_a_return(seed: int) -> None:
    returns = returns_of(seed)
    signal = MODEL.signal({"past_return": returns}).to_numpy()
    thin = 0
    for row, found in zip(returns.to_numpy(), signal, strict=True):
        ready = np.isfinite(row)
        assert np.isnan(found[~ready]).all()
        if ready.sum() < 4:
            thin += 1
            assert np.isnan(found[ready]).all()
            continue
        expected = 2 * (rankdata(row[ready]) - 1) / (ready.sum() - 1) - 1
        assert np.allclose(found[ready], expected, rtol=0, atol=1e-15)
        assert found[ready].sum() == pytest.approx(0, abs=1e-14)
    assert 0 < thin < 40


def test_the_best_is_1_the_worst_is_minus_1_and_ties_share_a_rank() -> None:
    returns = pd.DataFrame([[0.3, -0.2, 0.1, 0.1, np.nan]])
    assert np.allclose(
        MODEL.signal({"past_return": returns}), [[1, -1, 0, 0, np.nan]], equal_nan=True
    )


def test_with_too_few_tickers_the_signal_is_0_after_the_hold() -> None:
    dates = pd.bdate_range("2020-01-01", periods=20)
    long = pd.MultiIndex.from_product([dates, list("ABCD")], names=["date", "ticker"])
    states = pd.DataFrame(index=long).reset_index()
    states = states.assign(close=10.0, vol_63=0.01, past_return=np.tile([1.0, 2.0, 3.0, 4.0], 20))
    states.loc[(states["ticker"] == "A") & (states["date"] >= dates[8]), "past_return"] = np.nan
    insights = build_insights(MODEL, states, pd.DatetimeIndex(["2020-01-01"]))
    best = insights[insights["ticker"] == "D"]["signal"].to_list()
    assert best == [1.0] * (8 + 5) + [0.0] * 7
    three = build_insights(MODEL, states[states["ticker"] != "A"], pd.DatetimeIndex(["2020-01-01"]))
    assert (three["signal"] == 0).all()
    assert len(three) == 60


def test_fewer_than_two_tickers_are_refused() -> None:
    with pytest.raises(ValueError, match="fewest >= 2"):
        CrossSectionalMomentum(fewest=1)
