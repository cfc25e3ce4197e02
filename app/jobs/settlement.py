"""What is committed together with the end of a lease, or of a job: pure, and the same for whoever ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from app.jobs.models import Job, JobStatus, RunSummary, changed
from app.jobs.records import JobRecords
from app.jobs.retention import expiry
from app.jobs.summaries import summarise
from app.stores.base import Write

Companion: TypeAlias = Callable[[Job, Job, datetime], Sequence[Write]]
"""Further records that go into the commit that changes a job: `(before, after, now) -> writes`."""


def is_state(there: Job, after: Job) -> bool:
    """Whether the stored job is in the state that a change was to bring it to, and not in one that came later."""
    names = ("status", "revision", "updated_at", "control_id")
    return all(getattr(there, name) == getattr(after, name) for name in names)


class Settlement:
    """Completes a job's change of state by what belongs into the same commit."""

    def __init__(self, records: JobRecords, keep_jobs: timedelta | None, keep_runs: timedelta | None) -> None:
        self._records = records
        self._keep_jobs = keep_jobs
        self._keep_runs = keep_runs
        self.companions: list[Companion] = []
        """Asked at every change of status, in this order."""

    def dated(self, before: Job, after: Job, now: datetime) -> Job:
        """The job, with its time of expiry if it has just ended and nothing is left to be done for it."""
        ended = after.is_terminal and not before.is_terminal
        released = after.release == "done" and before.release == "pending"
        if (ended or released) and after.release != "pending":
            return changed(after, {"expire_at": expiry(after, now, self._keep_jobs)})
        return after

    def complete(self, before: Job, after: Job, now: datetime) -> tuple[Job, list[Write]]:
        """The job as it is to be stored, and the writes that go with it; the job's own is not among them."""
        after = self.dated(before, after, now)
        writes: list[Write] = []
        if before.status is JobStatus.RUNNING and after.status is not JobStatus.RUNNING:
            writes.append(self._records.summary(self.summary(before, after, now)))
        if before.status is not after.status:
            for companion in self.companions:
                writes.extend(companion(before, after, now))
        return after, writes

    def summary(self, before: Job, after: Job, now: datetime) -> RunSummary:
        """What happened under the lease that `before` had."""
        return summarise(before, after, now, self._keep_runs)
