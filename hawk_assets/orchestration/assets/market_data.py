"""market_data, commitments_of_traders: the source's rows as they are, validated."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import month_starts, shift
from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.instance.event_log import SOURCE_VERSION
from hawk_assets.orchestration.instance.internals import Figures
from hawk_assets.orchestration.metadata import attach


def build(tables: Sequence[Table], partitions: dg.PartitionsDefinition[Any]) -> dg.AssetsDefinition:
    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        market_data, commitments = stage.tables

        # Read before any row: data that changes in between is then a change to the next poll. Kept
        # with each table, so that a table that could not be fetched is a change as well.
        @cache
        def versions() -> Mapping[pd.Timestamp, str]:
            found: dict[pd.Timestamp, str] = stage.context.resources.source.versions(stage.months)
            return {month: found.get(month, "") for month in stage.months}

        if market_data in stage.selected:
            yield market_data, lambda: _fetch_market_data(stage, market_data, versions())
        if commitments in stage.selected:
            yield commitments, lambda: _fetch_commitments(stage, commitments, versions())

    return build_stage("market_data", tables, partitions, body, ["source"])


def _fetch_commitments(
    stage: StageContext, table: Table, versions: Mapping[pd.Timestamp, str]
) -> pd.DataFrame:
    source = stage.context.resources.source
    frame: pd.DataFrame = source.fetch_commitments_of_traders(*_span(stage))
    figures: dict[pd.Timestamp, Figures] = {m: {SOURCE_VERSION: v} for m, v in versions.items()}
    attach(stage.context, dg.AssetKey(table.key), figures)
    return frame


def _span(stage: StageContext) -> tuple[pd.Timestamp, pd.Timestamp]:
    return stage.months[0], shift(stage.months[-1], 1)


def _fetch_market_data(
    stage: StageContext, table: Table, versions: Mapping[pd.Timestamp, str]
) -> pd.DataFrame:
    source = stage.context.resources.source
    fetched: pd.DataFrame = source.fetch_market_data(*_span(stage))
    stored = stage.storage.read(table.key, stage.months, missing_ok=True)
    restated = restated_rows(stored, fetched)
    figures: dict[pd.Timestamp, Figures] = {}
    for month in stage.months:
        figures[month] = {SOURCE_VERSION: versions[month]}
        rows = restated[month_starts(restated["date"]) == month]
        if len(rows):
            first = rows.iloc[0]
            figures[month] |= {
                "restated_rows": len(rows),
                "first_restated": f"{first['ticker']} on {first['date']:%Y-%m-%d}",
            }
    attach(stage.context, dg.AssetKey(table.key), figures)
    stage.context.log.info(f"{len(fetched)} rows from {source.description}")
    return fetched


def restated_rows(stored: pd.DataFrame, fetched: pd.DataFrame) -> pd.DataFrame:
    """Stored rows that the source now has otherwise or no longer; a new row is no restatement.

    :return: date and ticker, in order
    """
    if stored.empty:
        return fetched.iloc[:0][["date", "ticker"]]
    key = ["date", "ticker"]
    joined = stored.merge(fetched, on=key, how="left", suffixes=("", "_new"), indicator=True)
    same = joined["_merge"] == "both"
    for column in stored.columns.difference(key):
        old, new = joined[column], joined[f"{column}_new"]
        same &= (old == new) | (old.isna() & new.isna())
    return joined.loc[~same, key].reset_index(drop=True)
