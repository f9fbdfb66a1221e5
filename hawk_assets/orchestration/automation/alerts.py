"""Who is told when something fails or is late: whoever listens behind ``HAWK_WEBHOOK``.

A failed run is told once, by the service it belongs to, and only when no retry of it follows. A
late book is told once per session: a session counts that the source holds, so that a holiday wakes
nobody; a source that delivers nothing, or cannot be read, is told as just that, and so is whatever
comes right.

Dagster's own failure sensor moves on when telling fails, and the alert is lost. Here the cursor
moves only past what has been delivered; the next tick tells the rest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

import dagster as dg
import numpy as np
import requests
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    WILL_RETRY_TAG,
)
from dagster._time import get_current_datetime, get_current_timestamp
from dagster._utils.tags import get_boolean_tag_value

from hawk_assets.core.errors import AlertError, HawkError
from hawk_assets.orchestration.automation.failure_reason import reason
from hawk_assets.orchestration.automation.source_sensor import watched_months
from hawk_assets.orchestration.catalog import COMBINED_INSIGHTS
from hawk_assets.orchestration.metadata import LAST_SESSION
from hawk_assets.sources.base import MarketDataSource

BOOK = dg.AssetKey(COMBINED_INSIGHTS)
QUIET_WEEKDAYS = 3
GRACE = timedelta(hours=1)
LOOK_SECONDS = 300
_FAILURE = dg.DagsterEventType.RUN_FAILURE
_FAILURES_A_TICK = 20
_RETRY_SECONDS = 600
_TIMEOUT_SECONDS = 10
_K = TypeVar("_K")


@dataclass(frozen=True)
class Alert:
    """:param text: one line, for people
    :param facts: the same, for programs
    """

    text: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Webhook:
    """:param address: takes a JSON object with a ``text``, as Slack, Teams and Mattermost do
    :param ui_url: address of the Dagster UI, or None
    """

    address: str
    ui_url: str | None = None

    def tell(self, alert: Alert) -> None:
        """:raises AlertError: it was not taken; the address, which is a secret, is not repeated"""
        try:
            answer = requests.post(
                self.address,
                json={"text": alert.text, **alert.facts},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise AlertError(f"HAWK_WEBHOOK cannot be reached: {type(error).__name__}") from None
        if not 200 <= answer.status_code < 300:
            raise AlertError(f"HAWK_WEBHOOK answered {answer.status_code} {answer.reason}")

    def tell_all(self, alerts: Mapping[_K, Alert]) -> tuple[list[_K], str]:
        """Tell one after the other, up to the first that is not taken.

        :return: what was told, and what became of it, in words
        :raises AlertError: not even the first was taken
        """
        told: list[_K] = []
        for key, alert in alerts.items():
            try:
                self.tell(alert)
            except AlertError as error:
                if not told:
                    raise
                return told, f"told {len(told)} of {len(alerts)}: {error}"
            told.append(key)
        return told, f"told {len(told)}"

    def link(self, run_id: str) -> str | None:
        """Where the UI shows a run."""
        return f"{self.ui_url.rstrip('/')}/runs/{run_id}" if self.ui_url else None


# Failed runs


def build_failure_sensor(webhook: Webhook, service: str, seconds: int) -> dg.SensorDefinition:
    """Tells of each failed run of one code location, once, when no retry of it follows."""

    @dg.sensor(
        name=f"{service}_failures",
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells HAWK_WEBHOOK of failed runs of {service}.",
    )
    def failures(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        instance, origin = context.instance, context.code_location_origin
        if not context.cursor:
            latest = instance.fetch_run_status_changes(_FAILURE, limit=1).records
            after = latest[0].storage_id if latest else 0
            context.update_cursor(json.dumps({"after": after, "open": []}))
            return dg.SkipReason("watching from now on")
        cursor = json.loads(context.cursor)
        after, failed = _failures(instance, cursor["after"], origin and origin.location_name)
        waiting, alerts = [], {}
        for run_id in dict.fromkeys(cursor["open"] + failed):
            record = instance.get_run_record_by_id(run_id)
            if not record or AUTO_RETRY_RUN_ID_TAG in record.dagster_run.tags:
                continue
            if instance.run_retries_enabled and _may_be_retried(record):
                waiting.append(run_id)
            else:
                alerts[run_id] = failure(instance, record.dagster_run, webhook.link(run_id))
        told, what = webhook.tell_all(alerts)
        still_open = waiting + [run_id for run_id in alerts if run_id not in told]
        context.update_cursor(json.dumps({"after": after, "open": still_open}))
        return dg.SkipReason(what)

    return failures


def _failures(
    instance: dg.DagsterInstance, after: int, location: str | None
) -> tuple[int, list[str]]:
    """The runs of a code location that have failed since, and where to go on from.

    A run that was taken for dead may fail a second time by itself: the first time counts.
    """
    found: list[str] = []
    for record in instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(event_type=_FAILURE, after_storage_id=after),
        limit=_FAILURES_A_TICK,
        ascending=True,
    ).records:
        after, entry = record.storage_id, record.event_log_entry
        run = instance.get_run_by_id(entry.run_id)
        origin = run.remote_job_origin if run else None
        if not origin or location != origin.repository_origin.code_location_origin.location_name:
            continue
        first = instance.get_records_for_run(entry.run_id, of_type=_FAILURE, limit=1).records[0]
        if first.event_log_entry.timestamp == entry.timestamp:
            found.append(entry.run_id)
    return after, found


def _may_be_retried(record: dg.RunRecord) -> bool:
    """Whether a retry of a failed run is still to begin, or not decided about."""
    waited = get_current_timestamp() - (record.end_time or 0.0)
    announced = record.dagster_run.tags.get(WILL_RETRY_TAG)
    return waited < _RETRY_SECONDS and bool(get_boolean_tag_value(announced, default_value=True))


def failure(instance: dg.DagsterInstance, run: dg.DagsterRun, link: str | None) -> Alert:
    """What has failed, for which months, and why."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, _FAILURE}
    check_made = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    events = [
        log.get_dagster_event()
        for log in instance.all_logs(run.run_id, of_type=kinds | {check_made})
    ]
    checks = [e.asset_check_evaluation_data for e in events if e.event_type == check_made]
    bad = [c for c in checks if not c.passed and c.severity == dg.AssetCheckSeverity.ERROR]
    why = next((c.description for c in bad), None) or reason(
        e for e in events if e.event_type in kinds
    )
    planned = _tables(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    made = _tables(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION)
    tables = sorted(planned - made or planned)
    names = ", ".join(tables[:3]) + f" and {len(tables) - 3} more" * (len(tables) > 3)
    month = run.tags.get(PARTITION_NAME_TAG)
    first = run.tags.get(ASSET_PARTITION_RANGE_START_TAG, month)
    last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG, month)
    span = " to ".join(m[:7] for m in dict.fromkeys((first, last)) if m)
    attempts = int(run.tags.get(RETRY_NUMBER_TAG, 0)) + 1
    return Alert(
        f"FAILED: {names or run.job_name}"
        + f", {span}" * bool(span)
        + f", attempt {attempts}" * (attempts > 1)
        + f": {why}"
        + f" {link}" * bool(link),
        {
            "kind": "run_failed",
            "run_id": run.run_id,
            "tables": tables,
            "first_month": first,
            "last_month": last,
            "attempts": attempts,
            "reason": why,
            "url": link,
        },
    )


