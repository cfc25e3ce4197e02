"""`JobScheduler`: the manager in other words, of modules, inputs, and jobs that are stopped."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from types import TracebackType
from typing import Any, Self

from app.jobs.errors import BadInput, IllegalTransition, JobNotFound
from app.jobs.manager import AsyncJobManager
from app.jobs.models import Job, JobStatus, LogEntry
from app.jobs.openagents import job_dict
from app.jobs.streams import LogPump

logger = logging.getLogger(__name__)

STOPPED = "stopped"
"""What a cancelled job is called here."""
WAITING_LINES = 1000
"""So many log lines wait in a subscriber's queue; more wait in the stored log."""


class JobScheduler:
    """Starts, resumes and stops runs of modules: a module is a job type, its inputs are the job's payload."""

    def __init__(self, manager: AsyncJobManager | None = None) -> None:
        self.manager = manager or AsyncJobManager()
        self._pumps: dict[asyncio.Queue[Any], asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self.manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end_pumps()
        await self.manager.__aexit__(kind, error, trace)

    async def close(self) -> None:
        """End every subscription, give running jobs back, and close the store."""
        await self._end_pumps()
        await self.manager.close()

    @property
    def uptime(self) -> str:
        """How long this scheduler has been there, for people: "2h 15m"."""
        return self.manager.uptime

    async def start_job(
        self,
        module_id: str,
        inputs: dict[str, Any],
        settings: dict[str, Any] | None = None,
        checkpoint: dict[str, Any] | None = None,
        max_duration: str | None = None,
    ) -> str:
        """Start a new job.

        Args:
            module_id: the module to run.
            inputs: what it is given.
            settings: its settings, read as `ctx.settings`.
            checkpoint: where to go on, read as `ctx.checkpoint`.
            max_duration: the duration limit, such as `1h`, `24h` or `7d`.

        Returns:
            The job's id.

        Raises:
            BadInput: an unknown module, or inputs that it does not take; nothing was written.
        """
        options = {"settings": settings, "checkpoint": checkpoint, "max_duration": max_duration}
        job = await self.manager.submit(module_id, inputs, **options)
        return job.id

    async def resume_job(
        self,
        job_id: str,
        module_id: str,
        inputs: dict[str, Any],
        settings: dict[str, Any],
        checkpoint: dict[str, Any] | None,
        max_duration: str | None = None,
    ) -> None:
        """Run a job again that was stopped or failed, from its last checkpoint.

        Args:
            job_id: the job.
            module_id: its module.
            inputs: what it is given from now on.
            settings: its settings from now on.
            checkpoint: where to go on; None for the checkpoint that is stored with the job.
            max_duration: the duration limit from now on; None leaves it as it was.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it was neither stopped nor failed.
            BadInput: the job is another module's, or the inputs do not fit; nothing was written.
        """
        job = await self.manager.get_job(job_id)
        if job.type != module_id:
            remedy = "give the module that the job was started with, or start a new job"
            raise BadInput("module_id", f"job {job_id} runs {job.type!r}, not {module_id!r}", remedy)
        await self.manager.retry_job(
            job_id, payload=inputs, settings=settings, checkpoint=checkpoint, max_duration=max_duration
        )

    async def stop_job(self, job_id: str) -> bool:
        """Stop a job: at once if it does not run yet, else as soon as its module can be told.

        Returns:
            Whether there is such a job that had not ended by itself.
        """
        try:
            await self.manager.cancel_job(job_id, "stopped on request")
        except (JobNotFound, IllegalTransition):
            return False
        return True

    async def get_status(self) -> dict[str, Any]:
        """Uptime, how many modules there are, how many jobs run, and how many are in each status."""
        status = await self.manager.get_status()
        return {**status, "jobs": {_word(JobStatus(name)): count for name, count in status["jobs"].items()}}

    async def get_job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now; a cancelled one is called stopped.

        Raises:
            JobNotFound: there is no such job.
        """
        return _shown(await self.manager.get_job(job_id))

    async def list_jobs(self, status: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Jobs, newest first.

        Args:
            status: only those in this status; `stopped` is one.
            limit: at most so many.

        Raises:
            BadInput: no such status.
        """
        wanted = JobStatus.CANCELLED if status == STOPPED else status
        return [_shown(job) for job in await self.manager.list_jobs(status=wanted, limit=limit)]

    def subscribe_logs(self, job_id: str) -> asyncio.Queue[LogEntry | None]:
        """A queue of the job's log lines, from the first; None in it says that the job has ended.

        The queue holds a thousand lines. Who reads slowly loses nothing: the rest waits in the stored log.
        """
        queue: asyncio.Queue[LogEntry | None] = asyncio.Queue(WAITING_LINES)
        pump = LogPump(partial(self.manager.subscribe_logs, job_id), self.manager.runtime.clock, queue)
        task = asyncio.get_running_loop().create_task(pump.run())
        self._pumps[queue] = task
        task.add_done_callback(lambda done: self._ended(done, queue, job_id))
        return queue

    def unsubscribe_logs(self, job_id: str, queue: asyncio.Queue[LogEntry | None]) -> None:
        """Put nothing more into the queue."""
        pump = self._pumps.pop(queue, None)
        if pump is not None:
            pump.cancel()

    def _ended(self, pump: asyncio.Task[None], queue: asyncio.Queue[LogEntry | None], job_id: str) -> None:
        self._pumps.pop(queue, None)
        if not pump.cancelled() and (error := pump.exception()) is not None:
            logger.error("job %s: a subscriber of its log gets nothing more", job_id, exc_info=error)

    async def _end_pumps(self) -> None:
        pumps = list(self._pumps.values())
        self._pumps.clear()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def resume_interrupted_jobs(self) -> int:
        """Take back jobs whose worker is gone. Called on startup.

        Returns:
            How many go on.
        """
        return await self.manager.resume_interrupted_jobs()


def _word(status: JobStatus) -> str:
    return STOPPED if status is JobStatus.CANCELLED else str(status)


def _shown(job: Job) -> dict[str, Any]:
    return {**job_dict(job), "status": _word(job.status)}
