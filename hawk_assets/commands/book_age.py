"""How old the latest book is, and why there is no newer one."""

import dagster as dg
import pandas as pd

from hawk_assets.commands.status import describe_failure
from hawk_assets.core.sessions import market_sessions
from hawk_assets.core.types import TableKey
from hawk_assets.orchestration.automation.staleness import read_progress
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS, MARKET_DATA
from hawk_assets.orchestration.partitions import months_of

_USUAL_DAYS = 4
"""A book of Friday's close is the latest one until the close of Monday, or of Tuesday."""


def explain_age(pipeline: Pipeline, instance: dg.DagsterInstance, session: pd.Timestamp) -> str:
    """How far the book is behind, and which table has failed; empty for the book as it should be.

    :param session: of the book
    """
    age = (pd.Timestamp.now("UTC").tz_localize(None).normalize() - session).days
    parts = []
    if pipeline.settings.end is None and age > _USUAL_DAYS:
        parts.append(f"{age} days old")
    since = session.to_period("M").to_timestamp()
    history = months_of(pipeline.months)
    prices = pipeline.storage.read(
        MARKET_DATA, history[history >= since], ["date", "close"], missing_ok=True
    )
    sessions = market_sessions(prices)
    if newer := int((sessions > session).sum()):
        parts.append(
            f"{newer} session{'s' * (newer > 1)} behind the stored prices, which end on "
            f"{sessions[-1]:%Y-%m-%d}"
        )
    if why := _failure(pipeline, instance):
        parts.append(why)
    elif parts:
        parts.append("see: hawk status")
    return "; ".join(parts)


def _failure(pipeline: Pipeline, instance: dg.DagsterInstance) -> str:
    """The first table on the way to the book whose latest attempt failed, and why."""
    needed: set[TableKey] = {COMBINED_INSIGHTS}
    for key, table in reversed(pipeline.catalog.items()):
        if key in needed:
            needed |= {upstream.key for upstream in table.upstreams}
    history, running = read_progress(instance, pipeline.catalog, pipeline.months)
    failed = [
        key
        for key in pipeline.catalog
        if key in needed and (history[key].failed & ~running[key]).any()
    ]
    if not failed:
        return ""
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    why = describe_failure(pipeline.catalog[failed[0]], instance)
    return f"{'/'.join(failed[0])}{more}: {why}"
