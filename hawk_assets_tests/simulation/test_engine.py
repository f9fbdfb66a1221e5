import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from hawk_assets.core.errors import SimulationError
from hawk_assets.core.schemas import SIMULATION_COLUMNS
from hawk_assets.simulation import engine
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets_tests.simulation import oracle

DATES = pd.bdate_range("2024-01-01", periods=6)
PRICES = pd.DataFrame({"AAA": [10.0, 11, 12, 11, 10, 12], "BBB": [5.0, 5, 4, 4, 6, 5]}, index=DATES)
WEIGHTS = pd.DataFrame({"AAA": [0.5, 0.2], "BBB": [-0.3, 0.0]}, index=DATES[[1, 3]])


def run(prices=PRICES, weights=WEIGHTS, parameters=None):
    return engine.run("book", prices, weights, parameters or SimulationParameters())


@pytest.mark.parametrize("fee_model", [None, "ibkr_pro_fixed"])
@pytest.mark.parametrize("slippage_bps", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(12))
def test_every_column_agrees_with_an_independent_simulator(seed, slippage_bps, fee_model):
    rng = np.random.default_rng(seed)
    n_sessions, n_tickers = int(rng.integers(2, 60)), int(rng.integers(1, 8))
    dates = pd.bdate_range("2020-01-01", periods=n_sessions)
    tickers = [f"T{i}" for i in rng.permutation(n_tickers)]
    steps = rng.normal(0, 0.015, (n_sessions, n_tickers)).cumsum(axis=0)
    prices = pd.DataFrame(rng.uniform(2, 400, n_tickers) * np.exp(steps), dates, tickers)
    raw = rng.normal(size=prices.shape) * (rng.random(prices.shape) < 0.8)
    targets = pd.DataFrame(rng.uniform(0.2, 2.5) * raw / n_tickers, dates, tickers)
    events = targets[rng.random(n_sessions) < 0.6]
    if events.empty:
        events = targets[:1]
    parameters = SimulationParameters(float(rng.uniform(1e3, 1e7)), slippage_bps, fee_model)

    results, positions = run(prices.assign(UNUSED=np.nan), events, parameters)

    expected = oracle.account(
        (
            (date, dict(row), dict(events.loc[date]) if date in events.index else None)
            for date, row in prices.loc[events.index[0] :].iterrows()
        ),
        parameters,
    ).set_index("date")
    scale = [parameters.initial_value if c in IN_DOLLARS else 1.0 for c in SIMULATION_COLUMNS]
    assert list(results.columns) == list(SIMULATION_COLUMNS)
    np.testing.assert_array_equal(results.index, expected.index)
    np.testing.assert_allclose(
        results / scale, expected[list(SIMULATION_COLUMNS)] / scale, atol=1e-10
    )
    held = pd.DataFrame(list(expected["positions"]), expected.index).reindex(
        columns=positions.columns
    )
    np.testing.assert_allclose(
        positions / parameters.initial_value,
        held.fillna(0.0) / parameters.initial_value,
        atol=1e-10,
    )


IN_DOLLARS = ("portfolio_value", "volume_traded", "daily_slippage_cost", "daily_commission_cost")


def test_a_book_without_tickers_is_its_cash():
    results, positions = run(weights=pd.DataFrame(index=DATES[[2]]))
    assert (results["portfolio_value"] == 1_000_000).all()
    assert list(results.index) == list(DATES[2:])
    assert positions["cash"].tolist() == [1_000_000.0] * 4


def test_importing_the_stage_does_not_import_the_engine():
    code = (
        "import sys, hawk_assets.simulation.performance, hawk_assets.simulation.metrics\n"
        "print([m for m in ('polars', 'hawk_backtester') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def cell(frame, value):
    frame = frame.copy()
    frame.iloc[1, 1] = value
    return frame


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prices": cell(PRICES, np.nan)}, "price of BBB on 2024-01-02 is nan"),
        ({"prices": cell(PRICES, np.inf)}, "price of BBB on 2024-01-02 is inf"),
        ({"prices": cell(PRICES, 0.0)}, r"price of BBB on 2024-01-02 is 0\.0"),
        ({"prices": cell(PRICES, -1.0)}, r"price of BBB on 2024-01-02 is -1\.0"),
        ({"weights": cell(WEIGHTS, np.nan)}, "weight of BBB on 2024-01-04 is nan"),
        ({"weights": cell(WEIGHTS, -np.inf)}, "weight of BBB on 2024-01-04 is -inf"),
        ({"prices": PRICES.iloc[[0, 1, 1, 2]]}, "price dates .* increasing at 2024-01-02"),
        ({"prices": PRICES[::-1]}, "price dates .* increasing at 2024-01-05"),
        ({"weights": WEIGHTS.iloc[[0, 0]]}, "weight dates .* increasing at 2024-01-02"),
        ({"weights": WEIGHTS[::-1]}, "weight dates .* increasing at 2024-01-02"),
        ({"weights": WEIGHTS.rename(columns={"BBB": "cash"})}, "'cash' .* reserves"),
        ({"weights": WEIGHTS.rename(columns={"BBB": "date"})}, "'date' .* reserves"),
        ({"weights": WEIGHTS.rename(columns={"BBB": "CCC"})}, "no price for CCC"),
        (
            {"weights": WEIGHTS.set_axis(pd.DatetimeIndex(["2024-01-04", "2024-01-06"]))},
            "weights for 2024-01-06, which is not a session",
        ),
    ],
)
def test_input_that_the_engine_would_accept_wrongly_is_refused(arguments, message):
    with pytest.raises(SimulationError, match=f"^book: .*{message}"):
        run(**arguments)


def test_a_book_worth_nothing_is_bankrupt_on_its_first_such_day():
    weights = pd.DataFrame({"AAA": [3.0]}, index=DATES[[0]])
    prices = PRICES.assign(AAA=[10.0, 9.0, 5.0, 4.0, 20.0, 30.0])
    with pytest.raises(SimulationError, match=r"^book: bankrupt on 2024-01-03.*-500,\d{3}\.\d\d"):
        run(prices, weights)


def test_a_panic_of_the_engine_becomes_a_simulation_error(capfd):
    categories = pl.DataFrame(
        {"date": ["2024-01-01"], "AAA": pl.Series(["1"], dtype=pl.Categorical)}
    )
    with pytest.raises(SimulationError, match=r"^book: hawk-backtester crashed"):
        engine._call("book", categories, categories, SimulationParameters())
    assert "panicked" in capfd.readouterr().err
