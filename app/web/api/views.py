"""What the API answers with. Its models are the engine's own, less what fences the writes of a job's holder."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.jobs import (
    BatchInfo,
    BatchStatus,
    Job,
    JobBatch,
    JobPage,
    JobProgress,
    JobQueue,
    JobStatus,
    LogEntry,
    RunSummary,
    Schedule,
    StepKind,
)

_SHOWN = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class JobView(Job):
    """One durable unit of work."""

    model_config = ConfigDict(title="Job")

    lease_token: str | None = Field(default=None, exclude=True)
    write_id: str | None = Field(default=None, exclude=True)
    control_id: str | None = Field(default=None, exclude=True)

    @classmethod
    def of(cls, job: Job) -> JobView:
        """A job as it is shown."""
        return cls.model_construct(**dict(job))


class JobList(BaseModel):
    """Some jobs."""

    jobs: list[JobView]


class CreatedJobs(JobList):
    """Jobs that were created, or were there already, in the order in which they were given."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    existing: list[bool]
    """Of each job, whether its idempotency key was taken and this is the job that has it."""

    @classmethod
    def of(cls, jobs: list[Job]) -> CreatedJobs:
        """Jobs as they are shown."""
        return cls(jobs=[JobView.of(job) for job in jobs], existing=[job.existing for job in jobs])


class StatusView(BaseModel):
    """A job's status alone."""

    model_config = ConfigDict(title="Status")

    status: JobStatus


class JobPageView(JobList):
    """Some jobs, and where the next page begins."""

    model_config = ConfigDict(title="JobPage", use_attribute_docstrings=True)

    cursor: str | None = None
    """For the next page; none on the last one."""

    @classmethod
    def page(cls, page: JobPage) -> JobPageView:
        """A page of jobs as it is shown."""
        return cls(jobs=[JobView.of(job) for job in page.jobs], cursor=page.cursor)


class ResultsView(BaseModel):
    """What a job's handler returned, and what it saved on the way."""

    model_config = ConfigDict(title="JobResults", use_attribute_docstrings=True)

    ended: bool
    """Whether the job has ended; before that nothing is shown."""
    result: Any = None
    saved: list[Any] = Field(default_factory=list)


class SavedView(BaseModel):
    """One result that a job saved on the way."""

    model_config = ConfigDict(title="SavedResult", **_SHOWN)

    number: int
    """From 1 over all attempts, without gaps."""
    at: datetime
    attempt: int
    data: Any


class LogPage(BaseModel):
    """Lines of a job's log, in order."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    lines: list[LogEntry]
    after: int
    """The number of the last of these lines: what `after` is for the next ones."""


class ProgressView(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(title="Progress")

    status: JobStatus
    progress: JobProgress


class StepView(BaseModel):
    """One recorded step of a job."""

    model_config = ConfigDict(title="Step", **_SHOWN)

    kind: StepKind
    name: str
    call: int
    """Which call of its attempt it was, from 1."""
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    """None while it waits for something."""
    value: Any
    """What it returned, or what it waits for."""


class StepList(BaseModel):
    """Recorded steps of a job, in the order in which its handler called them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    steps: list[StepView]
    cursor: str | None = None
    """For the next page; none on the last one."""


class BatchView(BaseModel):
    """A batch, and how many of its jobs are in each status."""

    model_config = ConfigDict(title="Batch", **_SHOWN)

    id: str
    name: str
    status: BatchStatus
    created_at: datetime | None
    total: int
    on_complete: str | None = None
    """The id of the job that runs when all others have ended."""
    counts: dict[str, int] = Field(default_factory=dict)
    ended: int
    """How many of its jobs have ended."""
    progress: float
    """The share of its jobs that have ended, in per cent."""

    @classmethod
    def of(cls, batch: BatchInfo) -> BatchView:
        """A batch as it is shown."""
        return cls.model_validate(batch)


class BatchList(BaseModel):
    """The newest batches, without how their jobs stand."""

    batches: list[BatchView]


