"""market_data, commitments_of_traders: the source's rows as they are, held to the schema."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import month_starts, shift
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.automation.source_sensor import SOURCE_VERSION
from hawk_assets.orchestration.catalog import Table
from hawk_assets.orchestration.metadata import Figures, attach


def build(tables: Sequence[Table], partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    def body(run: Stage) -> Iterator[tuple[Table, Make]]:
        market_data, commitments = run.tables

        # Asked for before any row: what changes in between is then news to the next poll. Noted
        # with each table, so that a table that could not be fetched is news as well.
        @cache
        def versions() -> Mapping[pd.Timestamp, str]:
            found: dict[pd.Timestamp, str] = run.context.resources.source.versions(run.months)
            return {month: found.get(month, "") for month in run.months}

        if market_data in run.selected:
            yield market_data, lambda: _fetch_market_data(run, market_data, versions())
        if commitments in run.selected:
            yield commitments, lambda: _fetch_commitments(run, commitments, versions())

    return build_stage("market_data", tables, partitions, body, ["source"])


def _fetch_commitments(
    run: Stage, table: Table, versions: Mapping[pd.Timestamp, str]
) -> pd.DataFrame:
    frame: pd.DataFrame = run.context.resources.source.fetch_commitments_of_traders(*_span(run))
    notes: dict[pd.Timestamp, Figures] = {m: {SOURCE_VERSION: v} for m, v in versions.items()}
    attach(run.context, dg.AssetKey(table.key), notes)
    return frame


def _span(run: Stage) -> tuple[pd.Timestamp, pd.Timestamp]:
    return run.months[0], shift(run.months[-1], 1)


def _fetch_market_data(
    run: Stage, table: Table, versions: Mapping[pd.Timestamp, str]
) -> pd.DataFrame:
    source = run.context.resources.source
    fetched: pd.DataFrame = source.fetch_market_data(*_span(run))
    stored = run.storage.read(table.key, run.months, missing_ok=True)
    restated = restated_rows(stored, fetched)
    notes: dict[pd.Timestamp, Figures] = {}
    for month in run.months:
        figures: Figures = {SOURCE_VERSION: versions[month]}
        if count := int((month_starts(restated["date"]) == month).sum()):
            first = restated[month_starts(restated["date"]) == month].iloc[0]
            figures |= {
                "restated_rows": count,
                "first_restated": f"{first['ticker']} on {first['date']:%Y-%m-%d}",
            }
        notes[month] = figures
    attach(run.context, dg.AssetKey(table.key), notes)
    run.context.log.info(f"{len(fetched)} rows from {source.description}")
    return fetched


def restated_rows(stored: pd.DataFrame, fetched: pd.DataFrame) -> pd.DataFrame:
    """Rows that were stored and now differ or are gone; new rows are no restatement.

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
