"""The tables between the stages: columns, keys, units and what may be missing.

``date`` is a tz-naive midnight (``datetime64[ns]``; ``date32`` on disk). NaN is allowed in nullable
columns only. It means a hole, which is never filled.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
from pandas.api.types import infer_dtype

from hawk_assets.core.errors import DataError

_DATE = pa.Column(
    "datetime64[ns]", pa.Check(lambda d: d == d.dt.normalize(), error="must be a midnight")
)


def _is_text(column: "pd.Series[str]") -> "bool | pd.Series[bool]":
    # One check of the whole column: pandera's own goes value by value, and would be the slowest.
    if infer_dtype(column) in ("string", "empty"):
        return True
    return column.map(lambda value: isinstance(value, str))


_TEXT = pa.Column(object, pa.Check(_is_text, error="must be text"))
_NUMBER = pa.Column(float)
_PRICE = pa.Column(float, pa.Check.gt(0, error="a price must be positive"), nullable=True)
_COUNT = pa.Column(float, pa.Check.ge(0, error="must not be negative"), nullable=True)
_FINITE = pa.Check(lambda column: np.isfinite(column) | column.isna(), error="must be finite")

POSITIONS = pyarrow.map_(pyarrow.string(), pyarrow.float64())
"""Ticker (or ``cash``) to a number, non-zero entries only."""

WAITING_ORDERS = pyarrow.map_(pyarrow.string(), pyarrow.list_(pyarrow.float64()))
"""Ticker to the targets that its next closes execute, one for each close; NaN for none."""

MARKET_DATA_SCHEMA = pa.DataFrameSchema(
    {
        "date": _DATE,
        "ticker": _TEXT,
        "open": _PRICE,
        "high": _PRICE,
        "low": _PRICE,
        "close": _PRICE,
        "volume": _COUNT,
    },
    checks=[
        pa.Check(lambda t: ~(t["high"] < t["low"]), error="high is below low"),
        pa.Check(
            lambda t: np.isfinite(t[["open", "high", "low", "close", "volume"]].fillna(0.0)).all(
                axis=1
            ),
            error="a price or volume is infinite",
        ),
    ],
    unique=["date", "ticker"],
    strict=True,
    name="market_data",
)
"""One bar per session and ticker; prices adjusted, in the currency of the book; volume in shares.
NaN is a hole: the bar is dropped for every model that reads the column."""

COMMITMENTS_OF_TRADERS_SCHEMA = pa.DataFrameSchema(
    {
        "report_date": _DATE,
        "release_date": _DATE,
        "contract": _TEXT,
        "commercial_long": _COUNT,
        "commercial_short": _COUNT,
        "noncommercial_long": _COUNT,
        "noncommercial_short": _COUNT,
        "open_interest": _COUNT,
    },
    checks=[
        pa.Check(
            lambda t: ~(t["release_date"] <= t["report_date"]),
            error="released on or before the day it reports",
        )
    ],
    unique=["report_date", "contract"],
    strict=True,
    name="commitments_of_traders",
)
"""One weekly report per contract, in contracts; ``release_date`` is the day it became public."""

MODEL_STATES_SCHEMA = pa.DataFrameSchema(
    {
        "date": _DATE,
        "ticker": _TEXT,
        "close": pa.Column(float, nullable=True),
        "vol_63": _COUNT,
    },
    unique=["date", "ticker"],
    strict=False,
    name="model_states",
)
"""One row per row of market data, with the model's features beside the columns named here;
``vol_63`` is a fraction per day. NaN is not ready, or a hole."""

STATE_COLUMNS = tuple(MODEL_STATES_SCHEMA.columns)
"""The first columns of every model's states; no feature may have one of these names."""

INSIGHTS_SCHEMA = pa.DataFrameSchema(
    {
        "date": _DATE,
        "ticker": _TEXT,
        "model": _TEXT,
        "signal": pa.Column(float, pa.Check.in_range(-1, 1, error="outside [-1, 1]")),
        "weight": pa.Column(float, _FINITE),
    },
    unique=["date", "ticker"],
    strict=True,
    name="insights",
)
"""A model's opinion and the fraction of its portfolio, at the close of ``date``."""

SIMULATION_COLUMNS = (
    "portfolio_value",
    "daily_return",
    "daily_log_return",
    "cumulative_return",
    "cumulative_log_return",
    "drawdown",
    "volume_traded",
    "daily_slippage_cost",
    "daily_commission_cost",
)

PERFORMANCE_TIMESERIES_SCHEMA = pa.DataFrameSchema(
    {
        "date": _DATE,
        **dict.fromkeys(SIMULATION_COLUMNS, pa.Column(float, _FINITE)),
        "positions": pa.Column(),
        "last_closes": pa.Column(),
        "waiting_orders": pa.Column(),
    },
    unique=["date"],
    strict=True,
    name="performance_timeseries",
)
"""One row per session: the simulator's own columns, and the state from which the next month
restarts exactly. ``positions`` is what is held at the close, in dollars. The other two are for
tickers that have stopped trading, and mostly empty: ``last_closes`` has the last close of what is
held and has had none since the month began, ``waiting_orders`` the targets decided before the month
that still wait for a close."""

_MAPS = {"positions": POSITIONS, "last_closes": POSITIONS, "waiting_orders": WAITING_ORDERS}