def _tables(
    instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType
) -> set[str]:
    """The tables of which a run has events of a kind."""
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return {record.asset_key.to_user_string() for record in records if record.asset_key}


# Lateness


@dataclass(frozen=True)
class Watch:
    """What the lateness sensor remembers. Times are in UTC.

    :param session: the source's last session, as last seen
    :param seen: when it was first seen
    :param unreadable: since when the source cannot be read
    :param told: by kind what was told and has not come right, and what of: a session or a time
    """

    session: date | None = None
    seen: datetime | None = None
    unreadable: datetime | None = None
    told: Mapping[str, str] = field(default_factory=dict)

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
                "told": dict(self.told),
            }
        )


def observe(watch: Watch, now: datetime, latest: date | HawkError | None) -> Watch:
    """What is remembered after a look at the source.

    :param latest: its last session, None where it has none, or why it cannot be read
    """
    if isinstance(latest, HawkError):
        return replace(watch, unreadable=watch.unreadable or now)
    if latest == watch.session:
        return replace(watch, unreadable=None)
    return replace(watch, session=latest, seen=now, unreadable=None)


def lateness(
    watch: Watch, now: datetime, error: HawkError | None, book: date | None, due: time
) -> dict[str, tuple[str, str]]:
    """What is late: by kind, what of and in words.

    :param error: why the source cannot be read just now
    :param book: the last session of the book
    :param due: when the book of a session is due on the day after it, and not before the source has
        held it for an hour
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
        stands = f"it stands at {book:%Y-%m-%d}" if book else "there is none"
        late["book_late"] = (
            session,
            f"the book of {session} was due by {deadline:%Y-%m-%d %H:%M} UTC; {stands}",
        )
    missed = int(np.busday_count(after, now.date()))
    if not error and missed >= QUIET_WEEKDAYS:
        late["source_quiet"] = (
            session,
            f"the source has had nothing new since {session}, {missed} weekdays without a session",
        )
    return late


def is_over(kind: str, of: str, watch: Watch, error: HawkError | None, book: date | None) -> bool:
    """Whether what was told has come right. An unreadable source is none that has delivered."""
    if kind == "book_late":
        return book is not None and book >= date.fromisoformat(of)
    if kind == "source_quiet":
        return watch.session is not None and watch.session > date.fromisoformat(of)
    return error is None


def build_lateness_sensor(
    webhook: Webhook, due: time, partitions: dg.MonthlyPartitionsDefinition
) -> dg.SensorDefinition:
    """Tells of a late book, a quiet source and an unreadable one, each once and when it is over.

    Next to the source, which only this service can read; of the book it asks the event log.
    """

    @dg.sensor(
        name="lateness",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells HAWK_WEBHOOK of a book that is not there by {due:%H:%M} UTC.",
    )
    def late(
        context: dg.SensorEvaluationContext, source: dg.ResourceParam[MarketDataSource]
    ) -> dg.SkipReason:
        if not context.instance.get_latest_materialization_event(BOOK):
            return dg.SkipReason("there has never been a book")
        now, error, latest = get_current_datetime(), None, None
        try:
            session = source.poll(watched_months(partitions)).latest_session
            latest = session.date() if session is not None else None
        except HawkError as problem:
            error = problem
        watch = observe(Watch.load(context.cursor), now, error or latest)
        book = last_of_book(context.instance)
        alerts: dict[str, Alert] = {}
        told = dict(watch.told)
        current = lateness(watch, now, error, book, due)
        for kind, (of, text) in current.items():
            if told.get(kind) != of:
                alerts[kind] = Alert(f"LATE: {text}", {"kind": kind, "of": of, "over": False})
        for kind, of in watch.told.items():
            if kind not in current and is_over(kind, of, watch, error, book):
                what = "the book" if kind == "book_late" else "the source"
                text = f"OK again: {what}, late since {of}"
                alerts[kind] = Alert(text, {"kind": kind, "of": of, "over": True})
        delivered, what_became = webhook.tell_all(alerts)
        for kind in delivered:
            if kind in current:
                told[kind] = current[kind][0]
            else:
                del told[kind]
        context.update_cursor(replace(watch, told=told).dump())
        return dg.SkipReason(what_became)

    return late


def last_of_book(instance: dg.DagsterInstance) -> date | None:
    """The last session of the book, as said by the latest materialisations of its months."""
    storage, made = instance.event_log_storage, dg.DagsterEventType.ASSET_MATERIALIZATION
    latest = storage.get_latest_storage_id_by_partition(BOOK, made)
    for month in sorted(latest, reverse=True):
        (record,) = storage.fetch_materializations(
            dg.AssetRecordsFilter(BOOK, storage_ids=[latest[month]]), limit=1
        ).records
        materialization = record.asset_materialization
        if materialization and (last := materialization.metadata.get(LAST_SESSION)):
            return date.fromisoformat(str(last.value))
    return None
