"""Jobs that wait for a person: what is asked, and requests that nobody decided in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.jobs.errors import IllegalTransition
from app.jobs.events import ExpireReview
from app.jobs.models import Job, JobStatus, Json
from app.jobs.runtime import Runtime
from app.stores.base import OutcomeUnknown, PreconditionFailed, Query


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """What a job that is NEEDS_REVIEW asks."""

    job_id: str
    type: str
    question: str
    data: Json
    """What a person needs to decide."""
    asked_at: datetime | None
    expires_at: datetime | None
    """When the job is cancelled if nobody has decided; None waits for ever."""
    history: tuple[Mapping[str, Json], ...] = ()
    """Earlier requests of the job, the oldest first, each with its decision."""


def request_in(job: Job) -> ReviewRequest:
    """What a job asks."""
    review = job.review if isinstance(job.review, dict) else {}
    asked = review.get("at")
    return ReviewRequest(
        job_id=job.id,
        type=job.type,
        question=str(review.get("reason", "")),
        data=review.get("request"),
        asked_at=datetime.fromisoformat(asked) if isinstance(asked, str) else None,
        expires_at=job.start_before,
        history=tuple(review.get("history", ())),
    )


async def expire_reviews(runtime: Runtime, limit: int, *, dry_run: bool = False) -> int:
    """Cancel jobs whose request for review nobody decided in time, at most so many.

    Returns:
        How many were cancelled, or would be.
    """
    where = {"status": str(JobStatus.NEEDS_REVIEW)}
    page = await runtime.store.query(Query("jobs.expiring", where, until=runtime.clock.now(), limit=limit))
    if dry_run:
        return len(page.records)
    expired = 0
    for job in await runtime.records.decode(page.records):
        try:
            after = await runtime.queue.change(job, ExpireReview())
        except (PreconditionFailed, OutcomeUnknown, IllegalTransition):
            continue  # somebody decided after all, or was faster; else it is found again
        expired += after.is_terminal
        await runtime.settled(after)
    return expired
