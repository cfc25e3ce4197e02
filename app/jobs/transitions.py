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
    AddDependency,
    Arrive,
    AskReview,
    BeWatched,
    Claim,
    Complete,
    Decide,
    Defer,
    DependencyFailed,
    DependencyMet,
    Event,
    Expire,
    ExpireReview,
    Fail,
    FinishRelease,
    Hold,
    LoseLease,
    Park,
    Promote,
    Release,
    RemoveDependency,
    Renew,
    RequestCancel,
    RequestPause,
    Requeue,
    Resume,
    Retry,
    Slice,
    Start,
    Stop,
    Suspend,
    TakeTurn,
    Unpark,
    WaitOn,
)
from app.jobs.models import UNDER_WAY, Job, JobError, JobResult, JobStatus, Outcome, changed

Rule: TypeAlias = Callable[[Job, Any, datetime], Job]

# --- building blocks ---------------------------------------------------------------------------------

RECOVERIES_KEPT = 20
"""How many entries of `metadata["recovery_history"]` are kept: the newest."""
REVIEWS_KEPT = 100
"""How many earlier requests for review are kept with a job, each with its decision: the newest."""
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
_NOTHING_UNMET: Mapping[str, Any] = {"unmet": (), "waiting_since": None}
_NOT_QUEUED: Mapping[str, Any] = {"ready_at": None, "wake_at": None, "parked_on": None, "waiting_for": None}


def _moved(job: Job, now: datetime, status: JobStatus, **changes: Any) -> Job:
    if job.holds_turn and status not in UNDER_WAY:
        changes["holds_turn"] = False
    return changed(job, {"status": status, "updated_at": now, "revision": job.revision + 1, **_NOT_QUEUED, **changes})


def _queued(job: Job, now: datetime, at: datetime | None, **changes: Any) -> Job:
    """Claimable now, or from `at` if that is later."""
    if at is not None and at > now:
        return _moved(job, now, JobStatus.QUEUED, wake_at=at, queued_at=at, **changes)
    return _moved(job, now, JobStatus.QUEUED, ready_at=now, queued_at=now, **changes)


def _ended(job: Job, now: datetime, status: JobStatus, **changes: Any) -> Job:
    release = "pending" if job.has_dependents else None
    changes = {**_NO_LEASE, **_NO_CONTROL, **_NOTHING_UNMET, **changes}
    return _moved(job, now, status, finished_at=now, release=release, **changes)


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
    if job.unmet:
        if job.auto_start and event.wake_at is None:
            return job
        return _moved(job, now, JobStatus.PENDING, auto_start=True, start_at=event.wake_at, error=None)
    return _queued(job, now, event.wake_at, error=None)


def _promote(job: Job, event: Promote, now: datetime) -> Job:
    if job.wake_at is None or job.wake_at > now:
        return job
    return changed(job, {"ready_at": job.wake_at, "wake_at": None, "waiting_for": None, "updated_at": now})


