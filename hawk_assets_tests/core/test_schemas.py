import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest

from hawk_assets.core import schemas
from hawk_assets.core.errors import DataError
from hawk_assets.core.schemas import arrow_schema, validate
from hawk_assets_tests.markets import ragged_market


@pytest.fixture
def bars() -> pd.DataFrame:
    """Four sessions of A and of B."""
    market = ragged_market(years=1)
    four = market[market["ticker"].isin(["FULL", "HALT"])].groupby("ticker").head(4)
    return four.replace({"FULL": "A", "HALT": "B"}).reset_index(drop=True)


def test_a_valid_table_is_returned_with_the_schema_first_and_a_new_index(
    bars: pd.DataFrame,
) -> None:
    shuffled = bars[bars.columns[::-1]].sample(frac=1.0, random_state=1)
    table = validate(schemas.MARKET_DATA_SCHEMA, shuffled, "bars.csv")
    assert list(table) == ["date", "ticker", "open", "high", "low", "close", "volume"]
    assert list(table.index) == list(range(8))


def test_holes_and_an_empty_table_are_valid(bars: pd.DataFrame) -> None:
    bars.loc[3, ["open", "high", "low", "close", "volume"]] = np.nan
    assert validate(schemas.MARKET_DATA_SCHEMA, bars, "bars.csv")["close"].isna().sum() == 1
    assert validate(schemas.MARKET_DATA_SCHEMA, bars[:0], "bars.csv").empty


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (5, "close", 0.0, "B on 2015-01-02: close 0.0: a price must be positive (1 row in all)"),
        (2, "open", -1.0, "A on 2015-01-05: open -1.0: a price must be positive (1 row in all)"),
        (5, "volume", -1.0, "B on 2015-01-02: volume -1.0: must not be negative (1 row in all)"),
        (5, "close", np.inf, "B on 2015-01-02: a price or volume is infinite (1 row in all)"),
        (6, "high", 0.1, "B on 2015-01-05: high is below low (1 row in all)"),
        (1, "ticker", None, "None on 2015-01-02: ticker None: is missing (1 row in all)"),
        (5, "date", pd.NaT, "B: date NaT: is missing (1 row in all)"),
        (5, "date", pd.Timestamp("2015-01-02 16:00"), "2015-01-02 16:00:00: must be a midnight"),
        (5, "date", pd.Timestamp("2015-01-01"), "B on 2015-01-01: the row appears more than once"),
    ],
)
def test_a_bad_row_is_named_with_origin_ticker_date_and_reason(
    bars: pd.DataFrame, row: int, column: str, value: object, message: str
) -> None:
    bars.loc[row, column] = value
    with pytest.raises(DataError) as error:
        validate(schemas.MARKET_DATA_SCHEMA, bars, "bars.csv")
    assert str(error.value).startswith("bars.csv: ")
    assert message in str(error.value)


def test_the_number_of_bad_rows_is_reported(bars: pd.DataFrame) -> None:
    bars.loc[[1, 2, 6], "low"] = -1.0
    with pytest.raises(DataError, match=r"A on 2015-01-02: .*\(3 rows in all\)"):
        validate(schemas.MARKET_DATA_SCHEMA, bars, "bars.csv")


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("close", int, "column close has type int64, needs float64"),
        ("close", str, "column close has type object, needs float64"),
        ("date", str, "column date has type object, needs datetime64[ns]"),
        ("date", "datetime64[ns, UTC]", "column date has type datetime64[ns, UTC], needs datetime"),
    ],
)
def test_a_column_of_the_wrong_type_is_named_even_if_rows_are_bad_too(
    bars: pd.DataFrame, column: str, kind: type | str, message: str
) -> None:
    bars.loc[3, "open"] = -1.0
    if kind == "datetime64[ns, UTC]":
        bars[column] = bars[column].dt.tz_localize("UTC")
    else:
        bars[column] = bars[column].astype(kind)
    with pytest.raises(DataError) as error:
        validate(schemas.MARKET_DATA_SCHEMA, bars, "bars.csv")
    assert message in str(error.value)


def test_a_ticker_that_is_a_number_is_refused(bars: pd.DataFrame) -> None:
    bars.loc[2, "ticker"] = 600519
    with pytest.raises(DataError, match="on 2015-01-05: ticker 600519: must be text"):
        validate(schemas.MARKET_DATA_SCHEMA, bars, "bars.csv")


