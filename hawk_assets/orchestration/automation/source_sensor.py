"""The sensor that polls the source for new sessions and restated months."""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from hawk_assets.core.sessions import key_of
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.run_keys import run_key
from hawk_assets.orchestration.automation.staleness import History, read_history, read_progress
from hawk_assets.orchestration.catalog import MARKET_DATA, RAW_DATA
from hawk_assets.orchestration.instance.event_log import SOURCE_VERSION
from hawk_assets.orchestration.instance.internals import fetch_latest_tags, range_tags
from hawk_assets.orchestration.instance.run_owners import find_command
from hawk_assets.orchestration.partitions import months_of
from hawk_assets.sources.base import MarketDataSource

WATCHED_MONTHS = 13


def watched_months(partitions: dg.MonthlyPartitionsDefinition) -> pd.DatetimeIndex:
    """The latest months: a poll takes no longer as the history grows.

    All months are compared once one of these has changed, as after every session.
    """
    return months_of(list(partitions.get_partition_keys())[-WATCHED_MONTHS:])


def changed_months(
    offered: Mapping[pd.Timestamp, str], months: pd.DatetimeIndex, instance: dg.DagsterInstance
) -> dict[pd.Timestamp, str]:
    """Months for which the source has other data than the raw tables.

    A month that the source no longer has counts, one that was never stored and that it does not
    have does not. Nor does a month of which one run stored one raw table and failed on the other:
    it would fail again.

    :param offered: the source's version of each month that it has
    :param months: those to compare, ascending
    :return: ascending; per month a text that identifies the change: the version offered, and the
        materialisations that it replaces. Empty when nothing has changed.
    """
    history = read_history(instance, RAW_DATA, [key_of(month) for month in months])
    stored = {key: _stored_versions(instance, key, its) for key, its in history.items()}
    changed = {}
    for at, month in enumerate(months):
        latest = {key: int(its.materialised[at]) for key, its in history.items()}
        version = offered.get(month, "")
        old = [key for key in RAW_DATA if stored[key].get(latest[key], "") != version]
        done_by = {history[key].materialised_by[at] for key in RAW_DATA if key not in old}
        given_up = [
            k for k in old if history[k].failed[at] and history[k].planned_by[at] in done_by
        ]
        if old != given_up:
            names = " and ".join(f"{key[-1]} {latest[key]}" for key in old)
            changed[month] = f"{version} for {names}"
    return changed


def _stored_versions(
    instance: dg.DagsterInstance, key: TableKey, history: History
) -> dict[int, str]:
    """The source's version behind the latest materialisation of each month, by storage id."""
    ids = {int(storage_id) for storage_id in history.materialised if storage_id}
    indexed = fetch_latest_tags(instance, [key], SOURCE_VERSION).values()
    versions = {at: version for at, version in indexed if at in ids}
    if not (others := sorted(ids - versions.keys())):
        return versions
    # Stored by a storage that does not index versions.
    records = instance.event_log_storage.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(key), storage_ids=others), limit=len(others)
    ).records
    for record in records:
        event = record.asset_materialization
        if event and (version := event.metadata.get(SOURCE_VERSION)):
            versions[record.storage_id] = str(version.value)
    return versions


def _worth_fetching(
    changed: Mapping[pd.Timestamp, str], watched: pd.DatetimeIndex, instance: dg.DagsterInstance
) -> dict[pd.Timestamp, str]:
    """Without older months that were never fetched: nobody has asked for them."""
    months = list(changed)
    known = read_history(instance, [MARKET_DATA], [key_of(month) for month in months])
    stored = known[MARKET_DATA].materialised > 0
    return {m: changed[m] for m, its in zip(months, stored, strict=True) if its or m in watched}


def _run_key(changed: Mapping[pd.Timestamp, str]) -> str:
    """Identifies a change."""
    text = ", ".join(f"{key_of(month)}: {its}" for month, its in changed.items())
    return run_key(f"{len(changed)} months since {key_of(min(changed))}", text)


def build_source_sensor(
    partitions: dg.MonthlyPartitionsDefinition, seconds: int
) -> dg.SensorDefinition:
    """The sensor that requests the raw data from the first changed month to the open one.

    It keeps no state: the versions last stored are on the materialisations. The run key identifies
    the change, so that a change seen twice is one run. A correction of a correction is another run,
    even one that restores the earlier data. While a run fetches raw data, the sensor does not poll:
    that run finds what arrives meanwhile, or the next poll does. A source that cannot be read fails
    the tick with its error, and the next tick tries again.
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
            return dg.SkipReason("there is no history yet; run: hawk backfill")
        if command := find_command(context.instance):
            return dg.SkipReason(f"{command.text}, is at work")
        watched = watched_months(partitions)
        every = months_of(list(partitions.get_partition_keys()))
        _, running = read_progress(context.instance, RAW_DATA, [key_of(m) for m in every])
        if any(flags.any() for flags in running.values()):
            return dg.SkipReason("a run is fetching raw data")
        offered, latest = source.poll(watched)
        changed = changed_months(offered, watched, context.instance)
        if not changed:
            return dg.SkipReason(
                f"nothing new since {latest:%Y-%m-%d}"
                if latest
                else f"the source has no bars since {watched[0]:%Y-%m-%d}"
            )
        # A split or dividend changes all earlier prices together with the latest.
        if len(every) > len(watched):
            offered = source.poll(every).versions
            changed = changed_months(offered, every, context.instance)
            changed = _worth_fetching(changed, watched, context.instance)
            if not changed:
                return dg.SkipReason("what was new has been fetched meanwhile")
        return dg.RunRequest(
            run_key=_run_key(changed),
            asset_selection=assets,
            tags=range_tags(key_of(min(changed)), key_of(every[-1])),
        )

    return new_market_data
