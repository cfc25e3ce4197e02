"""What the API is called with: bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from app.jobs import MAX_JOBS, JobPriority, JobQueue, JobRequest
from app.web.api.calls import STRICT, Call

NO_NUL = r"^[^\x00]*$"
"""Some stores refuse the NUL character."""
MOST_TOGETHER = 1000
"""Most jobs that one call creates each by itself."""

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


class NewJobs(Call):
    """Jobs that are to be created, each by itself."""

    model_config = STRICT

    jobs: list[BatchJob] = Field(min_length=1, max_length=MOST_TOGETHER)
    auto_start: bool = True
    """Whether they run as soon as they may; if not, they are held until they are started."""


class NewBatch(Call):
    """A whole graph of jobs, which is created or not."""

    model_config = STRICT

    jobs: list[BatchJob] = Field(min_length=1, max_length=MAX_JOBS)
    auto_start: bool = True
    name: str = Field(default="", max_length=1000, pattern=NO_NUL)
    on_complete: BatchJob | None = None
    """One more job, which runs once when all the others have ended, however they did."""
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=1000, pattern=NO_NUL)


class Reason(Call):
    """Why something is done."""

    model_config = STRICT

    reason: str | None = None


class Cancel(Reason):
    """A request to end a job."""

    dependents: bool = False
    """Whether all that waits for it is cancelled too."""


class Retry(Call):
    """A request to run an ended job again."""

    model_config = STRICT

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

    model_config = STRICT

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

    model_config = STRICT

    decision: Literal["approve", "edit", "reject"]
    by: str | None = None
    """Who decides; a person is known by their session, whatever this says."""
    comment: str = ""
    payload: dict[str, Any] | None = None
    """For `edit`: the new payload."""
    data: Any = None


class NewDependency(Call):
    """One more job that a job waits for."""

    model_config = STRICT

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

    model_config = STRICT

    payload: dict[str, Any] | None = None


class Backfill(Call):
    """Past slots of a schedule."""

    model_config = STRICT

    since: str
    until: str | None = None


class NewEvent(Call):
    """An event that is to be sent."""

    model_config = STRICT

    name: str
    data: Any = None
    job_id: str | None = None
    """The one job that it is for; without one, every job that waits for it."""
    by: str | None = None
    event_id: str | None = None
    """An id of the caller's own: sending again under it changes nothing."""


class CleanUp(Call):
    """Which ended jobs go."""

    model_config = STRICT

    days: float | None = Field(default=None, ge=0)
    """Those that ended more than so many days ago; without it, as long as the settings keep them."""


class WatchdogRound(Call):
    """A round of the watchdog."""

    model_config = STRICT

    dry_run: bool = False
    """Whether it only says what it would do."""