class NewBatchView(BaseModel):
    """A batch that was created."""

    model_config = ConfigDict(title="CreatedBatch", use_attribute_docstrings=True)

    id: str
    jobs: list[JobView]
    """In the order in which they were given."""
    on_complete: JobView | None = None

    @classmethod
    def of(cls, batch: JobBatch) -> NewBatchView:
        """A batch as it is shown."""
        follower = None if batch.on_complete is None else JobView.of(batch.on_complete)
        return cls(id=batch.id, jobs=[JobView.of(job) for job in batch.jobs], on_complete=follower)


class Number(BaseModel):
    """How many jobs that was."""

    jobs: int


class RunPageView(BaseModel):
    """Some run summaries, newest first, and where the next page begins."""

    model_config = ConfigDict(title="RunPage")

    runs: list[RunSummary]
    cursor: str | None = None


class DayView(BaseModel):
    """One UTC day of runs."""

    model_config = ConfigDict(title="DailySummary", **_SHOWN)

    day: date
    runs: int
    by_type: dict[str, int]
    by_queue: dict[str, int]
    by_outcome: dict[str, int]
    by_status: dict[str, int]
    success_rate: float | None
    """Part of the runs that ended their job which ended it COMPLETED; none if none did."""
    durations: dict[str, float]
    """Seconds: mean, p50, p90, p99, longest."""
    retries: int
    lost_leases: int


class ScheduleList(BaseModel):
    """Every schedule, oldest first."""

    schedules: list[Schedule]


class PausedView(BaseModel):
    """What is paused."""

    model_config = ConfigDict(title="Paused", from_attributes=True)

    queues: list[JobQueue]
    types: list[str]


class ReviewView(BaseModel):
    """What a job that waits for a person asks."""

    model_config = ConfigDict(title="Review", **_SHOWN)

    job_id: str
    type: str
    question: str
    data: Any
    """What a person needs to decide."""
    asked_at: datetime | None
    expires_at: datetime | None
    """When the job is cancelled if nobody has decided; none waits for ever."""
    history: list[Any]
    """Earlier requests of the job, the oldest first, each with its decision."""


class ReviewList(BaseModel):
    """What waits for a person, the newest job first."""

    reviews: list[ReviewView]


class EventView(BaseModel):
    """An event as it was sent."""

    model_config = ConfigDict(title="Event", **_SHOWN)

    id: str
    name: str
    job_id: str | None
    """The job that it is for; none is whoever waits for it."""
    data: Any
    sent_at: datetime
    sent_by: str


class EventList(BaseModel):
    """Events that are kept, the newest first."""

    events: list[EventView]


class TypeView(BaseModel):
    """A registered job type."""

    model_config = ConfigDict(title="JobType", use_attribute_docstrings=True)

    type: str
    options: dict[str, Any]
    payload_schema: dict[str, Any] | None
    """The JSON schema of its payload; none if anything goes."""


class TypeList(BaseModel):
    """Every job type that this service knows."""

    types: list[TypeView]


class EngineStatus(BaseModel):
    """How long this service has run, and what there is."""

    uptime: str
    """For people, as `2h 15m`."""
    job_types: int
    running_jobs: int
    jobs: dict[str, int]
    """How many jobs are in each status."""


class Health(BaseModel):
    """Whether the store answers and work moves."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: str
    """`healthy` or `degraded`."""
    problems: list[str]
    jobs: dict[str, int]
    """How many jobs are in each status."""
    oldest_waiting_seconds: float | None
    """How long the job has waited that could have run for longest."""


class Metrics(BaseModel):
    """Today's runs, and what this process has asked of the store."""

    by_type: dict[str, int]
    by_outcome: dict[str, int]
    success_rate: float | None
    durations: dict[str, float]
    store: dict[str, int]
    store_cost_usd: float | None


class Report(BaseModel):
    """What a round of upkeep did: counts by what was done."""

    counts: dict[str, Any]


class Problem(BaseModel):
    """Why a call was refused or failed (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    title: str
    status: int
    code: str
    """For programs: the name of the error, which does not change."""
    detail: str
    """For people: what was wrong, and what to do."""
    field: str | None = None
    """The argument that cannot be accepted."""
    problem: str | None = None
    remedy: str | None = None
    errors: list[dict[str, Any]] | None = None
    """All that is wrong with the call, where more than one thing is."""
