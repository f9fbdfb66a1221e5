"""The check on the objective: what it warns of, and what it only names."""

import pandas as pd
import pytest

from hawk_assets.orchestration.assets.weights import check_solved

MONTHS = pd.date_range("2020-01-01", periods=3, freq="MS")


@pytest.mark.parametrize(
    ("fallbacks", "passed", "named"),
    [
        (["hrp", "hrp", "hrp"], True, ""),
        (["hrp", "previous_weights", "hrp"], True, "2020-02: previous_weights (infeasible)"),
        (["hrp", "hrp", "equal_weight"], False, "2020-03: equal_weight (infeasible)"),
        (["no_record", "no_record", "hrp"], True, ""),
        (["hrp", "hrp", "no_record"], True, ""),
    ],
)
def test_a_fallback_of_the_last_month_is_a_warning_and_an_earlier_one_is_named(
    fallbacks: list[str], passed: bool, named: str
) -> None:
    weights = pd.DataFrame({"month": MONTHS, "objective": "hrp", "fallback": fallbacks})
    weights["status"] = ["Solved" if f == "hrp" else "infeasible" for f in fallbacks]
    weights.loc[weights["fallback"] == "no_record", "status"] = "no_record"
    result = check_solved(pd.concat([weights.assign(model=m) for m in "ab"]))
    assert (result.passed, result.description) == (passed, named)
    assert result.metadata["months_not_solved"].value == (1 if named else 0)
