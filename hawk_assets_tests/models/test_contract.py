"""Every clause of the contract for every discovered model, without registration."""

import pandas as pd
import pytest

from hawk_assets.core.model import TradingModel
from hawk_assets.models import discover
from hawk_assets_tests.markets import ragged_market
from hawk_assets_tests.models.contract import CLAUSES, Clause


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    return ragged_market()


@pytest.mark.parametrize(
    "clause", CLAUSES, ids=lambda clause: clause.__name__.removeprefix("check_")
)
@pytest.mark.parametrize("model", discover().values(), ids=lambda model: model.name)
def test_a_model_keeps_the_contract(
    model: TradingModel, clause: Clause, market: pd.DataFrame
) -> None:
    clause(model, market)
