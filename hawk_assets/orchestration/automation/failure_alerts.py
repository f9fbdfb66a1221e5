"""Alerts about failed runs: one per run, when no retry of it follows.

Dagster's own failure sensor moves its cursor on even when a notification fails, and the alert is
lost. Here the cursor moves only past delivered alerts; the next tick sends the others.
"""

import json

import dagster as dg

from hawk_assets.orchestration.automation.failure_reason import failure_reason
from hawk_assets.orchestration.automation.webhook import Alert, Webhook
from hawk_assets.orchestration.instance.internals import (
    attempt_number,
    current_time,
    has_retry,
    is_retry_possible,
    partition_range,
)

_FAILURES_A_TICK = 20
_RETRY_SECONDS = 600


def build_failure_sensor(webhook: Webhook, service: str, seconds: int) -> dg.SensorDefinition:
    """The sensor that reports each failed run of one code location."""

    @dg.sensor(
        name=f"{service}_failures",
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Reports failed runs of {service} to HAWK_WEBHOOK.",
    )
    def failures(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        instance, origin = context.instance, context.code_location_origin
        if not context.cursor:
            latest = instance.fetch_run_status_changes(
                dg.DagsterEventType.RUN_FAILURE, limit=1
            ).records
            after = latest[0].storage_id if latest else 0
            context.update_cursor(json.dumps({"after": after, "open": []}))
            return dg.SkipReason("first tick: runs that fail from now on are reported")
        cursor = json.loads(context.cursor)
        location = origin.location_name if origin else None
        after, failed = _new_failures(instance, cursor["after"], location)
        waiting, alerts = [], {}
        for run_id in dict.fromkeys(cursor["open"] + failed):
            record = instance.get_run_record_by_id(run_id)
            if not record or has_retry(record.dagster_run):
                continue
            if instance.run_retries_enabled and _may_be_retried(record):
                waiting.append(run_id)
            else:
                run = record.dagster_run
                alerts[run_id] = build_failure_alert(instance, run, webhook.link(run_id))
        delivered, summary = webhook.post_all(alerts)
        still_open = waiting + [run_id for run_id in alerts if run_id not in delivered]
        context.update_cursor(json.dumps({"after": after, "open": still_open}))
        return dg.SkipReason(summary)

    return failures


def _new_failures(
    instance: dg.DagsterInstance, after: int, location: str | None
) -> tuple[int, list[str]]:
    """The runs of a code location that failed since, and the id to continue from.

    A run that was declared dead may later report its own failure: only the first one counts.
    """
    found: list[str] = []
    for record in instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(
            event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=after
        ),
        limit=_FAILURES_A_TICK,
        ascending=True,
    ).records:
        after, entry = record.storage_id, record.event_log_entry
        run = instance.get_run_by_id(entry.run_id)
        origin = run.remote_job_origin if run else None
        if not origin or location != origin.repository_origin.code_location_origin.location_name:
            continue
        first = instance.get_records_for_run(
            entry.run_id, of_type=dg.DagsterEventType.RUN_FAILURE, limit=1
        ).records[0]
        if first.event_log_entry.timestamp == entry.timestamp:
            found.append(entry.run_id)
    return after, found


def _may_be_retried(record: dg.RunRecord) -> bool:
    """Whether a retry of a failed run may still start."""
    waited = current_time().timestamp() - (record.end_time or 0.0)
    return waited < _RETRY_SECONDS and is_retry_possible(record.dagster_run)


def build_failure_alert(
    instance: dg.DagsterInstance, run: dg.DagsterRun, link: str | None
) -> Alert:
    """Which tables and months failed, and why."""
    failures = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    evaluation = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    events = [
        log.get_dagster_event()
        for log in instance.all_logs(run.run_id, of_type=failures | {evaluation})
    ]
    checks = [e.asset_check_evaluation_data for e in events if e.event_type == evaluation]
    bad = [c for c in checks if not c.passed and c.severity == dg.AssetCheckSeverity.ERROR]
    why = next((c.description for c in bad), None) or failure_reason(
        e for e in events if e.event_type in failures
    )
    planned = _tables(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    materialised = _tables(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION)
    tables = sorted(planned - materialised or planned)
    names = ", ".join(tables[:3]) + f" and {len(tables) - 3} more" * (len(tables) > 3)
    first, last = partition_range(run)
    span = " to ".join(month[:7] for month in dict.fromkeys((first, last)) if month)
    attempts = attempt_number(run)
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
    """The tables for which a run has events of a kind."""
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return {record.asset_key.to_user_string() for record in records if record.asset_key}
