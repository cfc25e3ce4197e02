"""Every error of the engine, and the signals that a handler may raise.

Each message says what was wrong, with which value, and what to do. `code` is the stable name that
records, commands and HTTP answers carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar


class TorporError(Exception):
    """Base of everything that the engine refuses or reports."""

    code: ClassVar[str] = "TORPOR_ERROR"


# --- refused before anything is written --------------------------------------------------------------


class BadInput(TorporError):
    """An argument that cannot be accepted. `field` names it, in the words of the API."""

    code: ClassVar[str] = "BAD_INPUT"

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{field}: {problem}; {remedy}")


class PayloadInvalid(BadInput):
    """The payload does not fit the job type's model."""

    code: ClassVar[str] = "PAYLOAD_INVALID"


class TooLarge(BadInput):
    """User data over its limit."""

    code: ClassVar[str] = "TOO_LARGE"

    def __init__(self, field: str, size: int, limit: int) -> None:
        super().__init__(
            field, f"{size:,} bytes, over the limit of {limit:,}", "keep large data elsewhere and pass its address"
        )


class UnknownJobType(BadInput):
    """No handler is registered under that name."""

    code: ClassVar[str] = "UNKNOWN_JOB_TYPE"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        there = ", ".join(sorted(known)) or "none"
        super().__init__("type", f"no job type is called {name!r}", f"registered: {there}")


class DuplicateJobType(BadInput):
    """Two handlers under one name."""

    code: ClassVar[str] = "DUPLICATE_JOB_TYPE"

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__("type", f"{name!r} is registered by {first} and again by {second}", "rename one of them")


class IdempotencyConflict(BadInput):
    """The key belongs to a job with another type or payload."""

    code: ClassVar[str] = "IDEMPOTENCY_CONFLICT"

    def __init__(
        self,
        key: str,
        job_id: str,
        differs: str,
        field: str = "idempotency_key",
        *,
        holder: str = "job",
        remedy: str = "use another key, or create the job with the same arguments",
    ) -> None:
        self.job_id = job_id
        super().__init__(field, f"{key!r} belongs to {holder} {job_id}, whose {differs} differs", remedy)


class JobNotFound(BadInput):
    """No job has that id."""

    code: ClassVar[str] = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__("job_id", f"there is no job {job_id[:200]!r}", "list the jobs to see which there are")


class ScheduleNotFound(BadInput):
    """No schedule has that name."""

    code: ClassVar[str] = "SCHEDULE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("name", f"there is no schedule {name[:200]!r}", "list the schedules to see which there are")


class BatchNotFound(BadInput):
    """No batch has that id."""

    code: ClassVar[str] = "BATCH_NOT_FOUND"

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        super().__init__("batch_id", f"there is no batch {batch_id[:200]!r}", "list the batches to see which there are")


class IllegalTransition(BadInput):
    """The job's state does not allow what was asked."""

    code: ClassVar[str] = "ILLEGAL_TRANSITION"

    def __init__(self, job_id: str, status: str, event: str, allowed: Iterable[str]) -> None:
        self.job_id = job_id
        self.status = status
        self.event = event
        there = ", ".join(sorted(allowed)) or "nothing"
        super().__init__("job_id", f"job {job_id} is {status} and cannot {event}", f"from {status} it can: {there}")


class RevisionChanged(BadInput):
    """The job is not in the revision any more that the caller knows."""

    code: ClassVar[str] = "REVISION_CHANGED"

    def __init__(self, job_id: str, wanted: int, revision: int) -> None:
        self.job_id = job_id
        self.revision = revision
        super().__init__(
            "revision", f"job {job_id} is at revision {revision}, not {wanted}", "look at the job again, then decide"
        )


class DependencyCycle(BadInput):
    """The job would wait for itself."""

    code: ClassVar[str] = "DEPENDENCY_CYCLE"

    def __init__(self, path: Sequence[str]) -> None:
        self.path = tuple(path)
        shown = [*self.path[:10], "...", *self.path[-10:]] if len(self.path) > 25 else self.path
        super().__init__("dependencies", f"a cycle: {' -> '.join(shown)}", "leave one of these dependencies out")


class NoHandler(BadInput):
    """A job that nothing here can run."""

    code: ClassVar[str] = "NO_HANDLER"

    def __init__(self, name: str) -> None:
        super().__init__(
            "type", f"nothing is registered to run {name!r}", "register a handler with @job, or name its package"
        )


class NoEngine(TorporError):
    """A function that needs an engine was called where none is bound."""

    code: ClassVar[str] = "NO_ENGINE"

    def __init__(self) -> None:
        super().__init__("no engine is bound here; call app.bootstrap.use_engine(store) first")


class RunningLoop(TorporError):
    """The blocking manager was used inside a running event loop."""

    code: ClassVar[str] = "RUNNING_LOOP"

    def __init__(self) -> None:
        super().__init__("JobManager would block the running event loop; use AsyncJobManager here")


class ManagerClosed(TorporError):
    """The blocking manager was closed before or while it was asked."""

    code: ClassVar[str] = "MANAGER_CLOSED"

    def __init__(self) -> None:
        super().__init__("the manager is closed; what was asked may have been done: look it up with another manager")


# --- what befalls a holder ---------------------------------------------------------------------------


class LeaseLost(TorporError):
    """The lease is not this holder's any more: stop, and write nothing."""

    code: ClassVar[str] = "LEASE_LOST"

    def __init__(self, job_id: str, why: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id}: {why}; this attempt can change nothing any more")


