"""The run summary of an ended lease: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.jobs.models import Job, JobPriority, JobQueue, JobStatus, Outcome, RunSummary, changed
from app.jobs.texts import MESSAGE_CHARACTERS, tidy

COUNTED = frozenset({Outcome.COMPLETED, Outcome.SKIPPED, Outcome.FAILED, Outcome.RETRIED, Outcome.LEASE_LOST})
"""Outcomes that used up an execution; the others gave the job back as they found it."""


_NEVER = datetime.min.replace(tzinfo=UTC)
_BLANK = RunSummary(
    id="-",
    job_id="-",
    type="-",
    queue=JobQueue.PRIORITY,
    priority=JobPriority.NORMAL,
    attempt=0,
    outcome=Outcome.COMPLETED,
    counted=True,
    status=JobStatus.COMPLETED,
    started_at=_NEVER,
    ended_at=_NEVER,
    duration_seconds=0.0,
    waited_seconds=0.0,
)


def summarise(before: Job, after: Job, now: datetime, keep: timedelta | None) -> RunSummary:
    """What happened under the lease that `before` had, which ended by becoming `after`.

    `keep` is how long the summary is kept; None for ever.
    """
    began = before.lease_started_at or now
    waited = (began - before.queued_at).total_seconds() if before.queued_at is not None else 0.0
    outcome = after.outcome or Outcome.LEASE_LOST
    if outcome in (Outcome.RELEASED, Outcome.RETRIED) and after.status is JobStatus.FAILED:
        outcome = Outcome.FAILED
    return changed(
        _BLANK,
        {
            "id": f"{before.id}-{before.attempt}",
            "job_id": before.id,
            "type": before.type,
            "queue": before.queue,
            "priority": before.priority,
            "attempt": before.attempt,
            "outcome": outcome,
            "counted": outcome in COUNTED,
            "status": after.status,
            "worker_id": before.worker_id,
            "started_at": began,
            "ended_at": now,
            "duration_seconds": max(0.0, (now - began).total_seconds()),
            "waited_seconds": max(0.0, waited),
            "retries_used": after.retries_used,
            "lease_losses": after.lease_losses,
            "message": tidy(before.progress.message, MESSAGE_CHARACTERS),
            "error": after.error if outcome not in (Outcome.COMPLETED, Outcome.SKIPPED) else None,
            "batch_id": before.batch_id,
            "parent_id": before.parent_id,
            "expire_at": now + keep if keep is not None else None,
        },
    )
