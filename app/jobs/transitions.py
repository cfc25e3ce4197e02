"""The state machine: one table of pure functions `(job, event, now) -> job`.

Nothing else in the engine changes a job's status. Stores persist what this table says. An event that the
job's status does not know raises `IllegalTransition`, which lists what it does know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from app.jobs.errors import IllegalTransition, LeaseExpired
from app.jobs.events import (
    Abandon,
    AskReview,
    BeWatched,
    Claim,
    Complete,
    Decide,
    Event,
    Expire,
    Fail,
    FinishRelease,
    Hold,
    LoseLease,
    Park,
    Promote,
    Release,
    Renew,
    RequestCancel,
    RequestPause,
    Requeue,
    Resume,
    Retry,
    Slice,
    Start,
    Stop,
    Unpark,
)
from app.jobs.models import Job, JobError, JobResult, JobStatus, Outcome, changed

Rule: TypeAlias = Callable[[Job, Any, datetime], Job]

# --- building blocks ---------------------------------------------------------------------------------

RECOVERIES_KEPT = 20
"""How many entries of `metadata["recovery_history"]` are kept: the newest."""
_NO_LEASE: Mapping[str, Any] = {
    "worker_id": None,
    "lease_token": None,
    "lease_started_at": None,
    "lease_expires_at": None,
}
_NO_CONTROL: Mapping[str, Any] = {
    "control_id": None,
    "control_action": None,
    "control_reason": None,
    "control_at": None,
}
_NOT_QUEUED: Mapping[str, Any] = {"ready_at": None, "wake_at": None, "parked_on": None}


def _moved(job: Job, now: datetime, status: JobStatus, **changes: Any) -> Job:
    return changed(job, {"status": status, "updated_at": now, "revision": job.revision + 1, **_NOT_QUEUED, **changes})


def _queued(job: Job, now: datetime, at: datetime | None, **changes: Any) -> Job:
    """Claimable now, or from `at` if that is later."""
    if at is not None and at > now:
        return _moved(job, now, JobStatus.QUEUED, wake_at=at, queued_at=at, **changes)
    return _moved(job, now, JobStatus.QUEUED, ready_at=now, queued_at=now, **changes)


def _ended(job: Job, now: datetime, status: JobStatus, **changes: Any) -> Job:
    release = "pending" if job.has_dependents else None
    return _moved(job, now, status, finished_at=now, release=release, **_NO_LEASE, **_NO_CONTROL, **changes)


def _lease_ended(job: Job, now: datetime) -> dict[str, Any]:
    """What every end of a lease leaves behind, apart from where the job goes."""
    began = job.lease_started_at or now
    ran = max(0.0, (now - began).total_seconds())
    return {**_NO_LEASE, "run_seconds": job.run_seconds + ran}


def _given_back(job: Job, now: datetime, at: datetime | None, **changes: Any) -> Job:
    """A lease that ends with the job unfinished: what others asked of the holder meanwhile goes first."""
    changes = {**_lease_ended(job, now), **changes}
    if job.control_action == "cancel":
        return _stop(job, Stop(job.control_reason or "cancelled"), now)
    if job.control_action == "pause":
        return _moved(job, now, JobStatus.PAUSED, **_NO_CONTROL, **changes)
    return _queued(job, now, at, **changes)


def _cancelled(job: Job, now: datetime, code: str, reason: str) -> Job:
    return _ended(
        job,
        now,
        JobStatus.CANCELLED,
        error=JobError(code=code, message=reason),
        result=JobResult(success=False, error=reason),
    )


# --- rules -------------------------------------------------------------------------------------------


def _start(job: Job, event: Start, now: datetime) -> Job:
    return _queued(job, now, event.wake_at)


def _promote(job: Job, event: Promote, now: datetime) -> Job:
    if job.wake_at is None or job.wake_at > now:
        return job
    return changed(job, {"ready_at": job.wake_at, "wake_at": None, "updated_at": now})


def _claim(job: Job, event: Claim, now: datetime) -> Job:
    if job.start_before is not None and job.attempt == 0 and now > job.start_before:
        return _expire(job, Expire(), now)
    return _moved(
        job,
        now,
        JobStatus.RUNNING,
        attempt=job.attempt + 1,
        start_before=None,  # it has begun
        started_at=job.started_at or now,
        worker_id=event.worker_id,
        lease_token=event.lease_token,
        lease_started_at=now,
        lease_expires_at=now + timedelta(seconds=event.lease_seconds),
        write_id=event.write_id,
        outcome=None,
        **_NO_CONTROL,
    )


def _renew(job: Job, event: Renew, now: datetime) -> Job:
    expires = now + timedelta(seconds=event.lease_seconds)
    return changed(job, {"lease_expires_at": expires, "updated_at": now})


def _abandon(job: Job, event: Abandon, now: datetime) -> Job:
    outcome = Outcome.RELEASED if event.error is None else Outcome.RETRIED
    return changed(
        job,
        {
            "lease_expires_at": now + timedelta(seconds=event.lease_seconds),
            "updated_at": now,
            "outcome": outcome,
            "error": event.error,
        },
    )


def _complete(job: Job, event: Complete, now: datetime) -> Job:
    outcome = Outcome.SKIPPED if event.skipped else Outcome.COMPLETED
    kept = _lease_ended(job, now)
    return _ended(
        job,
        now,
        JobStatus.COMPLETED,
        result=event.result,
        error=None,
        outcome=outcome,
        run_seconds=kept["run_seconds"],
    )


def _fail(job: Job, event: Fail, now: datetime) -> Job:
    ran = _lease_ended(job, now)["run_seconds"]
    return _ended(
        job, now, JobStatus.FAILED, result=event.result, error=event.error, outcome=Outcome.FAILED, run_seconds=ran
    )


def _retry(job: Job, event: Retry, now: datetime) -> Job:
    return _given_back(
        job,
        now,
        event.wake_at,
        error=event.error,
        result=JobResult(success=False, error=event.error.message),
        outcome=Outcome.RETRIED,
        retries_used=job.retries_used + 1,
    )


def _release(job: Job, event: Release, now: datetime) -> Job:
    return _given_back(job, now, event.wake_at, outcome=Outcome.RELEASED)


def _slice(job: Job, event: Slice, now: datetime) -> Job:
    return _given_back(job, now, event.wake_at, outcome=Outcome.SLICED, slices=job.slices + 1)


def _park(job: Job, event: Park, now: datetime) -> Job:
    return _moved(job, now, JobStatus.QUEUED, parked_on=event.on, queued_at=None)


def _park_running(job: Job, event: Park, now: datetime) -> Job:
    if job.control_action is not None:
        return _given_back(job, now, None, outcome=Outcome.PARKED)
    kept = _lease_ended(job, now)
    return _moved(job, now, JobStatus.QUEUED, parked_on=event.on, queued_at=None, **kept, outcome=Outcome.PARKED)


def _unpark(job: Job, event: Unpark, now: datetime) -> Job:
    if job.parked_on is None:
        return job
    return _queued(job, now, None)


def _lose_lease(job: Job, event: LoseLease, now: datetime) -> Job:
    """Engine.md section 3.4: losses are counted apart from retries, and an abandoned lease is no loss."""
    abandoned = job.outcome
    losses = job.lease_losses + (1 if abandoned is None else 0)
    kept: dict[str, Any] = {"lease_losses": losses, "outcome": abandoned or Outcome.LEASE_LOST}
    error = job.error or JobError(code=LeaseExpired.code, message=str(LeaseExpired(losses)))
    failed = JobResult(success=False, error=error.message)
    # An abandoned attempt whose job does not go on counts as nothing: it was neither lost nor is it tried again.
    if job.control_action == "cancel":
        kept["outcome"] = Outcome.CANCELLED if abandoned else Outcome.LEASE_LOST
        lost = changed(job, {**_lease_ended(job, now), **kept})
        return _cancelled(lost, now, "CANCELLED", job.control_reason or "cancelled")
    if not job.idempotent:
        kept["outcome"] = Outcome.REVIEW if abandoned else Outcome.LEASE_LOST
        request = {"question": "The worker vanished. Did the job's effect happen?", "attempt": job.attempt}
        review = {"reason": "lease expired", "request": request, "at": now.isoformat()}
        kept.update(_lease_ended(job, now), **_NO_CONTROL)
        return _moved(job, now, JobStatus.NEEDS_REVIEW, **kept, error=error, review=review)
    if abandoned is Outcome.RETRIED:
        kept["retries_used"] = job.retries_used + 1
    spent = kept.get("retries_used", 0) > job.max_retries or losses > job.max_lease_losses
    if spent:
        lost = changed(job, {**_lease_ended(job, now), **kept})
        return _ended(lost, now, JobStatus.FAILED, error=error, result=failed)
    note = {"at": now.isoformat(), "attempt": job.attempt, "worker_id": job.worker_id, "what": "lease expired"}
    before = job.metadata.get("recovery_history")
    history = [*(before if isinstance(before, list) else []), note][-RECOVERIES_KEPT:]
    return _given_back(job, now, None, **kept, metadata={**job.metadata, "recovery_history": history})


def _cancel_waiting(job: Job, event: RequestCancel, now: datetime) -> Job:
    return _cancelled(job, now, "CANCELLED", event.reason)


def _cancel_running(job: Job, event: RequestCancel, now: datetime) -> Job:
    return changed(
        job,
        {
            "control_id": event.control_id,
            "control_action": "cancel",
            "control_reason": event.reason,
            "control_at": now,
        },
    )


def _stop(job: Job, event: Stop, now: datetime) -> Job:
    ran = _lease_ended(job, now)["run_seconds"]
    done = changed(job, {"run_seconds": ran, "outcome": Outcome.CANCELLED})
    return _cancelled(done, now, "CANCELLED", event.reason)


def _expire(job: Job, event: Expire, now: datetime) -> Job:
    return _cancelled(job, now, "EXPIRED", "expired")


def _pause_waiting(job: Job, event: RequestPause, now: datetime) -> Job:
    """`queued_at` stays, so that a resume knows a delay that is not over, and that a held job was not started."""
    return _moved(job, now, JobStatus.PAUSED, queued_at=now if job.parked_on is not None else job.queued_at)


def _pause_running(job: Job, event: RequestPause, now: datetime) -> Job:
    if job.control_action == "cancel":
        return job
    return changed(
        job,
        {
            "control_id": event.control_id,
            "control_action": "pause",
            "control_reason": event.reason,
            "control_at": now,
        },
    )


def _be_watched(job: Job, event: BeWatched, now: datetime) -> Job:
    return changed(job, {"watched_until": event.until})


def _hold(job: Job, event: Hold, now: datetime) -> Job:
    """What was asked last counts: the pause, a cancel that came after it, or neither if it was taken back."""
    return _given_back(job, now, None, outcome=Outcome.PAUSED)


def _resume(job: Job, event: Resume, now: datetime) -> Job:
    if job.queued_at is None:
        return _moved(job, now, JobStatus.PENDING)
    return _queued(job, now, job.queued_at)


def _resume_running(job: Job, event: Resume, now: datetime) -> Job:
    """A pause that the holder has not obeyed yet is taken back."""
    return changed(job, dict(_NO_CONTROL)) if job.control_action == "pause" else job


def _ask_review(job: Job, event: AskReview, now: datetime) -> Job:
    if job.control_action == "cancel":
        return _stop(job, Stop(job.control_reason or "cancelled"), now)
    review = {"reason": event.reason, "request": event.request, "at": now.isoformat()}
    return _moved(
        job,
        now,
        JobStatus.NEEDS_REVIEW,
        **_lease_ended(job, now),
        **_NO_CONTROL,
        outcome=Outcome.REVIEW,
        review=review,
        error=event.error,
        result=JobResult(success=False, error=event.reason),
    )


def _decide(job: Job, event: Decide, now: datetime) -> Job:
    asked = job.review if isinstance(job.review, dict) else {}
    decided = {"decision": event.decision, "by": event.by, "comment": event.comment, "decided_at": now.isoformat()}
    review = {**asked, **decided}
    if event.decision == "reject":
        reason = event.comment or f"rejected by {event.by}"
        return _cancelled(changed(job, {"review": review}), now, "REJECTED", reason)
    payload = job.payload if event.payload is None else event.payload
    return _queued(job, now, None, review=review, payload=payload, error=None, result=None)


def _requeue(job: Job, event: Requeue, now: datetime) -> Job:
    return _queued(
        job,
        now,
        None,
        finished_at=None,
        expire_at=None,
        result=None,
        error=None,
        retries_used=0,
        lease_losses=0,
        run_seconds=0.0,
        release=None,
        start_before=None,
        **{"checkpoint": job.checkpoint if event.keep_checkpoint else None, **event.given},
    )


def _finish_release(job: Job, event: FinishRelease, now: datetime) -> Job:
    return changed(job, {"release": "done", "updated_at": now}) if job.release == "pending" else job


# --- the table ---------------------------------------------------------------------------------------

_P, _Q, _R, _H = JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED
_C, _F, _X, _N = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.NEEDS_REVIEW

TRANSITIONS: Mapping[tuple[JobStatus, type[Event]], Rule] = {
    (_P, Start): _start,
    (_P, RequestCancel): _cancel_waiting,
    (_P, RequestPause): _pause_waiting,
    (_P, Expire): _expire,
    (_Q, Promote): _promote,
    (_Q, Claim): _claim,
    (_Q, Park): _park,
    (_Q, Unpark): _unpark,
    (_Q, RequestCancel): _cancel_waiting,
    (_Q, RequestPause): _pause_waiting,
    (_Q, Expire): _expire,
    (_R, Renew): _renew,
    (_R, Abandon): _abandon,
    (_R, Complete): _complete,
    (_R, Fail): _fail,
    (_R, Retry): _retry,
    (_R, Release): _release,
    (_R, Slice): _slice,
    (_R, Park): _park_running,
    (_R, LoseLease): _lose_lease,
    (_R, RequestCancel): _cancel_running,
    (_R, Stop): _stop,
    (_R, RequestPause): _pause_running,
    (_R, BeWatched): _be_watched,
    (_R, Hold): _hold,
    (_R, Resume): _resume_running,
    (_R, AskReview): _ask_review,
    (_H, Resume): _resume,
    (_H, RequestCancel): _cancel_waiting,
    (_N, Decide): _decide,
    (_N, RequestCancel): _cancel_waiting,
    (_N, Requeue): _requeue,
    (_F, Requeue): _requeue,
    (_X, Requeue): _requeue,
    (_C, FinishRelease): _finish_release,
    (_F, FinishRelease): _finish_release,
    (_X, FinishRelease): _finish_release,
}


def allowed(status: JobStatus) -> list[str]:
    """What a job in this status can do, as verbs."""
    return [event.verb for (state, event) in TRANSITIONS if state is status]


def transition(job: Job, event: Event, now: datetime) -> Job:
    """The job after the event; the one given is not changed.

    Raises:
        IllegalTransition: the job's status does not know the event.
    """
    rule = TRANSITIONS.get((job.status, type(event)))
    if rule is None:
        raise IllegalTransition(job.id, job.status, event.verb, allowed(job.status))
    return rule(job, event, now)
