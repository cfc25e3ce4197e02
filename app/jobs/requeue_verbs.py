"""Replay: running many ended jobs again, at a rate."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from app.jobs.dependency_verbs import DependencyVerbs
from app.jobs.errors import LONGEST_DELAY_SECONDS, BadInput, IllegalTransition, JobNotFound
from app.jobs.events import Requeue
from app.jobs.listing import JobFilter, page_of
from app.jobs.models import Job, JobStatus
from app.jobs.paging import check_limit
from app.stores.base import PreconditionFailed

PAGE = 100
AT_ONCE = 20
SLOWEST_PER_SECOND = 1 / 86_400
"""A slower rate is a mistake: it puts jobs off beyond the calendar."""
RETRIABLE = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.NEEDS_REVIEW)


class RequeueVerbs(DependencyVerbs):
    """Runs ended jobs again, many at a time."""

    async def retry_jobs(
        self,
        /,
        *,
        limit: int | None = None,
        rate_per_second: float | None = None,
        keep_checkpoint: bool = True,
        **filters: Any,
    ) -> int:
        """Run every job again that filters find, the oldest first; see `retry_job`.

        What shows why each of them failed, its run summaries, is kept.

        Args:
            limit: at most so many; None for all.
            rate_per_second: so many of them may begin each second, at least one a day: the others are delayed, by ten
                years at most. None lets all begin at once.
            keep_checkpoint: whether they go on from their checkpoints.
            filters: as in `list_jobs`; `status` is `failed` unless it says cancelled or needs_review.

        Returns:
            How many run again. One that somebody else has dealt with meanwhile is not among them.

        Raises:
            BadInput: naming the argument and what it takes; nothing was changed.
        """
        if rate_per_second is not None and not SLOWEST_PER_SECOND <= rate_per_second <= 1e6:
            remedy = "give jobs a second, at least one a day (0.000012)"
            raise BadInput("rate_per_second", f"{rate_per_second!r} is not a rate", remedy)
        if limit is not None:
            check_limit(limit)
        for fixed in ("sort_by", "sort_order"):
            if fixed in filters:
                raise BadInput(fixed, "is not for this: the oldest go first", "leave it out")
        wanted = JobFilter.of(**{"status": JobStatus.FAILED, **filters}, sort_order="asc")
        if wanted.status not in RETRIABLE:
            names = ", ".join(RETRIABLE)
            raise BadInput("status", f"a job that is {wanted.status} cannot be run again", f"use one of {names}")
        runtime = await self._ready()
        begin = runtime.clock.now()
        done = seen = 0
        cursor: str | None = None
        while limit is None or seen < limit:
            size = PAGE if limit is None else min(PAGE, limit - seen)
            page = await page_of(runtime.store, runtime.records, wanted, size, 0, cursor)
            for start in range(0, len(page.jobs), AT_ONCE):
                some = page.jobs[start : start + AT_ONCE]
                at = [_at(begin, seen + start + place, rate_per_second) for place in range(len(some))]
                again = (self._again(job, time, keep_checkpoint) for job, time in zip(some, at, strict=True))
                done += sum(await asyncio.gather(*again))
            seen += len(page.jobs)
            cursor = page.cursor
            if cursor is None:
                break
        return done

    async def _again(self, found: Job, at: datetime | None, keep_checkpoint: bool) -> bool:
        def decide(job: Job) -> Requeue:
            if job.status is not found.status or job.attempt != found.attempt:
                raise IllegalTransition(job.id, job.status, Requeue.verb, ())
            return Requeue(keep_checkpoint, wake_at=at)

        try:
            await self._requeued(found.id, decide)
        except (IllegalTransition, JobNotFound, PreconditionFailed):
            return False
        return True


def _at(begin: datetime, place: int, rate_per_second: float | None) -> datetime | None:
    if rate_per_second is None or place == 0:
        return None
    return begin + timedelta(seconds=min(place / rate_per_second, LONGEST_DELAY_SECONDS))
