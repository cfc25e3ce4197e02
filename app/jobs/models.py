"""The engine's data: a job, its progress, its result, and the summary of each of its runs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    computed_field,
)

from app.jobs.described import Described


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.uuid4())


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold the NUL character; remove it")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must not hold half a character (a lone surrogate); remove it") from None
    return value


UtcTime = Annotated[AwareDatetime, AfterValidator(_utc)]
"""An aware time, kept in UTC. A naive one is refused."""

Key = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""Short text that stores index: 1 to 200 characters, no control characters."""

FreeText = Annotated[str, AfterValidator(_storable)]
"""Text without NUL and lone surrogates, which some stores refuse."""

_KEY: TypeAdapter[str] = TypeAdapter(Key)


def is_key(value: object) -> bool:
    """Whether this is a `Key`."""
    try:
        _KEY.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


Json = Any
"""Any JSON value: None, bool, int of any size, finite float, str, list, dict with str keys."""


class JobStatus(StrEnum):
    """Where a job stands (the table of `app.jobs.transitions` says how it moves)."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEEDS_REVIEW = "needs_review"

    @property
    def is_terminal(self) -> bool:
        """Whether a job in this status never runs again by itself."""
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
UNDER_WAY = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})


class JobQueue(StrEnum):
    """The two queues, in the order in which they are polled."""

    PRIORITY = "priority"
    MAINTENANCE = "maintenance"


class JobPriority(IntEnum):
    """Order inside a queue."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    CRITICAL = 4
    MEDIUM = 2


def priority_of(value: object) -> object:
    """A priority by its name in any case, or as it is.

    Raises:
        ValueError: a text that is neither number nor name.
    """
    if isinstance(value, str) and not value.isdigit():
        try:
            return JobPriority[value.upper()]
        except KeyError:
            names = ", ".join(name.lower() for name in JobPriority.__members__)
            raise ValueError(f"{value!r} is not a priority; use one of {names}") from None
    return value


class Outcome(StrEnum):
    """How one lease of a job ended."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    REVIEW = "review"
    RELEASED = "released"
    SLICED = "sliced"
    PARKED = "parked"
    SUSPENDED = "suspended"
    LEASE_LOST = "lease_lost"


class JobProgress(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(frozen=True)

    current: float = Field(default=0.0, allow_inf_nan=False)
    total: float = Field(default=0.0, allow_inf_nan=False)
    message: str = ""

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented spelling; mypy has no such form
    @property
    def percentage(self) -> float:
        """0 to 100; 0 while the total is unknown."""
        if self.total <= 0:
            return 0.0
        return max(0.0, min(100.0, 100.0 * self.current / self.total))


class JobError(BaseModel):
    """Why an attempt or a job failed."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    type: str = ""
    """The exception's class."""
    traceback: str = ""


class JobResult(BaseModel):
    """What an attempt ended with."""

    model_config = ConfigDict(frozen=True)

    success: bool
    data: Json = None
    error: str | None = None
    artifacts: dict[str, Json] = Field(default_factory=dict)


