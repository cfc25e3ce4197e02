"""What the API is called with: places in paths, queries and headers; see `bodies` for the rest."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.jobs import JobQueue, JobStatus, Outcome

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
MOST = 500
"""Most records of one answer."""
MOST_BYTES = 4 * 1024 * 1024
"""How much stored text the records of one list may have together, at least one record aside: a container's memory holds
several such answers at once."""
MOST_LEFT_OUT = 10_000
"""Most records that may be left out before an answer: stores read them, and some are paid for it."""


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


class LastTimeHeader(Call):
    """A stream of events that is taken up again."""

    last: str | None = Field(
        default=None,
        alias="Last-Event-ID",
        pattern=r"^\d{1,16}$",
        description="The id of the last event that was received: a stream goes on there.",
    )


# --- queries ------------------------------------------------------------------------------------------


class JobsFilter(Call):
    """Which jobs are meant."""

    model_config = STRICT

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


class JobsQuery(JobsFilter):
    """Which jobs are wanted."""

    sort_by: Literal["created_at", "priority", "finished_at"] = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    limit: int = Field(default=100, ge=1, le=MOST)
    offset: int = Field(default=0, ge=0, le=MOST_LEFT_OUT)
    """Leave out so many first; what is left out is read all the same, so use `cursor` for page after page."""
    cursor: str | None = None
    """Of the page before; with the same filters, and without an offset."""


class AfterQuery(Call):
    """From where on a stream is wanted."""

    model_config = STRICT

    after: int = Field(default=0, ge=0, lt=10**15)
    """The number of the last one that is known already."""


class LogsQuery(AfterQuery):
    """Which lines of a log are wanted."""

    limit: int = Field(default=1000, ge=1, le=5000)


class RunsQuery(Call):
    """Which run summaries are wanted."""

    model_config = STRICT

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

    model_config = STRICT

    day: str | None = None
    """As `2026-01-31`, in UTC; today if left out."""


class LimitQuery(Call):
    """How many are wanted."""

    model_config = STRICT

    limit: int = Field(default=100, ge=1, le=MOST)


class PageQuery(LimitQuery):
    """Which part of a list is wanted."""

    cursor: str | None = None
    """Of the page before."""


class ReviewsQuery(LimitQuery):
    """Which requests for review are wanted."""

    type: str | None = None


class EventsQuery(LimitQuery):
    """Which events are wanted."""

    name: str | None = None
