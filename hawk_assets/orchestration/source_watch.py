"""What the source has that market_data has not: new sessions, restated months."""

from collections.abc import Mapping, Sequence

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import key_of
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.orchestration.staleness import read_progress
from hawk_assets.sources.base import MarketDataSource

MARKET_DATA = dg.AssetKey("market_data")
RAW_DATA = (MARKET_DATA, dg.AssetKey("commitments_of_traders"))
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

    A month of which the source holds nothing any more is no news: what is stored stays.

    :param offered: the source's version of each month that it holds
    :return: ascending; for each month what tells this news from all other: the version offered and
        the materialisations it is to replace. Empty when nothing has changed.
    """
    stored = {key: _stored(instance, key, list(offered)) for key in RAW_DATA}
    changed = {}
    for month, version in sorted(offered.items()):
        held = {key: months.get(month, ("", 0)) for key, months in stored.items()}
        # A table that has the version by now is left out, so that where the other one fails the
        # same way each time, it is asked for once more and no further.
        old = [f"{key.path[-1]} {made}" for key, (its, made) in held.items() if its != version]
        if old:
            changed[month] = f"{version} for {' and '.join(old)}"
    return changed


def _stored(
    instance: dg.DagsterInstance, key: dg.AssetKey, months: Sequence[pd.Timestamp]
) -> dict[pd.Timestamp, tuple[str, int]]:
    """The source's version of each month when a table was last made, and its storage id."""
    storage = instance.event_log_storage
    ids = storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, {key_of(m) for m in months}
    )
    if not ids:
        return {}
    found = {}
    for record in storage.fetch_materializations(
        dg.AssetRecordsFilter(key, storage_ids=list(ids.values())), limit=len(ids)
    ).records:
        made = record.asset_materialization
        version = made.metadata.get(SOURCE_VERSION) if made else None
        text = str(version.value) if version else ""
        found[pd.Timestamp(str(record.partition_key))] = text, record.storage_id
    return found


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

    @dg.sensor(
        name="new_market_data",
        target=dg.AssetSelection.assets(*RAW_DATA),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls the source for new sessions and restated months.",
    )
    def new_market_data(
        context: dg.SensorEvaluationContext, source: dg.ResourceParam[MarketDataSource]
    ) -> dg.RunRequest | dg.SkipReason:
        if not context.instance.get_latest_materialization_event(MARKET_DATA):
            return dg.SkipReason("the history is not there yet; run: hawk backfill")
        months = watched_months(partitions)
        raw = [tuple(key.path) for key in RAW_DATA]
        _, running = read_progress(context.instance, raw, [key_of(month) for month in months])
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
            tags={
                "dagster/asset_partition_range_start": key_of(min(changed)),
                "dagster/asset_partition_range_end": list(partitions.get_partition_keys())[-1],
            },
        )

    return new_market_data