class LogEntry(BaseModel):
    """One stored line of a job's log. `number` counts from 1 over all attempts, without gaps."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: UtcTime
    level: str
    message: str
    attempt: int


class Job(Described):
    """One durable unit of work.

    The engine says every job's id and times. One that is made by hand, for an executor without a store, gets an id
    and the time by itself.
    """

    id: Key = Field(default_factory=_new_id)
    type: Key
    status: JobStatus = JobStatus.PENDING
    version: str = Field(default="", exclude=True, repr=False)
    """The stored state this was read from; not part of the record."""
    chunks: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude=True, repr=False)
    """Which of its fields lie in chunk records, and in which; not part of the record."""

    existing: bool = Field(default=False, exclude=True, repr=False)
    """Whether a create found this job instead of making it; not part of the record."""

    # what was asked, fixed at creation
    name: FreeText = ""
    description: FreeText = ""
    queue: JobQueue = JobQueue.PRIORITY
    priority: JobPriority = JobPriority.NORMAL
    route: Key = "default"
    shard: int = 0
    tags: tuple[Key, ...] = ()
    batch_id: Key | None = None
    parent_id: Key | None = None
    depth: int = 0
    """How many jobs created each other above this one."""
    mode: Key | None = None
    payload: dict[str, Json] = Field(default_factory=dict)
    settings: dict[str, Json] = Field(default_factory=dict)
    metadata: dict[str, Json] = Field(default_factory=dict)
    idempotency_key: FreeText | None = None
    idempotent: bool = True
    max_retries: int = Field(default=3, ge=0)
    """Executions after the first."""
    retry_delay_seconds: float = Field(default=10.0, ge=0)
    retry_backoff: Literal["fixed", "exponential"] = "exponential"
    timeout_seconds: float | None = Field(default=None, gt=0)
    """Longest life of one attempt."""
    max_duration_seconds: float | None = Field(default=None, gt=0)
    """Longest running time of all attempts together."""
    max_lease_losses: int = Field(default=3, ge=0)
    on_failure: Key | None = None
    """The type of the job that is created when this one ends FAILED or needs review."""
    start_before: UtcTime | None = None
    """By when it has to have begun; while it waits for a person, by when that one has to decide."""

    # times
    created_at: UtcTime = Field(default_factory=_now)
    updated_at: UtcTime = Field(default_factory=lambda made: made.get("created_at"))
    started_at: UtcTime | None = None
    """When the first attempt began."""
    finished_at: UtcTime | None = None
    expire_at: UtcTime | None = None
    """From when on a store that has record expiry may delete it."""

    # why it is where it is in QUEUED: exactly one of the last three
    queued_at: UtcTime | None = None
    """Since when it could run: kept while it runs, to tell how long it waited."""
    ready_at: UtcTime | None = None
    wake_at: UtcTime | None = None
    parked_on: Key | None = None
    waiting_for: Key | None = None
    """What its handler waits for while nobody holds it: an event, or a key that another job works on."""

    # what limits it
    turn: Key | None = None
    """What the jobs share that run one at a time: a `concurrency_key`, or a type that preserves its order."""
    holds_turn: bool = False
    """Whether it is the one of them that may run."""
    allowed_at: UtcTime | None = None
    """From when on its type's rate limit lets it run; None while it has not been asked."""

    # counters
    revision: int = 1
    """Moved by transitions and edits, not by renewals."""
    attempt: int = 0
    retries_used: int = 0
    lease_losses: int = 0
    slices: int = 0
    idle_slices: int = 0
    """How many slices in a row ended because time was up, with nothing new recorded."""
    run_seconds: float = 0.0
    """Running time of all ended leases together."""
    log_length: int = 0
    results_saved: int = 0
    steps: int = 0
    """How many steps are recorded; none are looked for while there are none."""

    # the lease, while RUNNING
    worker_id: Key | None = None
    lease_token: Key | None = None
    lease_started_at: UtcTime | None = None
    lease_expires_at: UtcTime | None = None
    write_id: Key | None = None
    """Names the holder's newest write, so that a lost answer can be resolved."""

    # what its attempts left
    progress: JobProgress = JobProgress()
    checkpoint: Json = None
    result: JobResult | None = None
    error: JobError | None = None
    outcome: Outcome | None = None
    """How the newest lease ended."""
    review: Json = None

    # what others ask of the holder
    control_id: Key | None = None
    control_action: Literal["cancel", "pause"] | None = None
    control_reason: FreeText | None = None
    control_at: UtcTime | None = None
    watched_until: UtcTime | None = None
    """Until then somebody follows it, and its holder writes log and progress sooner."""

    # what it waits for, and what waits for it
    depends_on: tuple[Key, ...] = ()
    """The jobs that have to be COMPLETED before it runs."""
    unmet: tuple[Key, ...] = ()
    """Those of them that are not yet, or gates that stand for 32 of them each."""
    waiting_since: UtcTime | None = None
    """Since when something has been unmet; None when nothing is."""
    auto_start: bool = False
    """Whether it may run as soon as nothing is unmet; if not, it is held until somebody starts it."""
    start_at: UtcTime | None = None
    """A delay that is still to be kept when nothing is unmet any more."""
    on_dependency_failure: Literal["cancel", "run", "hold"] = "cancel"
    """What becomes of it when one of them ends FAILED or CANCELLED."""
    has_dependents: bool = False
    deleting: bool = False
    """Whether somebody is about to delete it; whoever begins to wait for it takes this back, so that it stays."""
    release: Literal["pending", "done"] | None = None

    @property
    def job_id(self) -> str:
        """The same as `id`."""
        return self.id

    @property
    def is_under_way(self) -> bool:
        """Whether it runs, or will without anybody's doing."""
        return self.status in UNDER_WAY

    @property
    def is_terminal(self) -> bool:
        """Whether it is COMPLETED, FAILED or CANCELLED."""
        return self.status in TERMINAL

    @property
    def duration_seconds(self) -> float | None:
        """From the first start to the end, in seconds; None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class RunSummary(BaseModel):
    """One ended lease of a job: attempt log and audit record in one. Outlives the job."""

    model_config = ConfigDict(frozen=True)

    id: Key
    job_id: Key
    type: Key
    queue: JobQueue
    priority: JobPriority
    attempt: int
    outcome: Outcome
    counted: bool
    """Whether it used up a retry or a permitted lease loss."""
    status: JobStatus
    """The job's status after it."""
    worker_id: str | None = None
    started_at: UtcTime
    ended_at: UtcTime
    duration_seconds: float
    waited_seconds: float
    """From when the job was last claimable until this lease."""
    retries_used: int = 0
    lease_losses: int = 0
    message: str = ""
    error: JobError | None = None
    details: Json = None
    batch_id: str | None = None
    parent_id: str | None = None
    expire_at: UtcTime | None = None

    @property
    def is_late(self) -> bool:
        """Whether it tells how a holder ended that had lost its lease before: evidence, and no run of its own."""
        return self.id.endswith(LATE)


LATE = "-late"
"""Ends the id of such a summary."""

AttemptLog = RunSummary
"""The same record under another name, which says that there is one for each attempt."""

ModelT = TypeVar("ModelT", Job, RunSummary)


def changed(model: ModelT, changes: dict[str, Any]) -> ModelT:
    """A copy with some fields changed, which are trusted to be right.

    What `model_copy` does, in two thirds of its time: a job is copied a dozen times on its way.
    """
    copied = object.__new__(type(model))
    object.__setattr__(copied, "__dict__", model.__dict__ | changes)
    object.__setattr__(copied, "__pydantic_fields_set__", model.__pydantic_fields_set__ | changes.keys())
    object.__setattr__(copied, "__pydantic_extra__", None)
    object.__setattr__(copied, "__pydantic_private__", None)
    return copied
