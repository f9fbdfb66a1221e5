"""market_data, commitments_of_traders: the source's rows as they are, validated.

The tables follow the source. What it no longer has is dropped, with a warning; except where it ends
before or starts later than what is stored. Then its file may be incomplete, and the run fails
unless somebody has accepted that: ``hawk backfill`` does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.core.errors import DamagedFileError, DataError
from hawk_assets.core.sessions import key_of, month_starts, shift
from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import MARKET_DATA, Table
from hawk_assets.orchestration.instance.event_log import SOURCE_VERSION
from hawk_assets.orchestration.instance.internals import Figures
from hawk_assets.orchestration.metadata import attach
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.source_record import SourceRecord, check_source, claim_storage
from hawk_assets.sources.differences import (
    Differences,
    describe_differences,
    find_differences,
)
from hawk_assets.sources.ends import at_an_end, explain_shorter

ACCEPTS_SHORTER = "hawk/accepts_shorter_source"
"""The tag of a run that drops rows where the source ends earlier or starts later."""
SOURCE_CHANGES = "source_changes"
"""On the last month of a run: what the source has changed in what was stored, in lines."""

_Fetch = Callable[[pd.Timestamp, pd.Timestamp], pd.DataFrame]


def build(tables: Sequence[Table], partitions: dg.PartitionsDefinition[Any]) -> dg.AssetsDefinition:
    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        source = stage.context.resources.source
        market_data, commitments = stage.tables
        check_source(stage.storage, stage.context.resources.source)

        # Read before any row: data that changes in between is then a change to the next poll. Kept
        # with each table, so that a table that could not be fetched is a change as well.
        @cache
        def versions() -> Mapping[pd.Timestamp, str]:
            found: dict[pd.Timestamp, str] = source.versions(stage.months)
            return {month: found.get(month, "") for month in stage.months}

        if market_data in stage.selected:
            fetch_bars = source.fetch_market_data
            yield market_data, lambda: _fetch(stage, market_data, versions(), fetch_bars)
        if commitments in stage.selected:
            fetch_reports = source.fetch_commitments_of_traders
            yield commitments, lambda: _fetch(stage, commitments, versions(), fetch_reports)

    return build_stage("market_data", tables, partitions, body, ["source"])


def _fetch(
    stage: StageContext, table: Table, versions: Mapping[pd.Timestamp, str], fetch: _Fetch
) -> pd.DataFrame:
    fetched = fetch(stage.months[0], shift(stage.months[-1], 1))
    stored = _read_intact(stage, table)
    record = SourceRecord.of(stage.context.resources.source, stage.history[0])
    prices = table.key == MARKET_DATA
    claim_storage(stage.storage, record, stored if prices else None, fetched)
    found = find_differences(_as_bars(table, stored), _as_bars(table, fetched))
    if len(found.gone) and ACCEPTS_SHORTER not in stage.context.run.tags:
        _refuse_shorter(stage, table, found, fetched, fetch)
    figures: dict[pd.Timestamp, Figures] = {m: {SOURCE_VERSION: v} for m, v in versions.items()}
    for name, rows in (("restated_rows", found.restated), ("removed_rows", found.gone)):
        if len(rows):
            for month, count in rows.groupby(month_starts(rows["date"])).size().items():
                figures[pd.Timestamp(str(month))][name] = int(count)
    if lines := describe_differences(found, table.name):
        figures[stage.months[-1]][SOURCE_CHANGES] = "\n".join(lines)
    attach(stage.context, dg.AssetKey(table.key), figures)
    stage.context.log.info(
        f"{table.name}: {len(fetched)} rows from {stage.context.resources.source.description}"
    )
    for line in lines:
        stage.context.log.warning(line)
    return fetched


def _read_intact(stage: StageContext, table: Table) -> pd.DataFrame:
    """What is stored for the months of this run; damaged files, which it replaces, are left out."""
    try:
        return stage.storage.read(table.key, stage.months, missing_ok=True)
    except DamagedFileError:
        found = []
        for at in range(len(stage.months)):
            with suppress(DamagedFileError):
                month = stage.months[at : at + 1]
                found.append(stage.storage.read(table.key, month, missing_ok=True))
        return pd.concat([rows for rows in found if len(rows)] or [pd.DataFrame()])


def _as_bars(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by ``date`` and ``ticker``: of reports, the release and the contract."""
    if table.date_column == "date" or "contract" not in rows:
        return rows
    # A contract may have several reports on one day of release.
    contract = rows["contract"] + " of " + rows["report_date"].dt.strftime("%Y-%m-%d")
    named = rows.rename(columns={table.date_column: "date"}).assign(ticker=contract)
    return named.drop(columns=["contract", "report_date"])


def _refuse_shorter(
    stage: StageContext, table: Table, found: Differences, fetched: pd.DataFrame, fetch: _Fetch
) -> None:
    """:raises DataError: the source ends before, or starts later than, what is stored"""
    tickers = at_an_end(_by_name(table, found.gone), _by_name(table, _as_bars(table, fetched)))
    if not tickers:
        return
    partitions = stage.context.assets_def.partitions_def
    assert partitions is not None
    months = months_of(list(partitions.get_partition_keys()))
    stored = stage.storage.read(table.key, months, missing_ok=True)
    offered = fetch(months[0], shift(months[-1], 1))
    ours, theirs = (_by_name(table, _as_bars(table, rows)) for rows in (stored, offered))
    ours = ours.assign(ticker=ours["ticker"].replace(found.renamed))
    if shorter := explain_shorter(ours, theirs, tickers, table.name):
        what, since = shorter
        raise DataError(
            f"{what}: is the source complete? To follow it and drop the rows: hawk backfill "
            f"--from {key_of(since)}"
        )


def _by_name(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """Date and ticker; of reports, date and contract."""
    keys = (
        rows[["date", "ticker"]]
        if len(rows)
        else pd.DataFrame(
            {"date": pd.Series(dtype="datetime64[ns]"), "ticker": pd.Series(dtype=object)}
        )
    )
    if table.date_column == "date":
        return keys
    return keys.assign(ticker=keys["ticker"].str.replace(r" of \d{4}-\d\d-\d\d$", "", regex=True))
