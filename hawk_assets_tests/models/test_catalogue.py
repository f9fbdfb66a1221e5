"""docs/models.md says what the code says; a model that it does not have yet is a warning only."""

import warnings

import pandas as pd
import pytest

from hawk_assets.core.model import TradingModel
from hawk_assets.models import discover
from hawk_assets.sources.sample import SampleMarket
from hawk_assets_tests.models.catalogue import COLUMNS, FILE, claim, facts, outdated, reference, row


def test_the_document_has_every_model_as_it_is_now() -> None:
    if found := outdated(FILE.read_text(encoding="utf-8")):
        warnings.warn(
            f"docs/models.md is older than {', '.join(found)}; "
            "run: python -m hawk_assets_tests.models.catalogue",
            stacklevel=1,
        )


def document(models: list[TradingModel]) -> str:
    rows = [f"| {' | '.join([*facts(model), '0.1', '2'])} |" for model in models]
    return "\n".join([*rows, *(f"{claim(model)} {reference(model)}" for model in models)])


def test_a_model_that_is_new_or_changed_is_outdated() -> None:
    models = list(discover().values())
    assert outdated(document(models)) == []
    assert outdated(document(models[1:])) == [models[0].name]
    for fact in (facts(models[0])[1], claim(models[0]), reference(models[0])):
        assert outdated(document(models).replace(fact, "older")) == [models[0].name]


@pytest.mark.parametrize("name", ["ema_cross_12_26", "rsi_14"])
def test_a_row_has_a_cell_for_each_column_and_is_the_same_each_time(name: str) -> None:
    model = discover()[name]
    market = SampleMarket(pd.Timestamp("2006-01-01"), pd.Timestamp("2009-01-01"))
    cells = [cell.strip() for cell in row(model, market).strip("|").split("|")]
    assert len(cells) == len(COLUMNS)
    assert tuple(cells[:4]) == facts(model)
    assert 0 < float(cells[4]) < 2
    assert float(cells[5]) >= 1
    assert row(model, market) == row(model, market)