def _claim(job: Job, event: Claim, now: datetime) -> Job:
    if job.start_before is not None and job.attempt == 0 and now > job.start_before:
        return _expire(job, Expire(), now)
    return _moved(
        job,
        now,
        JobStatus.RUNNING,
        attempt=job.attempt + 1,
        start_before=None,  # it has begun
        allowed_at=None,
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
    idle = job.idle_slices + 1 if event.is_idle else 0
    return _given_back(job, now, event.wake_at, outcome=Outcome.SLICED, slices=job.slices + 1, idle_slices=idle)


def _suspend(job: Job, event: Suspend, now: datetime) -> Job:
    if event.waiting_for is None or job.control_action is not None:
        return _given_back(job, now, event.until, outcome=Outcome.SUSPENDED)
    times = [time for time in (event.until, event.look_at) if time is not None]
    # While it waits, `queued_at` says when it goes on in any case.
    waits = {"waiting_for": event.waiting_for, "wake_at": min(times, default=now), "queued_at": event.until}
    return _moved(job, now, JobStatus.QUEUED, **_lease_ended(job, now), **waits, outcome=Outcome.SUSPENDED)


def _wait_on(job: Job, event: WaitOn, now: datetime) -> Job:
    if job.waiting_for is None or (job.queued_at is not None and job.wake_at == job.queued_at):
        return job
    parked_on = job.waiting_for if job.queued_at is None else None
    return changed(job, {"wake_at": job.queued_at, "parked_on": parked_on, "updated_at": now})


def _arrive(job: Job, event: Arrive, now: datetime) -> Job:
    return job if job.waiting_for != event.what else _queued(job, now, None)


def _park(job: Job, event: Park, now: datetime) -> Job:
    return _moved(job, now, JobStatus.QUEUED, parked_on=event.on, queued_at=None)


def _park_running(job: Job, event: Park, now: datetime) -> Job:
    if job.control_action is not None:
        return _given_back(job, now, None, outcome=Outcome.PARKED)
    kept = _lease_ended(job, now)
    return _moved(job, now, JobStatus.QUEUED, parked_on=event.on, queued_at=None, **kept, outcome=Outcome.PARKED)


def _unpark(job: Job, event: Unpark, now: datetime) -> Job:
    """It has its old place among jobs of its priority again; since when it could run, `queued_at` says."""
    if job.parked_on is None:
        return job
    return changed(_queued(job, now, None), {"ready_at": min(job.created_at, now)})


def _defer(job: Job, event: Defer, now: datetime) -> Job:
    return _queued(job, now, event.until, allowed_at=event.until)


def _take_turn(job: Job, event: TakeTurn, now: datetime) -> Job:
    if job.holds_turn:
        return job
    if job.parked_on is not None and job.parked_on == job.turn:
        return _queued(job, now, None, holds_turn=True)
    return changed(job, {"holds_turn": True, "updated_at": now, "revision": job.revision + 1})


def _lose_lease(job: Job, event: LoseLease, now: datetime) -> Job:
    """A lease ran out: losses are counted apart from retries, and a lease that its holder had abandoned is no loss."""
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
        review = _asked(job, {"reason": "lease expired", "request": request, "at": now.isoformat()})
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
    waits = job.parked_on is not None or job.waiting_for is not None
    return _moved(job, now, JobStatus.PAUSED, queued_at=now if waits else job.queued_at)


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
    if job.unmet:
        return _moved(job, now, JobStatus.PENDING)
    if job.queued_at is None:
        return _let_go(job, now)
    return _queued(job, now, job.queued_at)


def _resume_running(job: Job, event: Resume, now: datetime) -> Job:
    """A pause that the holder has not obeyed yet is taken back."""
    return changed(job, dict(_NO_CONTROL)) if job.control_action == "pause" else job


def _asked(job: Job, review: dict[str, Any]) -> dict[str, Any]:
    """A request for review, with those before it: together they are the audit trail."""
    before = job.review if isinstance(job.review, dict) else {}
    history = [*before.get("history", ()), {name: told for name, told in before.items() if name != "history"}]
    return {**review, "history": history[-REVIEWS_KEPT:]} if before else review


def _ask_review(job: Job, event: AskReview, now: datetime) -> Job:
    if job.control_action == "cancel":
        return _stop(job, Stop(job.control_reason or "cancelled"), now)
    review = {"reason": event.reason, "request": event.request, "at": now.isoformat()}
    if event.step is not None:
        review["step"] = event.step
    if event.expires_at is not None:
        review["expires_at"] = event.expires_at.isoformat()
    return _moved(
        job,
        now,
        JobStatus.NEEDS_REVIEW,
        **_lease_ended(job, now),
        **_NO_CONTROL,
        outcome=Outcome.REVIEW,
        review=_asked(job, review),
        start_before=event.expires_at,
        error=event.error,
        result=JobResult(success=False, error=event.reason),
    )


def _decide(job: Job, event: Decide, now: datetime) -> Job:
    asked = job.review if isinstance(job.review, dict) else {}
    decided = {"decision": event.decision, "by": event.by, "comment": event.comment, "decided_at": now.isoformat()}
    review = {**asked, **decided} if event.data is None else {**asked, **decided, "data": event.data}
    if event.decision == "reject":
        reason = event.comment or f"rejected by {event.by}"
        return _cancelled(changed(job, {"review": review, "start_before": None}), now, "REJECTED", reason)
    payload = job.payload if event.payload is None else event.payload
    return _queued(job, now, None, review=review, payload=payload, error=None, result=None, start_before=None)


def _expire_review(job: Job, event: ExpireReview, now: datetime) -> Job:
    if job.start_before is None or job.start_before > now:
        return job
    asked = job.review if isinstance(job.review, dict) else {}
    review = {**asked, "decision": "expired", "decided_at": now.isoformat()}
    message = "nobody decided before the request for review expired"
    return _cancelled(changed(job, {"review": review, "start_before": None}), now, "REVIEW_EXPIRED", message)


def _requeue(job: Job, event: Requeue, now: datetime) -> Job:
    return _queued(
        job,
        now,
        event.wake_at,
        finished_at=None,
        expire_at=None,
        result=None,
        error=None,
        retries_used=0,
        idle_slices=0,
        lease_losses=0,
        run_seconds=0.0,
        release=None,
        start_before=None,
        **{"checkpoint": job.checkpoint if event.keep_checkpoint else None, **event.given},
    )


def _let_go(job: Job, now: datetime) -> Job:
    """A job for which nothing is unmet any more: it goes on, unless somebody has to start it."""
    if not job.auto_start:
        return _moved(job, now, JobStatus.PENDING, **_NOTHING_UNMET)
    return _queued(job, now, job.start_at, **_NOTHING_UNMET, start_at=None)


def _without(job: Job, keys: frozenset[str], now: datetime) -> Job:
    """The job after some of what was unmet is so no more; the same one if none of it was."""
    left = tuple(key for key in job.unmet if key not in keys)
    if len(left) == len(job.unmet):
        return job
    if left:
        return changed(job, {"unmet": left, "updated_at": now, "revision": job.revision + 1})
    if job.status is JobStatus.PENDING:
        return _let_go(job, now)
    return changed(job, {**_NOTHING_UNMET, "updated_at": now, "revision": job.revision + 1})


def _add_dependency(job: Job, event: AddDependency, now: datetime) -> Job:
    """A job that was started already is so again when the dependency is met, and not before its delay is over."""
    depends_on = tuple(dict.fromkeys((*job.depends_on, *event.parent_ids)))
    unmet = tuple(dict.fromkeys((*job.unmet, *event.keys)))
    if len(unmet) == len(job.unmet):
        if len(depends_on) == len(job.depends_on):
            return job
        return changed(job, {"depends_on": depends_on, "updated_at": now, "revision": job.revision + 1})
    started = job.status is JobStatus.QUEUED or job.queued_at is not None
    return _moved(
        job,
        now,
        JobStatus.PENDING if job.status is JobStatus.QUEUED else job.status,
        depends_on=depends_on,
        unmet=unmet,
        waiting_since=job.waiting_since or now,
        auto_start=job.auto_start or started,
        start_at=job.queued_at if started else job.start_at,
        queued_at=None,
    )


def _remove_dependency(job: Job, event: RemoveDependency, now: datetime) -> Job:
    if event.parent_id in job.depends_on:
        left = tuple(parent_id for parent_id in job.depends_on if parent_id != event.parent_id)
        job = changed(job, {"depends_on": left, "updated_at": now, "revision": job.revision + 1})
    return job if event.key is None else _without(job, frozenset({event.key}), now)


def _dependency_met(job: Job, event: DependencyMet, now: datetime) -> Job:
    return _without(job, event.keys, now)


def _dependency_failed(job: Job, event: DependencyFailed, now: datetime) -> Job:
    if job.on_dependency_failure == "run":
        return _without(job, event.keys, now)
    reason = f"job {event.parent_id}, which it depends on, ended {event.how}"
    if job.on_dependency_failure == "cancel":
        return _cancelled(job, now, "DEPENDENCY_FAILED", reason)
    held = changed(
        job,
        {
            "auto_start": False,
            "queued_at": None,
            "error": JobError(code="DEPENDENCY_FAILED", message=f"{reason}; start it to run it all the same"),
            "updated_at": now,
            "revision": job.revision + 1,
        },
    )
    return _without(held, event.keys, now)


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
    (_Q, TakeTurn): _take_turn,
    (_Q, Defer): _defer,
    (_Q, WaitOn): _wait_on,
    (_Q, Arrive): _arrive,
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
    (_R, Suspend): _suspend,
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
    (_N, ExpireReview): _expire_review,
    (_N, RequestCancel): _cancel_waiting,
    (_N, Requeue): _requeue,
    (_F, Requeue): _requeue,
    (_X, Requeue): _requeue,
    (_P, AddDependency): _add_dependency,
    (_Q, AddDependency): _add_dependency,
    (_H, AddDependency): _add_dependency,
    (_P, RemoveDependency): _remove_dependency,
    (_Q, RemoveDependency): _remove_dependency,
    (_H, RemoveDependency): _remove_dependency,
    (_P, DependencyMet): _dependency_met,
    (_H, DependencyMet): _dependency_met,
    (_P, DependencyFailed): _dependency_failed,
    (_H, DependencyFailed): _dependency_failed,
    (_C, FinishRelease): _finish_release,
    (_F, FinishRelease): _finish_release,
    (_X, FinishRelease): _finish_release,
}


CONSEQUENCES = frozenset({DependencyMet, DependencyFailed, FinishRelease})
"""What only follows from the end of a job: nobody can ask for it."""


def allowed(status: JobStatus) -> list[str]:
    """What a job in this status can do, as verbs."""
    return [event.verb for (state, event) in TRANSITIONS if state is status and event not in CONSEQUENCES]


def transition(job: Job, event: Event, now: datetime) -> Job:
    """The job after the event; the one given is not changed.

    Raises:
        IllegalTransition: the job's status does not know the event.
    """
    rule = TRANSITIONS.get((job.status, type(event)))
    if rule is None:
        raise IllegalTransition(job.id, job.status, event.verb, allowed(job.status))
    return rule(job, event, now)
