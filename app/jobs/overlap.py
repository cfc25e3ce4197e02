"""No job of a schedule runs beside an earlier one of it, unless it may.

Slots are created ahead, when nobody can know yet whether the job before will have ended; so a job is asked when it is
to start. That costs one read for each job of a schedule without overlap, and nothing for any other.
"""

from __future__ import annotations

from app.jobs.events import Complete, Event
from app.jobs.models import Job, JobResult, Outcome
from app.jobs.records import JobRecords
from app.jobs.schedules import AFTER, SCHEDULE

LONGEST_CHAIN = 100
_BLOCKED_BY = "blocked_by"


class OverlapGuard:
    """Says what becomes of a job whose predecessor has not ended."""

    def __init__(self, records: JobRecords) -> None:
        self._records = records

    async def ask(self, job: Job) -> Event | None:
        """What is to happen to a job instead of being run; None lets it run.

        Raises:
            StoreError: the job before could not be read.
        """
        note = job.metadata.get(SCHEDULE)
        if not isinstance(note, dict) or not isinstance(after := note.get(AFTER), str):
            return None
        blocking = await self._unfinished(after)
        if blocking is None:
            return None
        data = {"reason": "an earlier job of its schedule has not ended", _BLOCKED_BY: blocking}
        return Complete(JobResult(success=True, data=data), skipped=True)

    async def _unfinished(self, job_id: str) -> str | None:
        """The job that has not ended: this one, or the one for which this one was skipped."""
        for _ in range(LONGEST_CHAIN):
            (job,) = await self._records.get([job_id], strict=False)
            if job is None:
                return None
            if not job.is_terminal:
                return job_id
            data = job.result.data if job.result is not None and job.outcome is Outcome.SKIPPED else None
            earlier = data.get(_BLOCKED_BY) if isinstance(data, dict) else None
            if not isinstance(earlier, str):
                return None
            job_id = earlier
        return None
