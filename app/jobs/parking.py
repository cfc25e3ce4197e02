"""Letting parked jobs go on: page by page, each under its own guarded write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.jobs.errors import IllegalTransition
from app.jobs.events import Event, Unpark
from app.jobs.models import Job
from app.jobs.parked import ParkedJobs
from app.jobs.queue import Queue
from app.stores.base import OutcomeUnknown, PreconditionFailed

PAGE = 100
"""Most jobs that are let go on at once."""


class Parking:
    """Lets jobs go on that wait for something."""

    def __init__(self, queue: Queue, parked: ParkedJobs) -> None:
        self._queue = queue
        self._parked = parked

    async def free(self, parked_on: str, limit: int) -> int:
        """Let the first few go on that wait for this; answers how many did.

        Raises:
            StoreError: the store could not be asked.
        """
        return len(await self.let_go(await self._parked.first(parked_on, limit)))

    async def free_all(self, parked_on: str) -> int:
        """Let everybody go on who waits for this; who comes meanwhile is left to the watchdog.

        Returns:
            How many went on.

        Raises:
            StoreError: the store could not be asked; some may have gone on.
        """
        count = 0
        cursor: str | None = None
        while True:
            jobs, cursor = await self._parked.page(parked_on, PAGE, cursor)
            count += len(await self.let_go(jobs))
            if cursor is None:
                return count

    async def let_go(self, jobs: Sequence[Job], event: Event | None = None) -> list[Job]:
        """Let these go on, each only if it is still as it was seen.

        Args:
            jobs: parked jobs, as they were read.
            event: what happens to them; by default they are ready.

        Returns:
            Those that went on, as they are now.

        Raises:
            StoreError: the store could not be reached; some may have gone on.
        """
        changes = (self._queue.change(job, event or Unpark()) for job in jobs)
        went: list[Job] = []
        for answer in await asyncio.gather(*changes, return_exceptions=True):
            if isinstance(answer, Job):
                went.append(answer)
            elif not isinstance(answer, PreconditionFailed | OutcomeUnknown | IllegalTransition):
                raise answer
        return went