def test_missing_columns_are_named_with_what_was_found(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"bars\.csv: column high, close is missing; .*found date,"):
        validate(schemas.MARKET_DATA_SCHEMA, bars.drop(columns=["high", "close"]), "bars.csv")


def test_an_unexpected_column_is_named(bars: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="unexpected column 'adjusted'"):
        validate(schemas.MARKET_DATA_SCHEMA, bars.assign(adjusted=1.0), "bars.csv")


def test_states_may_have_features_besides_the_columns_of_the_schema(bars: pd.DataFrame) -> None:
    states = bars[["date", "ticker", "close"]].assign(rsi=50.0, vol_63=0.01)
    assert list(validate(schemas.MODEL_STATES_SCHEMA, states, "states")) == [
        "date",
        "ticker",
        "close",
        "vol_63",
        "rsi",
    ]
    with pytest.raises(DataError, match=r"vol_63 -0.01: must not be negative"):
        validate(schemas.MODEL_STATES_SCHEMA, states.assign(vol_63=-0.01), "states")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("signal", 1.5, "signal 1.5: outside [-1, 1]"),
        ("signal", np.nan, "signal nan: is missing"),
        ("weight", np.inf, "weight inf: must be finite"),
    ],
)
def test_an_insight_out_of_bounds_is_refused(
    bars: pd.DataFrame, column: str, value: float, message: str
) -> None:
    insights = bars[["date", "ticker"]].assign(model="ema", signal=0.5, weight=0.05)
    insights.loc[5, column] = value
    with pytest.raises(DataError) as error:
        validate(schemas.INSIGHTS_SCHEMA, insights, "insights")
    assert f"insights: B on 2015-01-02: {message} (1 row in all)" in str(error.value)


def test_a_report_released_before_the_day_it_reports_is_refused() -> None:
    counts = ("commercial_long", "commercial_short", "noncommercial_long", "noncommercial_short")
    reports = pd.DataFrame(
        {
            "report_date": pd.to_datetime(["2020-01-07", "2020-01-14"]),
            "release_date": pd.to_datetime(["2020-01-10", "2020-01-14"]),
            "contract": "088691",
            **dict.fromkeys([*counts, "open_interest"], 1.0),
        }
    )
    assert len(validate(schemas.COMMITMENTS_OF_TRADERS_SCHEMA, reports[:1], "reports")) == 1
    with pytest.raises(DataError, match="088691 on 2020-01-14: released on or before the day"):
        validate(schemas.COMMITMENTS_OF_TRADERS_SCHEMA, reports, "reports")


DATES = {"date", "report_date", "release_date", "month", "as_of"}
TEXTS = {"ticker", "contract", "model", "window", "metric"}
TEXTS |= {"objective", "solver", "status", "fallback", "reason"}


@pytest.mark.parametrize(
    "schema",
    [schema for schema in vars(schemas).values() if isinstance(schema, pa.DataFrameSchema)],
    ids=lambda schema: schema.name,
)
def test_an_empty_month_keeps_its_types_on_disk(schema: pa.DataFrameSchema) -> None:
    kinds = arrow_schema(schema, [*schema.columns, "feature"])
    assert kinds.names == [*schema.columns, "feature"]
    for field in kinds:
        if field.name in DATES:
            assert field.type == pyarrow.date32()
        elif field.name in TEXTS:
            assert field.type == pyarrow.string()
        elif field.name in ("positions", "last_closes"):
            assert field.type == pyarrow.map_(pyarrow.string(), pyarrow.float64())
        elif field.name == "waiting_orders":
            numbers = pyarrow.list_(pyarrow.float64())
            assert field.type == pyarrow.map_(pyarrow.string(), numbers)
        else:
            assert field.type == pyarrow.float64()


def test_positions_keep_their_type_on_disk() -> None:
    kinds = arrow_schema(schemas.PERFORMANCE_TIMESERIES_SCHEMA, ["date", "positions"])
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime(["2020-01-02", "2020-01-03"]),
            "positions": [{"A": 10.5, "cash": 89.5}, {}],
        }
    )
    table = pyarrow.Table.from_pandas(frame, schema=kinds, preserve_index=False)
    assert table.to_pandas(maps_as_pydicts="strict")["positions"].to_list() == [
        {"A": 10.5, "cash": 89.5},
        {},
    ]
