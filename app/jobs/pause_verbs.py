"""The manager's verbs that pause and resume whole queues and job types."""

from __future__ import annotations

from dataclasses import replace

from app.jobs.errors import BadInput
from app.jobs.limits import Limit, limit_name
from app.jobs.models import JobQueue, is_key
from app.jobs.pauses import Paused
from app.jobs.reader import JobReader


class PauseVerbs(JobReader):
    """Pauses and resumes. Every worker obeys within one poll; what runs already runs on."""

    async def pause_queue(self, queue: str) -> Paused:
        """Let no further job of a queue begin, until it is resumed.

        Returns:
            All that is paused now.

        Raises:
            BadInput: there is no such queue.
        """
        named = _queue(queue)
        runtime = await self._ready()
        return await runtime.limits.pauses.change(lambda paused: replace(paused, queues=paused.queues | {named}))

    async def resume_queue(self, queue: str) -> Paused:
        """Let jobs of a paused queue begin again. Resuming one that is not paused changes nothing.

        Returns:
            All that is paused now.

        Raises:
            BadInput: there is no such queue.
        """
        named = _queue(queue)
        runtime = await self._ready()
        return await runtime.limits.pauses.change(lambda paused: replace(paused, queues=paused.queues - {named}))

    async def pause_type(self, job_type: str) -> Paused:
        """Let no further job of a type begin, until it is resumed. It need not be registered in this process.

        Returns:
            All that is paused now.

        Raises:
            BadInput: a name that no type can have.
        """
        named = _type(job_type)
        runtime = await self._ready()
        return await runtime.limits.pauses.change(lambda paused: replace(paused, types=paused.types | {named}))

    async def resume_type(self, job_type: str) -> Paused:
        """Let jobs of a paused type begin again; those that were held back meanwhile are ready when this returns.

        Returns:
            All that is paused now.

        Raises:
            BadInput: a name that no type can have.
        """
        named = _type(job_type)
        runtime = await self._ready()
        paused = await runtime.limits.pauses.change(lambda paused: replace(paused, types=paused.types - {named}))
        await runtime.parking.free_all(limit_name(Limit.PAUSE, named))
        return paused

    async def get_paused(self) -> Paused:
        """Which queues and types are paused."""
        runtime = await self._ready()
        return await runtime.limits.pauses.read()


def _queue(name: str) -> JobQueue:
    if name not in set(JobQueue):
        raise BadInput("queue", f"there is no queue {str(name)[:200]!r}", f"use one of: {', '.join(JobQueue)}")
    return JobQueue(name)


def _type(name: str) -> str:
    if not is_key(name):
        raise BadInput("type", f"{str(name)[:200]!r} is not the name of a type", "give the name it is registered by")
    return name
