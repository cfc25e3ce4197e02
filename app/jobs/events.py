"""What can happen to a job. `app.jobs.transitions` says what each event does in each status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeAlias

from app.jobs.models import JobError, JobResult, Json


@dataclass(frozen=True, slots=True)
class Start:
    """Let a held job run: now, or from `wake_at`."""

    verb: ClassVar[str] = "start"
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """A delay is over."""

    verb: ClassVar[str] = "promote"


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker takes the job under a new lease."""

    verb: ClassVar[str] = "claim"
    worker_id: str
    lease_token: str
    write_id: str
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Renew:
    """The holder keeps the lease for so much longer from now."""

    verb: ClassVar[str] = "renew"
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class Abandon:
    """The holder gives up on a handler that will not stop: the lease runs out in so many seconds.

    With an error the loss counts as a failed attempt, without one as nothing.
    """

    verb: ClassVar[str] = "be abandoned"
    lease_seconds: float
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """The handler is done; `skipped` if its validation said that there was nothing to do."""

    verb: ClassVar[str] = "complete"
    result: JobResult
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed for good."""

    verb: ClassVar[str] = "fail"
    error: JobError
    result: JobResult


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed and another may follow at `wake_at`."""

    verb: ClassVar[str] = "retry"
    error: JobError
    wake_at: datetime


@dataclass(frozen=True, slots=True)
class Release:
    """The holder gives the job back unfinished: shutdown, or a type it has no handler for. Not counted."""

    verb: ClassVar[str] = "release"
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """The holder's time is up and the job goes on in another lease from `wake_at`. Not counted."""

    verb: ClassVar[str] = "slice"
    wake_at: datetime | None = None
    is_idle: bool = False
    """Whether time was up before anything new was recorded."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """The handler waits, and nobody holds the job meanwhile: until a time, or for something to come. Not counted."""

    verb: ClassVar[str] = "suspend"
    until: datetime | None
    """When it goes on in any case; None only if it waits for something."""
    waiting_for: str | None = None
    look_at: datetime | None = None
    """When it goes on to look for itself, if by then nobody has said whether what it waits for came meanwhile."""


@dataclass(frozen=True, slots=True)
class WaitOn:
    """What the suspended job waits for had not come when it was suspended: whoever brings it tells."""

    verb: ClassVar[str] = "wait on"


@dataclass(frozen=True, slots=True)
class Arrive:
    """What the suspended job may wait for is there."""

    verb: ClassVar[str] = "be told of an arrival"
    what: str


@dataclass(frozen=True, slots=True)
class Park:
    """The job waits for a limit or a paused queue or type, named by `on`. Not counted."""

    verb: ClassVar[str] = "park"
    on: str


@dataclass(frozen=True, slots=True)
class Unpark:
    """What the job was parked on is free."""

    verb: ClassVar[str] = "unpark"


@dataclass(frozen=True, slots=True)
class Defer:
    """The rate limit of the job's type lets it begin at that time. Not counted."""

    verb: ClassVar[str] = "be deferred"
    until: datetime


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Of the jobs that run one at a time it is this one's turn: it is ready, if it waited for that."""

    verb: ClassVar[str] = "take its turn"


@dataclass(frozen=True, slots=True)
class LoseLease:
    """The lease ran out without a word from its holder."""

    verb: ClassVar[str] = "lose its lease"


@dataclass(frozen=True, slots=True)
class RequestCancel:
    """Somebody wants the job cancelled: at once if it does not run, else its holder is told."""

    verb: ClassVar[str] = "cancel"
    control_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The holder ends the job as CANCELLED: asked to, over `max_duration`, or by the handler's own wish."""

    verb: ClassVar[str] = "stop"
    reason: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The job was not begun by its `start_before`."""

    verb: ClassVar[str] = "expire"


@dataclass(frozen=True, slots=True)
class RequestPause:
    """Somebody wants the job paused: at once if it does not run, else at its next checkpoint."""

    verb: ClassVar[str] = "pause"
    control_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class BeWatched:
    """Somebody follows the running job until then: its holder writes log and progress sooner."""

    verb: ClassVar[str] = "be watched"
    until: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """The holder obeys a pause and gives its lease back."""

    verb: ClassVar[str] = "hold"


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a paused job go on."""

    verb: ClassVar[str] = "resume"


@dataclass(frozen=True, slots=True)
class AskReview:
    """The holder stops and waits for a person."""

    verb: ClassVar[str] = "ask for review"
    reason: str
    request: Json
    error: JobError | None = None
    step: str | None = None
    """The name of the step that asks, if it is one."""
    expires_at: datetime | None = None
    """When the job is cancelled if nobody has decided."""


@dataclass(frozen=True, slots=True)
class Decide:
    """A person decided: run again (`approve`, or `edit` with another payload) or end it (`reject`)."""

    verb: ClassVar[str] = "review"
    decision: Literal["approve", "edit", "reject"]
    by: str
    comment: str
    payload: dict[str, Any] | None = None
    data: Json = None
    """What the handler is told besides, such as a choice."""


@dataclass(frozen=True, slots=True)
class ExpireReview:
    """Nobody decided in time."""

    verb: ClassVar[str] = "expire for want of a decision"


@dataclass(frozen=True, slots=True)
class Requeue:
    """Run an ended job again, with its counters back at zero."""

    verb: ClassVar[str] = "be retried"
    keep_checkpoint: bool = True
    given: Mapping[str, Json] = field(default_factory=dict)
    """Fields that it has from now on: payload, settings, checkpoint or max_duration_seconds."""
    wake_at: datetime | None = None
    """Not before then."""


@dataclass(frozen=True, slots=True)
class AddDependency:
    """The job depends on others, or on further ones; `keys` is what stands in `unmet` for those not COMPLETED yet."""

    verb: ClassVar[str] = "depend on another job"
    parent_ids: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveDependency:
    """The job need not wait for another one any more; `key` is what stands for that one in `unmet`."""

    verb: ClassVar[str] = "be freed of a dependency"
    parent_id: str
    key: str | None


@dataclass(frozen=True, slots=True)
class DependencyMet:
    """What these keys of `unmet` stand for is COMPLETED. Keys that are not there any more change nothing."""

    verb: ClassVar[str] = "have a dependency met"
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class DependencyFailed:
    """A job that this one depends on has ended without being COMPLETED: `on_dependency_failure` says what follows."""

    verb: ClassVar[str] = "have a dependency fail"
    parent_id: str
    how: str
    keys: frozenset[str]
    """What in `unmet` stands for it, and for nothing else."""


@dataclass(frozen=True, slots=True)
class FinishRelease:
    """All that waited for this ended job has been let go on."""

    verb: ClassVar[str] = "finish its release"


Event: TypeAlias = (
    Start
    | Promote
    | Claim
    | Renew
    | Abandon
    | Complete
    | Fail
    | Retry
    | Release
    | Slice
    | Suspend
    | WaitOn
    | Arrive
    | Park
    | Unpark
    | Defer
    | TakeTurn
    | LoseLease
    | RequestCancel
    | Stop
    | Expire
    | RequestPause
    | BeWatched
    | Hold
    | Resume
    | AskReview
    | Decide
    | ExpireReview
    | Requeue
    | AddDependency
    | RemoveDependency
    | DependencyMet
    | DependencyFailed
    | FinishRelease
)
