"""What a manager can be asked about dependencies."""

from __future__ import annotations

from collections.abc import Callable

from app.jobs.errors import JobNotFound
from app.jobs.events import Requeue
from app.jobs.graph import READ_TOGETHER
from app.jobs.models import Job
from app.jobs.reader import JobReader, Jobs
from app.jobs.runtime import Runtime
from app.stores.base import Query


class DependencyVerbs(JobReader):
    """Adding, removing and reading what jobs wait for."""

    async def add_job_dependency(self, job_id: str, depends_on_id: str, *, revision: int | None = None) -> Job:
        """Let a job that has not begun wait for another one; a queued one goes back to PENDING until then.

        Args:
            job_id: the job that is to wait.
            depends_on_id: the other one.
            revision: the revision of the job that is to wait, as the caller has seen it; None is any.

        Returns:
            The job; unchanged if the other one is COMPLETED already. One that has ended otherwise acts at once, as
            `on_dependency_failure` says.

        Raises:
            JobNotFound: there is no such job.
            BadInput: there is no such other one.
            RevisionChanged: the job is in another revision; nothing was changed.
            IllegalTransition: the job runs or has ended.
            DependencyCycle: the other one waits for this one, directly or not; the message shows on which way.
        """
        runtime = await self._ready()
        return await self._told(runtime, await runtime.links.add(job_id, depends_on_id, revision))

    async def remove_job_dependency(self, job_id: str, depends_on_id: str, *, revision: int | None = None) -> Job:
        """Let a job not wait for another one any more. If that was the last, it goes on, unless it is held.

        Args:
            job_id: the job that waits.
            depends_on_id: the other one.
            revision: as for `add_job_dependency`.

        Returns:
            The job; unchanged if it did not wait for the other one, or runs or has ended.

        Raises:
            JobNotFound: there is no such job.
            RevisionChanged: the job is in another revision; nothing was changed.
        """
        runtime = await self._ready()
        return await self._told(runtime, await runtime.links.remove(job_id, depends_on_id, revision))

    async def get_dependencies(self, job_id: str) -> Jobs:
        """The jobs that a job depends on, whether they are COMPLETED or not; those that were deleted are left out.

        Raises:
            JobNotFound: there is no such job.
        """
        runtime = await self._ready()
        (record,) = await runtime.records.find([job_id])
        if record is None:
            raise JobNotFound(job_id)
        ids = runtime.codec.job(record).depends_on
        found: Jobs = []
        for start in range(0, len(ids), READ_TOGETHER):
            page = await runtime.records.get(ids[start : start + READ_TOGETHER], strict=False)
            found += [job for job in page if job is not None]
        return found

    async def get_dependent_jobs(self, job_id: str) -> Jobs:
        """The jobs that depend on a job, oldest first, whether they still wait or not.

        Raises:
            JobNotFound: there is no such job.
        """
        runtime = await self._ready()
        if (await runtime.records.find([job_id]))[0] is None:
            raise JobNotFound(job_id)
        found: Jobs = []
        cursor: str | None = None
        while True:
            query = Query("jobs.dependents", {"depends_on": (job_id,)}, limit=READ_TOGETHER, cursor=cursor)
            page = await runtime.store.query(query)
            found += await runtime.records.decode(page.records)
            cursor = page.cursor
            if cursor is None:
                return found

    async def _requeued(self, job_id: str, decide: Callable[[Job], Requeue], from_step: str | None = None) -> Job:
        """Run an ended job again, after what it depends on."""
        runtime = await self._ready()
        return await self._told(runtime, await runtime.links.requeue(job_id, decide, from_step))

    @staticmethod
    async def _told(runtime: Runtime, job: Job) -> Job:
        """What follows from a change by hand: those who wait for the end, or for the turn, of the job go on."""
        if job.is_terminal:
            await runtime.settled(job)
        else:
            await runtime.limits.turns.ended(job)
        await runtime.wake_ups.send()
        return job
