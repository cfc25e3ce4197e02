"""What the API is called with: places in paths, queries, headers and bodies."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.jobs import JobPriority, JobQueue, JobRequest, JobStatus, Outcome

_CALL = ConfigDict(extra="forbid", use_attribute_docstrings=True)
MOST = 500
"""Most records of one answer."""
NO_NUL = r"^[^\x00]*$"
"""Some stores refuse the NUL character."""


class Call(BaseModel):
    """One part of a call. Its schema, which is asked for at each request, is made once."""

    @classmethod
    @cache
    def model_json_schema(  # type: ignore[override]  # what `cache` makes of it has no signature
        cls, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """See pydantic."""
        return super().model_json_schema(*args, **kwargs)


# --- paths --------------------------------------------------------------------------------------------


class JobPath(Call):
    """One job."""

    job_id: str


class DependencyPath(JobPath):
    """One dependency of a job."""

    depends_on: str


class BatchPath(Call):
    """One batch."""

    batch_id: str


class SchedulePath(Call):
    """One schedule."""

    name: str


class QueuePath(Call):
    """One queue."""

    queue: str


class TypePath(Call):
    """One job type."""

    job_type: str


# --- headers ------------------------------------------------------------------------------------------


class IdempotencyHeader(Call):
    """A create that may be sent again."""

    key: str | None = Field(
        default=None,
        alias="Idempotency-Key",
        max_length=1000,
        description="One job, or batch, for one key: sent again, the first one is answered.",
    )


class MatchHeader(Call):
    """A change that holds for what the caller has seen only."""

    match: str | None = Field(
        default=None,
        alias="If-Match",
        description="The ETag that the job had when it was looked at. If it has another now, nothing is changed: 412.",
    )


class NoneMatchHeader(Call):
    """A look at what may not have changed."""

    none_match: str | None = Field(
        default=None,
        alias="If-None-Match",
        description="The ETag that is known already. If it is still the same, the answer is 304 without a body.",
    )


class LastEventHeader(Call):
    """A stream that is taken up again."""

    last: str | None = Field(
        default=None,
        alias="Last-Event-ID",
        pattern=r"^\d{1,15}$",
        description="The id of the last event that was received: a stream goes on behind it.",
    )


# --- queries ------------------------------------------------------------------------------------------


class JobsQuery(Call):
    """Which jobs are wanted."""

    model_config = _CALL

    status: JobStatus | None = None
    type: str | None = None
    queue: JobQueue | None = None
    tags: list[str] = Field(default_factory=list)
    """Jobs with all of these tags."""
    batch_id: str | None = None
    parent_id: str | None = None
    created_after: str | None = None
    """A time, as `2026-01-31T12:00:00Z`; one without a zone is UTC."""
    created_before: str | None = None
    sort_by: Literal["created_at", "priority", "finished_at"] = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    limit: int = Field(default=100, ge=1, le=MOST)
    cursor: str | None = None
    """Of the page before; with the same filters."""


class LogsQuery(Call):
    """Which lines of a log are wanted."""

    model_config = _CALL

    after: int = Field(default=0, ge=0, lt=10**15)
    """The number of the last line that is known already."""
    limit: int = Field(default=1000, ge=1, le=5000)


class RunsQuery(Call):
    """Which run summaries are wanted."""

    model_config = _CALL

    job_id: str | None = None
    type: str | None = None
    queue: JobQueue | None = None
    outcome: Outcome | None = None
    ended_after: str | None = None
    ended_before: str | None = None
    limit: int = Field(default=100, ge=1, le=MOST)
    cursor: str | None = None


class DayQuery(Call):
    """Which day is wanted."""

    model_config = _CALL

    day: str | None = None
    """As `2026-01-31`, in UTC; today if left out."""


class LimitQuery(Call):
    """How many are wanted."""

    model_config = _CALL

    limit: int = Field(default=100, ge=1, le=MOST)


class ReviewsQuery(LimitQuery):
    """Which requests for review are wanted."""

    type: str | None = None


class EventsQuery(LimitQuery):
    """Which events are wanted."""

    name: str | None = None


# --- bodies -------------------------------------------------------------------------------------------

Priority = Annotated[
    JobPriority | None,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [int(each) for each in JobPriority]},
                {"enum": [name.lower() for name in JobPriority.__members__]},
                {"type": "null"},
            ]
        }
    ),
]
"""A priority by number or name."""


class BatchJob(JobRequest):
    """A job of a batch that is to be created."""

    priority: Priority = None


class NewJob(BatchJob):
    """A job that is to be created."""

    auto_start: bool = True
    """Whether it runs as soon as it may; if not, it is held until it is started."""


class NewBatch(Call):
    """A whole graph of jobs, which is created or not."""

    model_config = _CALL

    jobs: list[BatchJob] = Field(min_length=1)
    auto_start: bool = True
    name: str = Field(default="", max_length=1000, pattern=NO_NUL)
    on_complete: BatchJob | None = None
    """One more job, which runs once when all the others have ended, however they did."""
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=1000, pattern=NO_NUL)


class Reason(Call):
    """Why something is done."""

    model_config = _CALL

    reason: str | None = None


class Cancel(Reason):
    """A request to end a job."""

    dependents: bool = False
    """Whether all that waits for it is cancelled too."""


class Retry(Call):
    """A request to run an ended job again."""

    model_config = _CALL

    keep_checkpoint: bool = True
    payload: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None
    checkpoint: Any = None
    max_duration: float | str | None = None
    """Seconds, or as "1h", "24h", "7d"."""
    from_step: str | None = None
    """A recorded step: that one and all that came after it are done again."""


class RetryMany(Call):
    """A request to run many ended jobs again, the oldest first."""

    model_config = _CALL

    status: Literal["failed", "cancelled", "needs_review"] = "failed"
    type: str | None = None
    queue: JobQueue | None = None
    tags: list[str] = Field(default_factory=list)
    batch_id: str | None = None
    created_after: str | None = None
    created_before: str | None = None
    limit: int = Field(default=1000, ge=1, le=10_000)
    """At most so many; call again for more."""
    rate_per_second: float | None = Field(default=None, gt=0, le=10_000)
    """So many of them may begin each second; without it all at once."""
    keep_checkpoint: bool = True


class Decision(Call):
    """What a person decides."""

    model_config = _CALL

    decision: Literal["approve", "edit", "reject"]
    by: str | None = None
    """Who decides; a person is known by their session, whatever this says."""
    comment: str = ""
    payload: dict[str, Any] | None = None
    """For `edit`: the new payload."""
    data: Any = None


class NewDependency(Call):
    """One more job that a job waits for."""

    model_config = _CALL

    depends_on: str


class NewSchedule(Call):
    """A schedule that is to be created."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    name: str
    job_type: str
    payload: dict[str, Any] | None = None
    interval_seconds: float | None = None
    """How often; either this or `cron`."""
    cron: str | None = None
    """Minute, hour, day of month, month and day of week."""
    timezone: str = "UTC"
    misfire_grace_seconds: float = 60.0
    """How late the job of a slot may be created; after that the slot counts as missed."""
    catch_up: Literal["skip", "last", "all"] = "skip"
    catch_up_limit: int = Field(default=100, ge=1, le=10_000)
    overlap: bool = False


class Trigger(Call):
    """One job of a schedule, now."""

    model_config = _CALL

    payload: dict[str, Any] | None = None


class Backfill(Call):
    """Past slots of a schedule."""

    model_config = _CALL

    since: str
    until: str | None = None


class NewEvent(Call):
    """An event that is to be sent."""

    model_config = _CALL

    name: str
    data: Any = None
    job_id: str | None = None
    """The one job that it is for; without one, every job that waits for it."""
    by: str | None = None
    event_id: str | None = None
    """An id of the caller's own: sending again under it changes nothing."""


class CleanUp(Call):
    """Which ended jobs go."""

    model_config = _CALL

    days: float | None = Field(default=None, ge=0)
    """Those that ended more than so many days ago; without it, as long as the settings keep them."""
