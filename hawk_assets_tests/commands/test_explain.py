"""A published weight, taken apart down to the raw rows and put together again from them."""

from collections.abc import Iterator

import pandas as pd
import pytest

from hawk_assets.commands.explain import explain
from hawk_assets.core.errors import MissingMonthError, SettingsError
from hawk_assets.model_states.builder import build_states
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS
from hawk_assets_tests.pipelines import MODELS, Desk, open_desk, ragged_prices

MONTH = pd.DatetimeIndex(["2015-10-01"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk"), ragged_prices(), "2015-10") as desk:
        assert desk.backfill() == {}
        yield desk


def book(desk: Desk) -> pd.DataFrame:
    return desk.tables()[COMBINED_INSIGHTS]


def test_the_parts_of_every_weight_add_up_to_it_in_every_bit(desk: Desk) -> None:
    rows = book(desk)
    rows = rows[rows["date"].isin(rows["date"].unique()[-3:])]
    opposed = 0
    for row in rows.itertuples():
        why = explain(desk.pipeline, str(row.ticker), row.date)
        parts = [model["part"] for model in why["models"]]
        assert sum(parts) == row.weight == why["weight"]
        assert all(m["share"] * m["insight_weight"] == m["part"] for m in why["models"])
        opposed += min(parts) < 0 < max(parts)
    assert opposed


def test_the_listed_rows_alone_give_the_stored_state_in_every_bit(desk: Desk) -> None:
    """The raw rows are all that a state is computed from."""
    models = {model.name: model for model in MODELS}
    compared = 0
    for ticker in book(desk)["ticker"].unique():
        for model in explain(desk.pipeline, ticker)["models"] if latest(desk, ticker) else ():
            if not model["bars"]:
                continue
            bars = pd.DataFrame(model["bars"]).astype({"date": "datetime64[ns]"})
            again = build_states(models[model["model"]], bars, MONTH).iloc[-1]
            assert f"{again['date']:%Y-%m-%d}" == model["decided"]
            for name, value in model["state"].items():
                assert again[name] == value or (value is None and pd.isna(again[name]))
            compared += 1
    assert compared > 4


def latest(desk: Desk, ticker: str) -> bool:
    rows = book(desk)
    return bool((rows.loc[rows["date"] == rows["date"].max(), "ticker"] == ticker).any())


def test_without_a_date_it_is_the_latest_session(desk: Desk) -> None:
    session = book(desk)["date"].max()
    assert explain(desk.pipeline, "FULL") == explain(desk.pipeline, "FULL", session)
    assert explain(desk.pipeline, "FULL")["session"] == f"{session:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("ticker", "date", "says"),
    [
        ("NONE", None, "the book has no weight for 'NONE' on 2015-10-30; it has weights for "),
        ("FULL", "2015-10-31", "--date 2015-10-31: the book has no such session"),
        ("FULL", "2031-01-02", "it has sessions from 2015-"),
    ],
)
def test_what_the_book_does_not_hold_is_refused(
    ticker: str, date: str | None, says: str, desk: Desk
) -> None:
    with pytest.raises(SettingsError) as error:
        explain(desk.pipeline, ticker, date and pd.Timestamp(date))
    assert says in str(error.value)


def test_before_there_is_a_book_the_error_names_the_command(desk: Desk, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("empty")
    with (
        open_desk(folder, ragged_prices(), "2015-10") as empty,
        pytest.raises(MissingMonthError, match="hawk backfill"),
    ):
        explain(empty.pipeline, "FULL")