class LockTaken(TorporError):
    """Another job has a lock, and the handler wanted to be told."""

    code: ClassVar[str] = "LOCK_TAKEN"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"another job has the lock {name[:200]!r}; wait for it, or try again later")


class AttemptTimeout(TorporError):
    """An attempt ran longer than its `timeout_seconds`."""

    code: ClassVar[str] = "TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the attempt ran longer than its timeout of {seconds:g} s; raise timeout_seconds or do less")


class HandlerExit(TorporError):
    """A handler tried to end its process."""

    code: ClassVar[str] = "HANDLER_EXIT"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"the handler tried to end its process ({type(error).__name__}: {error}); let it return, or raise an error"
        )


class ResultInvalid(TorporError):
    """What the handler returned cannot be stored."""

    code: ClassVar[str] = "RESULT_INVALID"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the handler's result cannot be stored: {problem}; return JSON values")


class Unreadable(TorporError):
    """Stored user data that cannot be read back."""

    code: ClassVar[str] = "UNREADABLE"

    def __init__(self, job_id: str, field: str, cause: Exception) -> None:
        super().__init__(
            f"job {job_id}: its {field} cannot be read ({type(cause).__name__}); "
            "is the codec, or its key, the one it was written with?"
        )


class LeaseExpired(TorporError):
    """Too many leases of one job expired: its handler probably kills its worker."""

    code: ClassVar[str] = "LEASE_EXPIRED"

    def __init__(self, losses: int) -> None:
        super().__init__(f"{losses} leases expired without a word from their holders; see the run history for when")


# --- what a handler may raise ------------------------------------------------------------------------

LONGEST_DELAY_SECONDS = 10 * 366 * 86400.0
"""No job is put off for longer than ten years."""


def _check_delay(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise BadInput("seconds", f"{seconds:g} is not a delay", "give seconds from 0 up to ten years")


class HandlerSignal(TorporError):
    """Raised by a handler to end its attempt in a certain way; not a failure of the engine."""


class RetryLater(HandlerSignal):
    """Try again after `seconds`, whatever the retry policy's delay; counts as a retry."""

    code: ClassVar[str] = "RETRY_LATER"

    def __init__(self, seconds: float, message: str = "the handler asked to be tried later") -> None:
        _check_delay(seconds)
        self.seconds = seconds
        super().__init__(message)


class ContinueLater(HandlerSignal):
    """End this slice and go on after `seconds` from the checkpoint; counts as neither retry nor failure."""

    code: ClassVar[str] = "CONTINUE_LATER"

    def __init__(self, seconds: float = 0.0, checkpoint: object = None) -> None:
        _check_delay(seconds)
        self.seconds = seconds
        self.checkpoint = checkpoint
        super().__init__(f"goes on in {seconds:g} s")


class Cancel(HandlerSignal):
    """End the job as CANCELLED."""

    code: ClassVar[str] = "CANCELLED"

    def __init__(self, reason: str = "the handler cancelled the job") -> None:
        self.reason = reason
        super().__init__(reason)


class PermanentError(HandlerSignal):
    """Fail the job now: trying again cannot help."""

    code: ClassVar[str] = "PERMANENT_ERROR"


class EventTimeout(PermanentError, TimeoutError):
    """An event did not come in the time that a handler was willing to wait."""

    code: ClassVar[str] = "EVENT_TIMEOUT"

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__(f"job {job_id}: no event {name!r} came in time; catch EventTimeout to go on without it")


class NoProgress(TorporError):
    """A job's time was up again and again before it had recorded anything new."""

    code: ClassVar[str] = "NO_PROGRESS"

    def __init__(self, job_id: str, slices: int) -> None:
        super().__init__(
            f"job {job_id}: time was up in {slices} slices in a row before it had saved a new checkpoint or step; "
            "save checkpoints more often, make its steps smaller, or give its worker more time"
        )


class OnceTaken(TorporError):
    """Another job took over a key while a function was at work for it."""

    code: ClassVar[str] = "ONCE_TAKEN"

    def __init__(self, job_id: str, key: str) -> None:
        super().__init__(
            f"job {job_id}: key {key!r:.200} is another job's now, because this one's lease seemed dead; "
            "try again for what that one's function returns"
        )


class StepNameTwice(PermanentError):
    """A handler called two steps of one name in one attempt."""

    code: ClassVar[str] = "STEP_NAME_TWICE"

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__(
            f"job {job_id}: its handler called a step named {name!r} twice in one attempt; "
            "give each a name of its own, such as with the number of the round"
        )


class StepsChanged(PermanentError):
    """The handler calls other steps than the ones that are recorded: its code changed under a running job."""

    code: ClassVar[str] = "STEPS_CHANGED"

    def __init__(self, job_id: str, number: int, recorded: str, called: str) -> None:
        super().__init__(
            f"job {job_id}: call {number} of a step is named {called!r} now and was recorded as {recorded!r}; run it "
            "with the code that recorded it, add new steps behind the others, or retry the job from a step before it"
        )


class ReviewNeeded(HandlerSignal):
    """Stop and wait for a person. `request` is what is asked, any JSON value."""

    code: ClassVar[str] = "NEEDS_REVIEW"

    def __init__(self, reason: str, request: object = None) -> None:
        self.reason = reason
        self.request = request
        super().__init__(reason)


class WaitTimeout(TorporError, TimeoutError):
    """A job did not end in the time somebody was willing to wait."""

    code: ClassVar[str] = "WAIT_TIMEOUT"

    def __init__(self, job_id: str, seconds: float, status: str) -> None:
        super().__init__(f"job {job_id} is still {status} after {seconds:g} s; wait longer, or look at it later")
