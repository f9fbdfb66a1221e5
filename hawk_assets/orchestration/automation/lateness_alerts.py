"""Alerts about a late book, a source without new sessions and a source that cannot be read.

Each is sent once, and once more when it is resolved. A book is late only for a session that the
source has: a holiday wakes nobody. The cursor moves only past delivered alerts; the next tick sends
the others.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import numpy as np

from hawk_assets.core.errors import HawkError
from hawk_assets.orchestration.automation.source_sensor import watched_months
from hawk_assets.orchestration.automation.webhook import Alert, Webhook
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS
from hawk_assets.orchestration.instance.internals import current_time
from hawk_assets.orchestration.metadata import LAST_SESSION
from hawk_assets.sources.base import MarketDataSource

BOOK = dg.AssetKey(COMBINED_INSIGHTS)
QUIET_WEEKDAYS = 3
GRACE = timedelta(hours=1)
TICK_SECONDS = 300


@dataclass(frozen=True)
class Watch:
    """What the lateness sensor remembers from tick to tick. Times are in UTC.

    :param session: the source's last session, as last seen
    :param seen: when that session was first seen
    :param unreadable: since when the source cannot be read, or None
    :param alerted: the alerts that are not resolved: by kind, the session or time they are about
    """

    session: date | None = None
    seen: datetime | None = None
    unreadable: datetime | None = None
    alerted: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None) -> "Watch":
        known = json.loads(cursor or "{}")
        return cls(
            date.fromisoformat(known["session"]) if known.get("session") else None,
            datetime.fromisoformat(known["seen"]) if known.get("seen") else None,
            datetime.fromisoformat(known["unreadable"]) if known.get("unreadable") else None,
            known.get("told", {}),
        )

    def dump(self) -> str:
        return json.dumps(
            {
                "session": self.session and self.session.isoformat(),
                "seen": self.seen and self.seen.isoformat(),
                "unreadable": self.unreadable and self.unreadable.isoformat(),
                "told": dict(self.alerted),
            }
        )


def observe(watch: Watch, now: datetime, latest: date | HawkError | None) -> Watch:
    """What to remember after a poll of the source.

    :param latest: its last session, None where it has none, or why it cannot be read
    """
    if isinstance(latest, HawkError):
        return replace(watch, unreadable=watch.unreadable or now)
    if latest == watch.session:
        return replace(watch, unreadable=None)
    return replace(watch, session=latest, seen=now, unreadable=None)


def find_lateness(
    watch: Watch, now: datetime, error: HawkError | None, book: date | None, due: time
) -> dict[str, tuple[str, str]]:
    """What is late: by kind, the session or time it is about, and one sentence.

    :param error: why the source cannot be read now, or None
    :param book: the last session of the book
    :param due: when the book of a session is due on the day after it; never earlier than an hour
        after the source has the session
    """
    late: dict[str, tuple[str, str]] = {}
    if error and watch.unreadable and now - watch.unreadable >= GRACE:
        since = f"{watch.unreadable:%Y-%m-%d %H:%M}"
        late["source_unreadable"] = since, f"the source cannot be read since {since} UTC: {error}"
    if not watch.session or not watch.seen:
        return late
    session, after = f"{watch.session:%Y-%m-%d}", watch.session + timedelta(days=1)
    deadline = datetime.combine(after, due, UTC)
    if (not book or book < watch.session) and now >= max(deadline, watch.seen + GRACE):
        latest = f"the latest book is of {book:%Y-%m-%d}" if book else "there is no book"
        late["book_late"] = (
            session,
            f"the book of {session} was due by {deadline:%Y-%m-%d %H:%M} UTC; {latest}",
        )
    missed = int(np.busday_count(after, now.date()))
    if not error and missed >= QUIET_WEEKDAYS:
        late["source_quiet"] = (
            session,
            f"the source has no session after {session}: {missed} weekdays are missing",
        )
    return late


def is_resolved(
    kind: str, of: str, watch: Watch, error: HawkError | None, book: date | None
) -> bool:
    """Whether an alert no longer holds. A source that cannot be read resolves nothing."""
    if kind == "book_late":
        return book is not None and book >= date.fromisoformat(of)
    if kind == "source_quiet":
        return watch.session is not None and watch.session > date.fromisoformat(of)
    return error is None


_RESOLVED = {
    "book_late": "the book of {of} is there",
    "source_quiet": "the source has sessions after {of}",
    "source_unreadable": "the source can be read again; it could not since {of} UTC",
}


def build_lateness_sensor(
    webhook: Webhook, due: time, partitions: dg.MonthlyPartitionsDefinition
) -> dg.SensorDefinition:
    """The sensor behind these alerts.

    It belongs to the service that can read the source; the book it finds in the event log.
    """

    @dg.sensor(
        name="lateness",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Reports a book that is not there by {due:%H:%M} UTC to HAWK_WEBHOOK, and a "
        "source without new sessions.",
    )
    def late(
        context: dg.SensorEvaluationContext, source: dg.ResourceParam[MarketDataSource]
    ) -> dg.SkipReason:
        if not context.instance.get_latest_materialization_event(BOOK):
            return dg.SkipReason("there is no book yet")
        now, error, latest = current_time(), None, None
        try:
            session = source.poll(watched_months(partitions)).latest_session
            latest = session.date() if session is not None else None
        except HawkError as problem:
            error = problem
        watch = observe(Watch.load(context.cursor), now, error or latest)
        book = last_book_session(context.instance)
        alerts: dict[str, Alert] = {}
        current = find_lateness(watch, now, error, book, due)
        for kind, (of, text) in current.items():
            if watch.alerted.get(kind) != of:
                alerts[kind] = Alert(f"LATE: {text}", {"kind": kind, "of": of, "over": False})
        for kind, of in watch.alerted.items():
            if kind not in current and is_resolved(kind, of, watch, error, book):
                text = f"RESOLVED: {_RESOLVED[kind].format(of=of)}"
                alerts[kind] = Alert(text, {"kind": kind, "of": of, "over": True})
        delivered, summary = webhook.post_all(alerts)
        alerted = dict(watch.alerted)
        for kind in delivered:
            if kind in current:
                alerted[kind] = current[kind][0]
            else:
                del alerted[kind]
        context.update_cursor(replace(watch, alerted=alerted).dump())
        return dg.SkipReason(summary)

    return late


def last_book_session(instance: dg.DagsterInstance) -> date | None:
    """The last session of the book, from the metadata of its latest materialisations."""
    storage = instance.event_log_storage
    latest = storage.get_latest_storage_id_by_partition(
        BOOK, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    for month in sorted(latest, reverse=True):
        (record,) = storage.fetch_materializations(
            dg.AssetRecordsFilter(BOOK, storage_ids=[latest[month]]), limit=1
        ).records
        materialization = record.asset_materialization
        if materialization and (last := materialization.metadata.get(LAST_SESSION)):
            return date.fromisoformat(str(last.value))
    return None