PERFORMANCE_METRICS_SCHEMA = pa.DataFrameSchema(
    {"model": _TEXT, "as_of": _DATE, "window": _TEXT, "metric": _TEXT, "value": _NUMBER},
    unique=["as_of", "window", "metric"],
    strict=True,
    name="performance_metrics",
)
"""Figures of a window that ends on the month's last session; an undefined metric has no row."""

WEIGHTS_SCHEMA = pa.DataFrameSchema(
    {
        "month": _DATE,
        "model": _TEXT,
        "weight": pa.Column(float, _FINITE),
        "equal_weight": pa.Column(float, _FINITE),
        "risk_parity": pa.Column(float, _FINITE),
        "objective": _TEXT,
        "solver": _TEXT,
        "status": _TEXT,
        "fallback": _TEXT,
        "reason": _TEXT,
    },
    unique=["month", "model"],
    strict=True,
    name="weights",
)
"""The share of each model in the book for a whole month; ``reason`` says why a model has none.
``fallback`` is the objective, or what replaces it in a month in which it has no solution.
``equal_weight`` and ``risk_parity`` are the shares that these objectives would give."""

COMBINED_INSIGHTS_SCHEMA = pa.DataFrameSchema(
    {"date": _DATE, "ticker": _TEXT, "weight": pa.Column(float, _FINITE)},
    unique=["date", "ticker"],
    strict=True,
    name="combined_insights",
)
"""The book: the sum over models of model weight times insight weight, at the close of ``date``."""

ATTRIBUTION_SCHEMA = pa.DataFrameSchema(
    {
        "month": _DATE,
        "model": _TEXT,
        "ticker": _TEXT,
        "weight": pa.Column(float, _FINITE),
        "gross_weight": pa.Column(float, _FINITE),
        "gross_return": pa.Column(float, _FINITE),
    },
    unique=["month", "model", "ticker"],
    strict=True,
    name="attribution",
)
"""What each model contributes to the book's weight of each ticker, and what that earned before
costs. A row ``(netting)`` per ticker is for opposite opinions. Each column sums to the book's."""


RENAMED_COLUMNS: Mapping[str, Mapping[str, str]] = {"weights": {"rung": "fallback"}}
"""By table, the old name of a column and its present name; files with either name are read."""


def validate(schema: pa.DataFrameSchema, frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Check a table against its schema.

    :param schema: one of this module's schemas
    :param frame: the table
    :param origin: the file or asset that it comes from, for the message
    :return: the frame with the schema's columns first and a new index
    :raises DataError: names the origin, column, ticker and date of the first bad row, and the count
    """
    needed = required_columns(schema)
    if missing := [c for c in needed if c not in frame.columns]:
        raise DataError(
            f"{origin}: column {', '.join(missing)} is missing; "
            f"{schema.name} needs {', '.join(needed)}, found {', '.join(map(str, frame.columns))}"
        )
    frame = frame.reset_index(drop=True)
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        raise DataError(f"{origin}: {_explain(errors, frame)}") from None
    names = [c for c in schema.columns if c in frame.columns]
    return frame[names + [c for c in frame.columns if c not in names]]


def required_columns(schema: pa.DataFrameSchema) -> list[str]:
    """The columns that every table of a schema has."""
    return [name for name, column in schema.columns.items() if column.required]


def _explain(errors: pa.errors.SchemaErrors, frame: pd.DataFrame) -> str:
    cases = errors.failure_cases
    typed = cases["check"].astype(str).str.startswith("dtype")
    first = cases[typed].iloc[0] if typed.any() else cases.iloc[0]
    rule, column = str(first["check"]), str(first["column"])
    if typed.any():
        verb = "has type" if pd.isna(first["index"]) else "holds"
        return f"column {column} {verb} {first['failure_case']}, needs {rule[7:-2]}"
    if rule == "column_in_schema":
        return f"unexpected column {first['failure_case']!r}"
    if rule == "multiple_fields_uniqueness":
        rule = "the row appears more than once; keep one"
    elif rule == "not_nullable":
        rule = "is missing"
    if pd.isna(first["index"]):
        return f"column {column} {rule}"
    row = frame.loc[first["index"]]
    label = next((str(row[c]) for c in ("ticker", "contract", "model") if c in frame), "row")
    date = next((c for c in ("date", "report_date", "month", "as_of") if c in frame), None)
    at = f"{label} on {row[date]:%Y-%m-%d}" if date and pd.notna(row[date]) else label
    found = f"{column} {row[column]}: " if first["schema_context"] == "Column" else ""
    rows = cases["index"].nunique()
    return f"{at}: {found}{rule} ({rows} row{'s' if rows > 1 else ''} in all). Correct the source."


def arrow_schema(schema: pa.DataFrameSchema, columns: Iterable[str]) -> pyarrow.Schema:
    """The Parquet types of a table: also those of an empty month, which pandas cannot tell.

    :param schema: one of this module's schemas
    :param columns: the frame's columns in order; those the schema does not name are features
    """
    kinds = {
        "datetime64[ns]": pyarrow.date32(),
        "object": pyarrow.string(),
        "float64": pyarrow.float64(),
    }
    fields = []
    for name in columns:
        column = schema.columns.get(name)
        if column is None:
            kind = pyarrow.float64()
        else:
            kind = _MAPS[name] if column.dtype is None else kinds[str(column.dtype)]
        fields.append(pyarrow.field(name, kind))
    return pyarrow.schema(fields)
