"""The metadata of each materialisation: numbers that the UI plots over the months."""

import math
from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.attribution import NETTING
from hawk_assets.core.sessions import key_of, month_starts
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.instance.internals import Figures, attach_metadata

LAST_SESSION = "last_session"


def describe(
    table: Table, frame: pd.DataFrame, months: pd.DatetimeIndex
) -> dict[pd.Timestamp, Figures]:
    """Figures per month; a figure that is not finite is left out.

    :param frame: the rows of the table, validated
    :param months: the months they were computed for
    """
    month = month_starts(frame[table.date_column])
    by_month = frame.groupby(month)
    figures: dict[str, pd.Series[Any]] = {"rows": by_month.size()}
    if "date" in frame:
        priced = frame[frame["close"].notna()] if "close" in frame else frame
        figures["sessions"] = priced.groupby(month_starts(priced["date"]))["date"].nunique()
    if "ticker" in frame:
        figures["tickers"] = by_month["ticker"].nunique()
    described: dict[pd.Timestamp, Figures] = {m: dict.fromkeys(figures, 0) for m in months}
    if table.schema.name in ("insights", "combined_insights"):
        figures |= _exposure(frame)
    if table.schema.name == "combined_insights":
        figures[LAST_SESSION] = frame.groupby(month)["date"].max().dt.strftime("%Y-%m-%d")
    if table.schema.name == "performance_timeseries":
        figures |= _returns(frame, month)
    if table.schema.name == "performance_metrics":
        wanted = frame[frame["metric"].isin(["sharpe_ratio", "max_drawdown", "turnover"])]
        for (window, metric), part in wanted.groupby(["window", "metric"]):
            figures[f"{metric}_{window}"] = part.set_index(month_starts(part["as_of"]))["value"]
    if table.schema.name == "weights":
        figures["models_with_weight"] = (frame["weight"] != 0).groupby(frame["month"]).sum()
        figures["largest_weight"] = frame["weight"].abs().groupby(frame["month"]).max()
        for text in ("objective", "solver", "status", "fallback"):
            figures[text] = frame.groupby("month")[text].first()
    if table.schema.name == "attribution":
        figures["gross_return"] = frame.groupby("month")["gross_return"].sum()
        netted = frame[frame["model"] == NETTING]
        figures["netting"] = netted.groupby("month")["gross_weight"].sum()
    for name, values in figures.items():
        for m, value in values.items():
            if m in described and (isinstance(value, str) or math.isfinite(value)):
                described[cast(pd.Timestamp, m)][name] = value
    return described


def attach(
    context: dg.AssetExecutionContext, key: dg.AssetKey, figures: Mapping[pd.Timestamp, Figures]
) -> None:
    """Put figures on the materialisations of a table, month by month."""
    attach_metadata(context, key, {key_of(month): values for month, values in figures.items()})


def _exposure(frame: pd.DataFrame) -> dict[str, "pd.Series[Any]"]:
    wide = frame.pivot(index="date", columns="ticker", values="weight").fillna(0.0)
    month = month_starts(pd.DatetimeIndex(wide.index))
    # Changes within the month only: a month computed alone then has the same figure.
    change = wide.groupby(month).diff().abs().sum(axis=1, min_count=1)
    return {
        "gross_exposure": wide.abs().sum(axis=1).groupby(month).mean(),
        "net_exposure": wide.sum(axis=1).groupby(month).mean(),
        "turnover_per_session": change.groupby(month).mean(),
    }


def _returns(frame: pd.DataFrame, month: pd.DatetimeIndex) -> dict[str, "pd.Series[Any]"]:
    grouped = frame.groupby(month)
    return {
        "portfolio_value": grouped["portfolio_value"].last(),
        "return": (1 + frame["daily_return"]).groupby(month).prod() - 1,
        "drawdown": grouped["drawdown"].min(),
    }
