"""What the source has that market_data has not: new sessions, restated months."""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import key_of
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.sources.base import MarketDataSource

MARKET_DATA = dg.AssetKey("market_data")
SOURCE_VERSION = "source_version"
WATCHED_MONTHS = 13


def stored_versions(
    instance: dg.DagsterInstance, months: pd.DatetimeIndex
) -> dict[pd.Timestamp, str]:
    """The source's version of each month at the time market_data was last made from it."""
    storage = instance.event_log_storage
    ids = storage.get_latest_storage_id_by_partition(
        MARKET_DATA, dg.DagsterEventType.ASSET_MATERIALIZATION, {key_of(m) for m in months}
    )
    if not ids:
        return {}
    records = storage.fetch_materializations(
        dg.AssetRecordsFilter(MARKET_DATA, storage_ids=list(ids.values())), limit=len(ids)
    ).records
    found = {}
    for record in records:
        version = record.asset_materialization.metadata.get(SOURCE_VERSION)
        found[pd.Timestamp(record.partition_key)] = str(version.value) if version else ""
    return found


def changed_months(
    source: MarketDataSource,
    instance: dg.DagsterInstance,
    partitions: dg.MonthlyPartitionsDefinition,
    watched: int = WATCHED_MONTHS,
) -> Mapping[pd.Timestamp, str]:
    """Months of which the source holds something else than market_data does, and its version.

    Only the latest ``watched`` months are compared, so that a poll does not grow with the history;
    an older restatement is refreshed with ``hawk backfill --from``.

    :return: ascending; empty when nothing has changed
    """
    months = months_of(list(partitions.get_partition_keys())[-watched:])
    stored = stored_versions(instance, months)
    offered = source.versions(months)
    return {m: v for m, v in sorted(offered.items()) if stored.get(m) != v}


def build_source_sensor(
    partitions: dg.MonthlyPartitionsDefinition, seconds: int = 60
) -> dg.SensorDefinition:
    """Requests market_data from the first changed month to the open one, in one run, once.

    The run key holds the versions seen: the same news twice is one run, and a correction of a
    correction is another.
    """

    @dg.sensor(
        name="new_market_data",
        target=dg.AssetSelection.assets(MARKET_DATA),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={"source"},
        description="Polls the source for new sessions and restated months.",
    )
    def new_market_data(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        source = context.resources.source
        changed = changed_months(source, context.instance, partitions)
        latest = source.latest_session()
        if not changed:
            return dg.SkipReason(
                f"nothing new since {latest:%Y-%m-%d}" if latest else "no data yet"
            )
        keys = list(partitions.get_partition_keys())
        if not context.instance.get_latest_materialization_event(MARKET_DATA):
            return dg.SkipReason("the history is not there yet; run: hawk backfill")
        first = key_of(min(changed))
        versions = ",".join(f"{key_of(m)}={v}" for m, v in changed.items())
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"{versions}",
                    tags={
                        "dagster/asset_partition_range_start": first,
                        "dagster/asset_partition_range_end": keys[-1],
                    },
                )
            ],
            cursor=f"{latest:%Y-%m-%d} {versions}",
        )

    return new_market_data
