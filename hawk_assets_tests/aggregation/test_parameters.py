import pytest

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.errors import SettingsError


@pytest.mark.parametrize(
    "values",
    [
        {"objective": "max_sharp"},
        {"cap": 0.0},
        {"cap": 1.01},
        {"cap": float("nan")},
        {"min_months": 0},
        {"min_months": 13, "window_months": 12},
        {"hold_sessions": -1},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        AggregationParameters(**values)


def test_the_limits_of_the_settings_can_be_used():
    AggregationParameters(cap=1.0, min_months=36, window_months=36, hold_sessions=0)
