import math

import pytest

from hawk_assets.core.errors import SettingsError
from hawk_assets.simulation.parameters import SimulationParameters


def test_the_defaults_trade_one_session_after_the_signal():
    parameters = SimulationParameters()
    assert parameters == SimulationParameters(1_000_000.0, 1.0, None, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial_value", 0.0),
        ("initial_value", -1.0),
        ("initial_value", math.nan),
        ("initial_value", math.inf),
        ("initial_value", "1000"),
        ("slippage_bps", -0.1),
        ("slippage_bps", math.nan),
        ("slippage_bps", math.inf),
        ("fee_model", "IBKR_PRO_FIXED"),
        ("fee_model", "zero"),
        ("fee_model", ""),
        ("execution_lag", -1),
        ("execution_lag", 1.0),
        ("execution_lag", True),
        ("execution_lag", 16),
    ],
)
def test_a_value_that_the_engine_would_accept_wrongly_is_refused(field, value):
    with pytest.raises(SettingsError, match=f"{field} is {value!r}"):
        SimulationParameters(**{field: value})


@pytest.mark.parametrize(
    "values",
    [{"slippage_bps": 0}, {"fee_model": "ibkr_pro_fixed"}, {"execution_lag": 0}],
)
def test_the_edges_of_what_is_usable_are_accepted(values):
    assert SimulationParameters(**values)
