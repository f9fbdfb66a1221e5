"""What the source has that market_data has not: new sessions, restated months."""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import key_of
from hawk_assets.orchestration.automation.staleness import History, read_history, read_progress
from hawk_assets.orchestration.catalog import MARKET_DATA, RAW_DATA, TableKey
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.sources.base import MarketDataSource

SOURCE_VERSION = "source_version"
WATCHED_MONTHS = 13


def watched_months(partitions: dg.MonthlyPartitionsDefinition) -> pd.DatetimeIndex:
    """The latest months, so that a poll does not grow with the history.

    An older restatement is refreshed with ``hawk backfill --from``.
    """
    return months_of(list(partitions.get_partition_keys())[-WATCHED_MONTHS:])


def changed_months(
    offered: Mapping[pd.Timestamp, str], instance: dg.DagsterInstance
) -> Mapping[pd.Timestamp, str]:
    """Months of which the source holds something else than the raw tables do.

    A month of which the source holds nothing any more is no news: what is stored stays. Nor is one
    of which a run has stored one table and failed on the other: it would fail as it did.

    :param offered: the source's version of each month that it holds
    :return: ascending; for each month what tells this news from all other: the version offered and
        the materialisations it is to replace. Empty when nothing has changed.
    """
    months = sorted(offered)
    history = read_history(instance, RAW_DATA, [key_of(month) for month in months])
    stored = {key: _versions(instance, key, its) for key, its in history.items()}
    changed = {}
    for at, month in enumerate(months):
        made = {key: int(its.made[at]) for key, its in history.items()}
        old = [key for key in RAW_DATA if stored[key].get(made[key]) != offered[month]]
        done_by = {history[key].made_by[at] for key in RAW_DATA if key not in old}
        given_up = [
            k for k in old if history[k].failed[at] and history[k].planned_by[at] in done_by
        ]
        if old != given_up:
            names = " and ".join(f"{key[-1]} {made[key]}" for key in old)
            changed[month] = f"{offered[month]} for {names}"
    return changed


def _versions(instance: dg.DagsterInstance, key: TableKey, history: History) -> dict[int, str]:
    """The source's version of which each month was last made, by storage id."""
    ids = [int(made) for made in history.made if made]
    if not ids:
        return {}
    records = instance.event_log_storage.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(key), storage_ids=ids), limit=len(ids)
    ).records
    found = {r.storage_id: r.asset_materialization for r in records}
    versions = {at: made.metadata.get(SOURCE_VERSION) for at, made in found.items() if made}
    return {at: str(version.value) for at, version in versions.items() if version}


def build_source_sensor(
    partitions: dg.MonthlyPartitionsDefinition, seconds: int
) -> dg.SensorDefinition:
    """Requests the raw data from the first changed month to the open one, in one run, once.

    It has no memory of its own: what was seen before is on the materialisations. The run key is
    the news, so that the same news seen twice is one run; a correction of a correction is another,
    even one that brings back what was there before. While raw data are being fetched it does not
    look: what came in meanwhile is in what they find, or is news afterwards. A source that cannot
    be read fails the tick, with its error, and the next tick asks again.
    """

    assets = [dg.AssetKey(key) for key in RAW_DATA]

    @dg.sensor(
        name="new_market_data",
        target=dg.AssetSelection.assets(*assets),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls the source for new sessions and restated months.",
    )
    def new_market_data(
        context: dg.SensorEvaluationContext, source: dg.ResourceParam[MarketDataSource]
    ) -> dg.RunRequest | dg.SkipReason:
        if not context.instance.get_latest_materialization_event(dg.AssetKey(MARKET_DATA)):
            return dg.SkipReason("the history is not there yet; run: hawk backfill")
        months = watched_months(partitions)
        _, running = read_progress(context.instance, RAW_DATA, [key_of(m) for m in months])
        if any(flags.any() for flags in running.values()):
            return dg.SkipReason("a run is fetching raw data")
        offered, latest = source.poll(months)
        changed = changed_months(offered, context.instance)
        if not changed:
            return dg.SkipReason(
                f"nothing new since {latest:%Y-%m-%d}"
                if latest
                else f"the source holds no bars since {months[0]:%Y-%m-%d}"
            )
        return dg.RunRequest(
            run_key=", ".join(f"{key_of(month)}: {news}" for month, news in changed.items()),
            asset_selection=assets,
            tags={
                "dagster/asset_partition_range_start": key_of(min(changed)),
                "dagster/asset_partition_range_end": list(partitions.get_partition_keys())[-1],
            },
        )

    return new_market_data
