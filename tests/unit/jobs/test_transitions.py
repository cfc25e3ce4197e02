"""The state machine: every status with every event, and what holds whatever happens."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.errors import IllegalTransition
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
from app.jobs.models import Job, JobError, JobResult, JobStatus, Outcome
from app.jobs.transitions import CONSEQUENCES, TRANSITIONS, allowed, transition

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ERROR = JobError(code="OOPS", message="it broke")
P, Q, R, H = JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED
C, F, X, N = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.NEEDS_REVIEW
EVENT_TYPES: tuple[type[Event], ...] = get_args(Event)

EVENTS: Mapping[type[Event], Event] = {
    type(event): event
    for event in (
        Start(),
        Promote(),
        Claim("w", lease_token="t", write_id="t", lease_seconds=60),
        Renew(60),
        Abandon(15),
        Complete(JobResult(success=True, data=1)),
        Fail(ERROR, JobResult(success=False, error="it broke")),
        Retry(ERROR, NOON + 10 * SECOND),
        Release(),
        Slice(),
        Suspend(NOON + 10 * SECOND),
        WaitOn(),
        Arrive("event:x"),
        Park("limit:x"),
        Unpark(),
        TakeTurn(),
        Defer(NOON + SECOND),
        LoseLease(),
        RequestCancel("c1", "no longer wanted"),
        Stop("asked to"),
        Expire(),
        RequestPause("c2", "hold on"),
        BeWatched(NOON + 60 * SECOND),
        Hold(),
        Resume(),
        AskReview("which one?", {"a": 1}),
        Decide("approve", by="ann", comment=""),
        ExpireReview(),
        Requeue(),
        AddDependency(("a",), ("a",)),
        RemoveDependency("a", "a"),
        DependencyMet(frozenset({"a"})),
        DependencyFailed("a", "failed", frozenset({"a"})),
        FinishRelease(),
    )
}

EXPECTED: Mapping[JobStatus, Mapping[type[Event], JobStatus]] = {
    P: {
        Start: Q,
        RequestCancel: X,
        RequestPause: H,
        Expire: X,
        AddDependency: P,
        RemoveDependency: P,
        DependencyMet: P,
        DependencyFailed: X,
    },
    Q: {
        Promote: Q,
        Claim: R,
        Park: Q,
        Unpark: Q,
        TakeTurn: Q,
        Defer: Q,
        WaitOn: Q,
        Arrive: Q,
        RequestCancel: X,
        RequestPause: H,
        Expire: X,
        AddDependency: P,
        RemoveDependency: Q,
    },
    R: {
        Renew: R,
        Abandon: R,
        Complete: C,
        Fail: F,
        Retry: Q,
        Release: Q,
        Slice: Q,
        Suspend: Q,
        Park: Q,
        LoseLease: Q,
        RequestCancel: R,
        Stop: X,
        RequestPause: R,
        BeWatched: R,
        Hold: Q,
        Resume: R,
        AskReview: N,
    },
    H: {
        Resume: Q,
        RequestCancel: X,
        AddDependency: H,
        RemoveDependency: H,
        DependencyMet: H,
        DependencyFailed: X,
    },
    C: {FinishRelease: C},
    F: {Requeue: Q, FinishRelease: F},
    X: {Requeue: Q, FinishRelease: X},
    N: {Decide: Q, ExpireReview: N, RequestCancel: X, Requeue: Q},
}

CLAIM = Claim("w", lease_token="t", write_id="t", lease_seconds=60)
WAYS: Mapping[JobStatus, tuple[Event, ...]] = {
    P: (),
    Q: (Start(),),
    R: (Start(), CLAIM),
    H: (Start(), RequestPause("c0", "")),
    C: (Start(), CLAIM, Complete(JobResult(success=True))),
    F: (Start(), CLAIM, Fail(ERROR, JobResult(success=False))),
    X: (RequestCancel("c0", "unwanted"),),
    N: (Start(), CLAIM, AskReview("which one?", None)),
}


def job_in(status: JobStatus, **fields: Any) -> Job:
    """A job that came to this status by the table itself."""
    job = Job(id="j", type="t", created_at=NOON, updated_at=NOON, **fields)
    for event in WAYS[status]:
        job = transition(job, event, NOON)
    return job


def running(*events: Event, **fields: Any) -> Job:
    """A running job to which these events happened."""
    job = job_in(R, **fields)
    for event in events:
        job = transition(job, event, NOON)
    return job


def check(job: Job) -> None:
    """What holds for every job in every state."""
    waiting = [job.ready_at, job.wake_at, job.parked_on]
    lease = [job.worker_id, job.lease_token, job.lease_started_at, job.lease_expires_at]
    control = [job.control_id, job.control_action, job.control_reason, job.control_at]
    assert sum(each is not None for each in waiting) == (job.status is Q)
    assert all(each is not None for each in lease) if job.status is R else lease == [None] * 4
    assert job.status is R or control == [None] * 4
    assert (job.finished_at is not None) == job.is_terminal
    assert not job.is_terminal or job.result is not None
    assert job.status is not C or (job.error is None and job.result is not None and job.result.success)
    assert job.status not in (F, X) or (job.error is not None and job.result is not None and not job.result.success)
    assert job.status is not N or isinstance(job.review, dict)
    releases = ("pending", "done") if job.is_terminal and job.has_dependents else (None,)
    assert job.release in releases
    assert (job.attempt > 0) == (job.started_at is not None)
    assert bool(job.unmet) == (job.waiting_since is not None)
    assert not job.unmet or job.status in (P, H)


# --- the table ---------------------------------------------------------------------------------------


def test_there_is_a_sample_of_every_event_and_a_way_to_every_status() -> None:
    assert set(EVENTS) == set(EVENT_TYPES)
    assert set(WAYS) == set(EXPECTED) == set(JobStatus)


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
def test_every_status_with_every_event(status: JobStatus, kind: type[Event]) -> None:
    job = job_in(status)
    expected = EXPECTED[status].get(kind)
    if expected is None:
        with pytest.raises(IllegalTransition) as refused:
            transition(job, EVENTS[kind], NOON)
        assert f"job j is {status} and cannot {kind.verb}; from {status} it can: " in str(refused.value)
        assert (refused.value.field, refused.value.event) == ("job_id", kind.verb)
        return
    after = transition(job, EVENTS[kind], NOON + SECOND)
    assert after.status is expected
    check(after)


@pytest.mark.parametrize("status", JobStatus)
def test_a_refusal_lists_what_the_status_allows(status: JobStatus) -> None:
    verbs = {kind.verb for kind in EXPECTED[status] if kind not in CONSEQUENCES}
    assert set(allowed(status)) == verbs
    kind = next(kind for kind in EVENT_TYPES if kind not in EXPECTED[status])
    with pytest.raises(IllegalTransition, match=f"it can: {', '.join(sorted(verbs)) or 'nothing'}$"):
        transition(job_in(status), EVENTS[kind], NOON)


def test_the_table_names_no_pair_twice_over_what_is_expected() -> None:
    assert {(status, kind) for status, kinds in EXPECTED.items() for kind in kinds} == set(TRANSITIONS)


# --- whatever happens --------------------------------------------------------------------------------

CHOICES: Mapping[type[Event], st.SearchStrategy[Event]] = {
    Start: st.builds(Start, st.none() | st.timedeltas(-10 * SECOND, 100 * SECOND).map(lambda d: NOON + d)),
    Claim: st.builds(Claim, st.sampled_from("vw"), st.uuids().map(str), st.uuids().map(str), st.just(60.0)),
    Abandon: st.builds(Abandon, st.just(15.0), st.none() | st.just(ERROR)),
    Complete: st.builds(Complete, st.just(JobResult(success=True)), st.booleans()),
    Retry: st.builds(Retry, st.just(ERROR), st.timedeltas(-10 * SECOND, 100 * SECOND).map(lambda d: NOON + d)),
    Slice: st.builds(Slice, st.none() | st.timedeltas(-10 * SECOND, 100 * SECOND).map(lambda d: NOON + d)),
    Decide: st.builds(
        Decide,
        st.sampled_from(("approve", "edit", "reject")),
        st.just("ann"),
        st.just(""),
        st.none() | st.just({"b": 2}),
    ),
    Requeue: st.builds(Requeue, st.booleans()),
    AddDependency: st.sampled_from("ab").map(lambda key: AddDependency((key,), (key,))),
    RemoveDependency: st.sampled_from("ab").map(lambda key: RemoveDependency(key, key)),
    DependencyMet: st.sampled_from("ab").map(lambda key: DependencyMet(frozenset({key}))),
    DependencyFailed: st.sampled_from("ab").map(lambda key: DependencyFailed(key, "failed", frozenset({key}))),
    AskReview: st.builds(AskReview, st.just("?"), st.just(None), st.none() | st.just(ERROR)),
}
STEPS = st.tuples(
    st.integers(0, 10_000), st.sampled_from(list(EVENTS)).flatmap(lambda kind: CHOICES.get(kind, st.just(EVENTS[kind])))
)
JOBS = st.builds(
    Job,
    id=st.just("j"),
    type=st.just("t"),
    created_at=st.just(NOON),
    updated_at=st.just(NOON),
    idempotent=st.booleans(),
    max_retries=st.integers(0, 2),
    max_lease_losses=st.integers(0, 2),
    has_dependents=st.booleans(),
    on_dependency_failure=st.sampled_from(("cancel", "run", "hold")),
    start_before=st.none() | st.just(NOON + 5 * SECOND),
    payload=st.just({"list": [1, [2]]}),
)


@given(JOBS, st.lists(STEPS, max_size=40))
@settings(max_examples=150, deadline=None)
def test_what_holds_whatever_happens(job: Job, steps: list[tuple[int, Event]]) -> None:
    now = NOON
    for milliseconds, event in steps:
        now += timedelta(milliseconds=milliseconds)
        # Most random events are illegal; those that are not keep the walk going.
        legal = TRANSITIONS.keys() & {(job.status, type(event))}
        before = copy.deepcopy(job)
        if not legal:
            with pytest.raises(IllegalTransition):
                transition(job, event, now)
            assert job == before
            continue
        after = transition(job, event, now)
        assert job == before, "the job that was given has changed"
        assert transition(job, event, now) == after, "the same question has another answer"
        check(after)
        assert after.attempt == job.attempt + (after.status is R and job.status is Q)
        assert after.revision >= job.revision + (after.status is not job.status)
        assert after.updated_at >= job.updated_at
        assert job.started_at in (None, after.started_at)
        if not isinstance(event, Requeue):
            assert after.retries_used >= job.retries_used
            assert after.lease_losses >= job.lease_losses
            assert after.run_seconds >= job.run_seconds
        job = after


@given(JOBS)
def test_a_lease_is_lost_only_so_often(job: Job) -> None:
    """Given a job that kills every worker, when it is claimed again and again, then it ends."""
    now = NOON
    job = transition(job.model_copy(update={"start_before": None}), Start(), now)
    claims = 0
    while job.status is Q:
        now += 60 * SECOND
        job = transition(transition(job, CLAIM, now), LoseLease(), now)
        claims += 1
    assert (job.status, claims) == ((F, job.max_lease_losses + 1) if job.idempotent else (N, 1))


# --- where a queued job waits ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wake_at", "ready_at", "still_delayed"),
    [(None, NOON, None), (NOON, NOON, None), (NOON - SECOND, NOON, None), (NOON + SECOND, None, NOON + SECOND)],
)
@pytest.mark.parametrize("by", [Start, Retry, Slice], ids=lambda kind: kind.__name__)
def test_a_delay_counts_only_if_it_lies_ahead(
    by: type[Event], wake_at: datetime | None, ready_at: datetime | None, still_delayed: datetime | None
) -> None:
    if by is Retry:
        after = transition(job_in(R), Retry(ERROR, wake_at or NOON), NOON)
    else:
        after = transition(job_in(P if by is Start else R), by(wake_at), NOON)  # type: ignore[call-arg, arg-type]
    assert (after.ready_at, after.wake_at) == (ready_at, still_delayed)
    assert after.queued_at == (ready_at or still_delayed)


def test_a_delay_that_is_over_keeps_its_place_in_the_queue() -> None:
    waiting = transition(job_in(P), Start(NOON + 5 * SECOND), NOON)
    early = transition(waiting, Promote(), NOON + 4 * SECOND)
    on_time = transition(waiting, Promote(), NOON + 5 * SECOND)
    late = transition(waiting, Promote(), NOON + 9 * SECOND)
    assert early is waiting
    assert on_time.ready_at == NOON + 5 * SECOND
    assert (late.ready_at, late.wake_at, late.revision) == (NOON + 5 * SECOND, None, waiting.revision)


@pytest.mark.parametrize("status", [Q, R])
def test_a_parked_job_waits_for_what_it_is_parked_on(status: JobStatus) -> None:
    """Let go, it has its old place in the line, and says since when it could run."""
    parked = transition(job_in(status), Park("limit:gpu"), NOON)
    freed = transition(parked, Unpark(), NOON + SECOND)
    assert (parked.parked_on, parked.ready_at, parked.retries_used, parked.lease_losses) == ("limit:gpu", None, 0, 0)
    assert (freed.parked_on, freed.ready_at, freed.queued_at) == (None, freed.created_at, NOON + SECOND)
    assert transition(freed, Unpark(), NOON + 2 * SECOND) is freed


@pytest.mark.parametrize(
    ("way", "wake_at", "status"),
    [
        ((), None, P),
        ((Start(),), None, Q),
        ((Start(NOON + 60 * SECOND),), NOON + 60 * SECOND, Q),
        ((Start(), Park("limit:gpu")), None, Q),
        ((Start(), CLAIM, EVENTS[RequestPause], Hold()), None, Q),
    ],
    ids=["held", "ready", "delayed", "parked", "running"],
)
def test_a_paused_job_goes_on_where_it_was(way: tuple[Event, ...], wake_at: datetime | None, status: JobStatus) -> None:
    """Given a pause in any place, when it is resumed, then a held job is held, and a delay that is not over goes on."""
    job = job_in(P)
    for event in way:
        job = transition(job, event, NOON)
    if job.status is not H:
        job = transition(job, EVENTS[RequestPause], NOON)
    resumed = transition(job, Resume(), NOON + 10 * SECOND)
    assert (resumed.status, resumed.wake_at) == (status, wake_at)
    check(resumed)


# --- claims ------------------------------------------------------------------------------------------


def test_a_claim_begins_a_lease_and_forgets_old_requests() -> None:
    job = transition(job_in(Q), Claim("w1", lease_token="t1", write_id="w-1", lease_seconds=60), NOON)
    assert (job.attempt, job.worker_id, job.lease_token, job.write_id) == (1, "w1", "t1", "w-1")
    assert (job.started_at, job.lease_started_at, job.lease_expires_at) == (NOON, NOON, NOON + 60 * SECOND)
    later = transition(transition(job, Release(), NOON + SECOND), CLAIM, NOON + 2 * SECOND)
    assert (later.attempt, later.started_at, later.lease_started_at) == (2, NOON, NOON + 2 * SECOND)


@pytest.mark.parametrize(("attempts_before", "late_by", "status"), [(0, -1, R), (0, 0, R), (0, 1, X), (1, 1, R)])
def test_a_job_not_begun_in_time_ends_when_it_is_claimed(attempts_before: int, late_by: int, status: JobStatus) -> None:
    job = job_in(Q, start_before=NOON + 60 * SECOND).model_copy(update={"attempt": attempts_before})
    after = transition(job, CLAIM, NOON + (60 + late_by) * SECOND)
    assert after.status is status
    if status is X:
        assert after.error is not None
        assert (after.error.code, after.error.message, after.attempt) == ("EXPIRED", "expired", attempts_before)


def test_a_retry_by_hand_starts_afresh_but_counts_leases_on() -> None:
    failed = running(Fail(ERROR, JobResult(success=False)), checkpoint={"page": 3}, start_before=NOON + SECOND)
    spent = failed.model_copy(update={"retries_used": 3, "lease_losses": 2, "run_seconds": 9.0})
    again = transition(spent, Requeue(), NOON + 60 * SECOND)
    assert (again.retries_used, again.lease_losses, again.run_seconds, again.attempt) == (0, 0, 0.0, 1)
    assert (again.result, again.error, again.finished_at, again.expire_at, again.start_before) == (None,) * 5
    assert again.checkpoint == {"page": 3}
    assert transition(spent, Requeue(keep_checkpoint=False), NOON).checkpoint is None


# --- the ends of a lease -----------------------------------------------------------------------------

GIVING_BACK: tuple[Event, ...] = (
    Retry(ERROR, NOON + 10 * SECOND),
    Release(),
    Slice(NOON + SECOND),
    Park("limit:x"),
    Hold(),
)


@pytest.mark.parametrize("giving_back", [*GIVING_BACK, LoseLease()], ids=lambda event: type(event).__name__)
@pytest.mark.parametrize(
    ("asked", "status"),
    [((), Q), ((EVENTS[RequestCancel],), X), ((EVENTS[RequestPause],), H)],
    ids=["-", "cancel", "pause"],
)
def test_what_was_asked_meanwhile_is_obeyed_when_a_lease_goes_back(
    giving_back: Event, asked: tuple[Event, ...], status: JobStatus
) -> None:
    after = transition(running(*asked), giving_back, NOON + SECOND)
    assert after.status is status
    if status is X:
        assert after.error is not None
        assert (after.error.code, after.error.message) == ("CANCELLED", "no longer wanted")
    check(after)


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (Complete(JobResult(success=True)), C),
        (Fail(ERROR, JobResult(success=False)), F),
        (AskReview("?", None), X),
        (Hold(), X),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, JobStatus) else str(value),
)
def test_a_job_that_ends_in_spite_of_a_cancel(event: Event, status: JobStatus) -> None:
    """Given a cancel nobody obeyed yet, then work that is done is done, and work that would wait is cancelled."""
    assert transition(running(EVENTS[RequestCancel]), event, NOON).status is status


def test_a_pause_never_replaces_a_cancel_but_a_cancel_replaces_a_pause() -> None:
    cancelled = running(EVENTS[RequestCancel], EVENTS[RequestPause])
    paused_first = running(EVENTS[RequestPause], EVENTS[RequestCancel])
    assert (cancelled.control_action, cancelled.control_id) == ("cancel", "c1")
    assert (paused_first.control_action, paused_first.control_id) == ("cancel", "c1")


def test_a_pause_that_was_not_obeyed_yet_can_be_taken_back_but_a_cancel_cannot() -> None:
    assert running(EVENTS[RequestPause], Resume()).control_action is None
    assert running(EVENTS[RequestCancel], Resume()).control_action == "cancel"


@pytest.mark.parametrize("event", [EVENTS[RequestCancel], EVENTS[RequestPause]], ids=["cancel", "pause"])
def test_requests_to_a_holder_touch_none_of_its_fields(event: Event) -> None:
    before = job_in(R)
    after = transition(before, event, NOON + SECOND)
    changed = {name for name in Job.model_fields if getattr(before, name) != getattr(after, name)}
    assert changed == {"control_id", "control_action", "control_reason", "control_at"}


@pytest.mark.parametrize(
    ("event", "outcome", "retries", "slices"),
    [
        (Complete(JobResult(success=True)), Outcome.COMPLETED, 0, 0),
        (Complete(JobResult(success=True), skipped=True), Outcome.SKIPPED, 0, 0),
        (Fail(ERROR, JobResult(success=False)), Outcome.FAILED, 0, 0),
        (Retry(ERROR, NOON), Outcome.RETRIED, 1, 0),
        (Release(), Outcome.RELEASED, 0, 0),
        (Slice(), Outcome.SLICED, 0, 1),
        (Park("limit:x"), Outcome.PARKED, 0, 0),
        (LoseLease(), Outcome.LEASE_LOST, 0, 0),
        (Stop("asked to"), Outcome.CANCELLED, 0, 0),
        (Hold(), Outcome.PAUSED, 0, 0),
        (AskReview("?", None), Outcome.REVIEW, 0, 0),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, Outcome | int) else "",
)
def test_how_a_lease_ended_and_what_it_counts_as(event: Event, outcome: Outcome, retries: int, slices: int) -> None:
    after = transition(job_in(R), event, NOON + 7 * SECOND)
    assert (after.outcome, after.retries_used, after.slices) == (outcome, retries, slices)
    assert after.lease_losses == (outcome is Outcome.LEASE_LOST)
    assert after.run_seconds == 7.0


# --- lost leases -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("losses", "limit", "status"), [(0, 3, Q), (2, 3, Q), (3, 3, F), (0, 0, F)])
def test_a_poison_job_fails_once_it_lost_too_many_leases(losses: int, limit: int, status: JobStatus) -> None:
    job = running(max_lease_losses=limit).model_copy(update={"lease_losses": losses})
    after = transition(job, LoseLease(), NOON + 60 * SECOND)
    assert (after.status, after.lease_losses, after.retries_used) == (status, losses + 1, 0)
    if status is F:
        assert after.error is not None
        assert after.error.code == "LEASE_EXPIRED"


def test_a_lost_lease_is_noted_in_the_recovery_history() -> None:
    job = running(metadata={"owner": "ann"})
    once = transition(job, LoseLease(), NOON + 60 * SECOND)
    twice = transition(transition(once, CLAIM, NOON + 61 * SECOND), LoseLease(), NOON + 121 * SECOND)
    assert twice.metadata["owner"] == "ann"
    assert [(note["attempt"], note["worker_id"]) for note in twice.metadata["recovery_history"]] == [(1, "w"), (2, "w")]
    assert job.metadata == {"owner": "ann"}


def test_a_job_that_must_not_run_twice_waits_for_a_person() -> None:
    after = transition(running(idempotent=False), LoseLease(), NOON + 60 * SECOND)
    assert (after.status, after.lease_losses) == (N, 1)
    assert after.review["reason"] == "lease expired"
    check(after)


@pytest.mark.parametrize(
    ("error", "retries_before", "status", "retries", "outcome"),
    [
        (None, 0, Q, 0, Outcome.RELEASED),
        (None, 3, Q, 3, Outcome.RELEASED),
        (ERROR, 0, Q, 1, Outcome.RETRIED),
        (ERROR, 3, F, 4, Outcome.RETRIED),
    ],
    ids=["uncounted", "uncounted, retries used up", "counted", "counted, retries used up"],
)
def test_an_abandoned_lease_is_no_loss(
    error: JobError | None, retries_before: int, status: JobStatus, retries: int, outcome: Outcome
) -> None:
    """Given a handler that would not stop, when its short lease runs out, then only a timeout counts: as a retry."""
    job = running(max_retries=3).model_copy(update={"retries_used": retries_before})
    abandoned = transition(job, Abandon(15, error), NOON)
    assert (abandoned.status, abandoned.lease_expires_at) == (R, NOON + 15 * SECOND)
    after = transition(abandoned, LoseLease(), NOON + 16 * SECOND)
    assert (after.status, after.lease_losses, after.retries_used, after.outcome) == (status, 0, retries, outcome)
    if status is F:
        assert after.error == ERROR


@pytest.mark.parametrize("error", [None, ERROR], ids=["uncounted", "counted"])
@pytest.mark.parametrize(
    ("idempotent", "cancelled", "status", "outcome"),
    [
        (True, True, X, Outcome.CANCELLED),
        (False, True, X, Outcome.CANCELLED),
        (False, False, N, Outcome.REVIEW),
    ],
)
def test_an_abandoned_lease_whose_job_does_not_go_on_is_no_retry(
    error: JobError | None, idempotent: bool, cancelled: bool, status: JobStatus, outcome: Outcome
) -> None:
    job = transition(running(idempotent=idempotent), Abandon(15, error), NOON)
    if cancelled:
        job = transition(job, RequestCancel("c", "too long"), NOON)
    after = transition(job, LoseLease(), NOON + 16 * SECOND)
    assert (after.status, after.outcome, after.retries_used, after.lease_losses) == (status, outcome, 0, 0)


# --- reviews -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "payload", "status", "payload_after"),
    [("approve", None, Q, {"a": 1}), ("edit", {"a": 2}, Q, {"a": 2}), ("reject", None, X, {"a": 1})],
)
def test_a_person_decides(
    decision: Any, payload: dict[str, Any] | None, status: JobStatus, payload_after: dict[str, Any]
) -> None:
    waiting = running(AskReview("which one?", {"options": [1, 2]}), payload={"a": 1})
    decided = replace(Decide("approve", "ann", "looks right"), decision=decision, payload=payload)
    after = transition(waiting, decided, NOON + SECOND)
    assert (after.status, after.payload) == (status, payload_after)
    assert after.review["request"] == {"options": [1, 2]}
    assert (after.review["decision"], after.review["by"], after.review["comment"]) == (decision, "ann", "looks right")
    if status is X:
        assert after.error is not None
        assert (after.error.code, after.error.message) == ("REJECTED", "looks right")


# --- waiting with nobody holding it ------------------------------------------------------------------


WAITS = Suspend(NOON + 60 * SECOND, "event:paid", NOON + 15 * SECOND)
ANY_TIME = Suspend(None, "event:paid", NOON + 15 * SECOND)


def test_a_sleeping_job_is_delayed_and_nothing_is_counted() -> None:
    job = running(Suspend(NOON + 60 * SECOND))
    assert (job.status, job.wake_at, job.waiting_for) == (Q, NOON + 60 * SECOND, None)
    assert (job.retries_used, job.slices, job.outcome) == (0, 0, Outcome.SUSPENDED)


@pytest.mark.parametrize(
    ("event", "then"), [(WAITS, {"wake_at": NOON + 60 * SECOND}), (ANY_TIME, {"parked_on": "event:paid"})]
)
def test_a_job_that_waits_looks_again_soon_and_then_waits_on(event: Suspend, then: dict[str, Any]) -> None:
    job = running(event)
    assert (job.wake_at, job.parked_on, job.waiting_for) == (NOON + 15 * SECOND, None, "event:paid")
    job = transition(job, WaitOn(), NOON)
    assert {"wake_at": job.wake_at, "parked_on": job.parked_on} == {"wake_at": None, "parked_on": None, **then}
    assert job.waiting_for == "event:paid"
    assert transition(job, Arrive("event:other"), NOON) is job
    told = transition(job, Arrive("event:paid"), NOON)
    assert (told.ready_at, told.wake_at, told.parked_on, told.waiting_for) == (NOON, None, None, None)
    assert transition(told, WaitOn(), NOON) is told
    for state in (job, told):
        check(state)


def test_who_waits_no_longer_than_the_next_look_is_delayed_until_then() -> None:
    job = running(Suspend(NOON + 5 * SECOND, "event:paid", NOON + 15 * SECOND))
    assert job.wake_at == NOON + 5 * SECOND


def test_a_wait_that_is_over_waits_for_nothing() -> None:
    job = transition(running(WAITS), Promote(), NOON + 60 * SECOND)
    assert (job.ready_at, job.waiting_for) == (NOON + 15 * SECOND, None)


@pytest.mark.parametrize("event", [WAITS, ANY_TIME, Suspend(NOON + 60 * SECOND)])
def test_what_others_asked_of_a_holder_outweighs_its_wait(event: Suspend) -> None:
    paused = running(RequestPause("c", ""), event)
    assert (paused.status, paused.waiting_for) == (H, None)
    assert running(RequestCancel("c", ""), event).status is X


@pytest.mark.parametrize("event", [WAITS, ANY_TIME])
def test_a_waiting_job_that_was_paused_looks_again_when_it_is_resumed(event: Suspend) -> None:
    """An event may have come meanwhile, and nobody told a job that was paused."""
    paused = transition(running(event), RequestPause("c", ""), NOON)
    assert paused.waiting_for is None
    assert transition(paused, Resume(), NOON).ready_at == NOON


def test_a_sleeping_job_that_was_paused_sleeps_on() -> None:
    paused = transition(running(Suspend(NOON + 60 * SECOND)), RequestPause("c", ""), NOON)
    assert transition(paused, Resume(), NOON).wake_at == NOON + 60 * SECOND


def test_slices_without_anything_new_are_counted_in_a_row() -> None:
    job = running(Slice(is_idle=True))
    assert job.idle_slices == 1
    job = transition(transition(job, CLAIM, NOON), Slice(is_idle=True), NOON)
    assert (job.idle_slices, job.slices) == (2, 2)
    job = transition(transition(job, CLAIM, NOON), Slice(), NOON)
    assert (job.idle_slices, job.slices) == (0, 3)


# --- reviews -----------------------------------------------------------------------------------------


def test_every_request_and_decision_is_kept() -> None:
    job = running(AskReview("first?", 1, step="a"))
    job = transition(job, Decide("approve", "ann", "fine", data={"choice": 1}), NOON)
    job = transition(transition(job, CLAIM, NOON), AskReview("second?", 2, step="b"), NOON)
    job = transition(job, Decide("reject", "bob", "no"), NOON)
    assert job.review["reason"] == "second?"
    assert (job.review["decision"], job.review["by"]) == ("reject", "bob")
    (first,) = job.review["history"]
    assert (first["reason"], first["step"], first["decision"], first["data"]) == (
        "first?",
        "a",
        "approve",
        {"choice": 1},
    )
    assert "history" not in first


def test_a_request_expires_when_its_time_has_come() -> None:
    job = running(AskReview("well?", None, expires_at=NOON + SECOND))
    assert job.start_before == NOON + SECOND
    assert transition(job, ExpireReview(), NOON) is job
    expired = transition(job, ExpireReview(), NOON + SECOND)
    assert expired.error is not None
    assert (expired.status, expired.error.code, expired.review["decision"]) == (X, "REVIEW_EXPIRED", "expired")
    assert expired.start_before is None
    approved = transition(job, Decide("approve", "ann", ""), NOON)
    assert approved.start_before is None
