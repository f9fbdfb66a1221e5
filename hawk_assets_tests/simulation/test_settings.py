import math

import pytest

from hawk_assets.core.errors import SettingsError
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.settings import SimulationSettings


def test_the_defaults_are_those_of_an_account() -> None:
    assert SimulationSettings().of_models == SimulationSettings().of_book == SimulationParameters()


def test_models_and_the_book_share_a_market_and_have_their_own_capital() -> None:
    settings = SimulationSettings(2, 3.0, "ibkr_pro_fixed", 1e5, 5e7)
    assert settings.of_models == SimulationParameters(1e5, 3.0, "ibkr_pro_fixed", 2)
    assert settings.of_book == SimulationParameters(5e7, 3.0, "ibkr_pro_fixed", 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_capital", 0.0),
        ("model_capital", math.nan),
        ("book_capital", -1.0),
        ("book_capital", math.inf),
        ("slippage_bps", -0.1),
        ("fee_model", "zero"),
        ("execution_lag", 16),
        ("sessions_per_year", 0.0),
        ("sessions_per_year", math.nan),
        ("sessions_per_year", 367.0),
    ],
)
def test_a_value_the_simulator_cannot_use_is_refused_by_its_name(
    field: str, value: float | str
) -> None:
    with pytest.raises(SettingsError, match=f"^{field} is {value!r}; give"):
        SimulationSettings(**{field: value})
