"""The manager's verb that shows what a job's handler has recorded."""

from __future__ import annotations

from app.jobs.journal import recorded_steps
from app.jobs.reader import JobReader
from app.jobs.steps import Step


class StepReader(JobReader):
    """Reads recorded steps."""

    async def get_steps(self, job_id: str) -> list[Step]:
        """The recorded steps of a job, in the order in which its handler called them.

        Raises:
            JobNotFound: there is no such job.
        """
        job = await self.get_job(job_id)
        return await recorded_steps(self.runtime.store, self.runtime.records, job_id) if job.steps else []
