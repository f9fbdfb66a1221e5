"""The figures on each materialisation: numbers, so that the UI plots them over the months."""

import math
from collections.abc import Mapping

import dagster as dg
import pandas as pd
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
)

from hawk_assets.aggregation.attribution import NETTING
from hawk_assets.core.sessions import key_of, month_starts
from hawk_assets.orchestration.catalog import Table

Figures = dict[str, float | int | str]
LAST_SESSION = "last_session"


def describe(
    table: Table, frame: pd.DataFrame, months: pd.DatetimeIndex
) -> dict[pd.Timestamp, Figures]:
    """Figures per month; a figure that is not finite is left out.

    :param frame: the table, validated
    :param months: the months it was made for
    """
    month = month_starts(frame[table.date_column])
    by_month = frame.groupby(month)
    figures: dict[str, pd.Series] = {"rows": by_month.size()}
    if "date" in frame:
        figures["sessions"] = by_month["date"].nunique()
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
                described[m][name] = value
    return described


def attach(
    context: dg.AssetExecutionContext, key: dg.AssetKey, figures: Mapping[pd.Timestamp, Figures]
) -> None:
    """Put figures on the materialisations of a table, month by month.

    ``context.add_asset_metadata`` does the same for one month, and copies and checks all that is
    there at each call: quadratic in months times models, a third of a backfill's time.
    """
    step = context.get_step_execution_context()
    known = dict(step._metadata_accumulator.per_output_metadata)
    for month, values in figures.items():
        handle = AssetMetadataHandle(asset_key=key, partition_key=key_of(month))
        known[handle] = {**known.get(handle, {}), **values}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)


def _exposure(frame: pd.DataFrame) -> dict[str, pd.Series]:
    wide = frame.pivot(index="date", columns="ticker", values="weight").fillna(0.0)
    month = month_starts(wide.index)
    # From one session of a month to its next, so that a month made alone has the same figure.
    change = wide.groupby(month).diff().abs().sum(axis=1, min_count=1)
    return {
        "gross_exposure": wide.abs().sum(axis=1).groupby(month).mean(),
        "net_exposure": wide.sum(axis=1).groupby(month).mean(),
        "turnover_per_session": change.groupby(month).mean(),
    }


def _returns(frame: pd.DataFrame, month: pd.DatetimeIndex) -> dict[str, pd.Series]:
    grouped = frame.groupby(month)
    return {
        "portfolio_value": grouped["portfolio_value"].last(),
        "return": (1 + frame["daily_return"]).groupby(month).prod() - 1,
        "drawdown": grouped["drawdown"].min(),
    }
