"""The book that a trader reads: targets, what is held, the orders between them, and the figures."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hawk_assets.commands.show import latest_book
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS, COMBINED_PERFORMANCE
from hawk_assets_tests.pipelines import MODELS, Desk, open_desk, ragged_prices


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Prices that end within July; the history runs on to September."""
    prices = ragged_prices()
    with open_desk(
        tmp_path_factory.mktemp("book"), prices[prices["date"] <= "2015-07-10"], "2015-09"
    ) as desk:
        assert desk.backfill() == {}
        yield desk


def test_orders_lead_from_what_is_held_to_the_target_of_the_latest_session(desk: Desk) -> None:
    book, tables = latest_book(desk.pipeline, desk.instance), desk.tables()
    assert (book["session"], book["held_on"], book["month"]) == ("2015-07-10",) * 2 + ("2015-07",)

    account = tables[COMBINED_PERFORMANCE].iloc[-1]
    dollars = dict(account["positions"])
    assert dollars.pop("cash") + sum(dollars.values()) == pytest.approx(account["portfolio_value"])
    held = pd.Series(dollars) / account["portfolio_value"]
    insights = tables[COMBINED_INSIGHTS]
    target = insights[insights["date"] == "2015-07-10"].set_index("ticker")["weight"]

    orders = pd.DataFrame(book["orders"]).set_index("ticker")
    assert orders.index.is_monotonic_increasing
    assert set(orders.index) == set(target.index[target != 0]) | set(held.index)
    for column, expected in (("target", target), ("held", held)):
        np.testing.assert_array_equal(orders[column], expected.reindex(orders.index).fillna(0.0))
    np.testing.assert_array_equal(orders["order"], orders["target"] - orders["held"])


def test_the_next_session_holds_what_was_the_target(desk: Desk) -> None:
    """The lag is one session: an order of the last but one session is held on the last."""
    tables = desk.tables()
    account, insights = tables[COMBINED_PERFORMANCE].iloc[-1], tables[COMBINED_INSIGHTS]
    before = insights["date"].unique()[-2]
    target = insights[insights["date"] == before].set_index("ticker")["weight"]
    held = pd.Series(dict(account["positions"])).drop("cash") / account["portfolio_value"]
    # Bought before the costs are paid: off by the slippage, no more.
    np.testing.assert_allclose(held, target[target != 0].reindex(held.index), atol=1e-4)


def test_every_model_has_its_weight_its_reason_and_its_figures(desk: Desk) -> None:
    book = latest_book(desk.pipeline, desk.instance)
    *models, combined = book["models"]
    assert [row["model"] for row in models] == sorted(model.name for model in MODELS)
    assert sum(row["weight"] for row in models) == pytest.approx(1.0)
    assert (combined["model"], combined["weight"]) == ("combined", None)
    assert (book["objective"], book["fallback"], book["status"]) == ("min_variance",) * 2 + (
        "Solved",
    )
    account = desk.tables()[COMBINED_PERFORMANCE]["portfolio_value"]
    assert combined["metrics"]["total_return"] == pytest.approx(account.iloc[-1] / 1e6 - 1)
    assert all(row["metrics"]["max_drawdown"] < 0 for row in book["models"])


def test_the_book_is_plain_json(desk: Desk) -> None:
    book = latest_book(desk.pipeline, desk.instance)
    assert json.loads(json.dumps(book, allow_nan=False)) == book


def test_what_is_held_is_dated_when_the_account_is_behind_the_book(desk: Desk) -> None:
    root = Path(desk.settings.storage)
    (root / "combined_performance" / "2015-07-01.parquet").unlink()
    try:
        book = latest_book(desk.pipeline, desk.instance)
        assert (book["session"], book["held_on"]) == ("2015-07-10", "2015-06-30")
    finally:
        assert desk.backfill("2015-07", "2015-07", "combined_performance") == {}


def test_without_a_book_the_backfill_command_is_named(tmp_path: Path) -> None:
    with (
        open_desk(tmp_path, ragged_prices(), "2015-09") as desk,
        pytest.raises(MissingMonthError, match=r"holds no combined book.*run: hawk backfill"),
    ):
        latest_book(desk.pipeline, desk.instance)
