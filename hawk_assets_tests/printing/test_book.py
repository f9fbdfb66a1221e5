"""How the header of the weights reads."""

import pytest

from hawk_assets.printing.book import describe_weights


@pytest.mark.parametrize(
    ("objective", "fallback", "status", "solver", "says"),
    [
        ("hrp", "hrp", "Solved", "none", "hrp"),
        ("min_variance", "min_variance", "Solved", "mosek", "min_variance, solved by mosek"),
        (
            "max_sharpe",
            "max_sharpe",
            "Solved; caps raised to 0.5",
            "clarabel",
            "max_sharpe, solved by clarabel (caps raised to 0.5)",
        ),
        (
            "max_sharpe",
            "equal_weight",
            "no_record",
            "none",
            "equal_weight, because no model has a record that is long enough for max_sharpe",
        ),
        (
            "max_sharpe",
            "min_variance",
            "no positive mean",
            "clarabel",
            "min_variance, solved by clarabel, because max_sharpe has no solution "
            "(no positive mean)",
        ),
    ],
)
def test_the_weights_say_how_they_came_about(
    objective: str, fallback: str, status: str, solver: str, says: str
) -> None:
    how = {"objective": objective, "fallback": fallback, "status": status, "solver": solver}
    assert describe_weights(how) == says
