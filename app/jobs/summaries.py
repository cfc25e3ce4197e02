"""The run summary of an ended lease: pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.jobs.models import LATE, Job, JobPriority, JobQueue, JobStatus, Outcome, RunSummary, changed
from app.jobs.texts import MESSAGE_CHARACTERS, tidy
from app.stores.base import Insert, Write

COUNTED = frozenset({Outcome.COMPLETED, Outcome.SKIPPED, Outcome.FAILED, Outcome.RETRIED, Outcome.LEASE_LOST})
"""Outcomes that used up an execution; the others gave the job back as they found it."""


def run_id(job_id: str, attempt: int) -> str:
    """The id of the summary of one attempt."""
    return f"{job_id}-{attempt}"


def told_apart(writes: Sequence[Write], lease_token: str) -> list[Write]:
    """The same writes, with ids for new run summaries that only this lease has.

    A job with an idempotency key has its id from the key. One that was deleted and created again counts its attempts
    anew, while the summaries of its earlier life are kept.
    """
    return [_told_apart(write, lease_token) for write in writes]


def _told_apart(write: Write, lease_token: str) -> Write:
    if not isinstance(write, Insert) or write.collection != "runs":
        return write
    late = LATE if write.id.endswith(LATE) else ""
    return Insert(write.collection, f"{write.id.removesuffix(late)}-{lease_token}{late}", write.fields)


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
            "id": run_id(before.id, before.attempt),
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
