import pytest

from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.core.errors import SettingsError


@pytest.mark.parametrize(
    "values",
    [
        {"objective": "max_sharp"},
        {"cap": 0.0},
        {"cap": 1.01},
        {"cap": -0.1},
        {"cap": float("nan")},
        {"family_cap": 0.0},
        {"family_cap": 1.2},
        {"turnover": 0.0},
        {"turnover": float("nan")},
        {"gross": 0.9},
        {"gross": float("inf")},
        {"cost_bps": -1.0},
        {"risk_aversion": 0.0},
        {"tail": 0.0},
        {"tail": 1.0},
        {"half_life": -1.0},
        {"min_months": 0},
        {"min_months": 13, "window_months": 12},
        {"hold_sessions": -1},
        {"hold_sessions": 253},
        {"window_months": 601},
        {"window_months": 10**24},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        AggregationParameters(**values)


def test_the_limits_of_the_settings_can_be_used():
    AggregationParameters(cap=1.0, min_months=36, window_months=36, hold_sessions=0)


def test_the_error_for_an_unknown_objective_lists_the_known_ones():
    with pytest.raises(SettingsError) as error:
        AggregationParameters(objective="best")
    assert all(name in str(error.value) for name in OBJECTIVES)


def test_a_family_cap_too_low_for_the_families_is_an_error_with_the_smallest_possible():
    parameters = AggregationParameters(family_cap=0.3)
    parameters.check_families(["a", "b", "c", "d"])
    parameters.check_families([])
    with pytest.raises(SettingsError, match=r"family_cap 0.3: 3 families .* at least 0.334"):
        parameters.check_families(["a", "b", "b", "c"])
    AggregationParameters(family_cap=0.334).check_families(["a", "b", "c"])
