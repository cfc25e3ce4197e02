"""Letting parked jobs go on: page by page, each under its own guarded write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.jobs.errors import IllegalTransition
from app.jobs.events import Event, Unpark
from app.jobs.limits import parked_query
from app.jobs.models import Job
from app.jobs.queue import Queue
from app.stores.base import OutcomeUnknown, PreconditionFailed, Record, Store

PAGE = 100
"""Most jobs that are let go on at once."""


class Parking:
    """Finds jobs that wait for something, and lets them go on."""

    def __init__(self, store: Store, queue: Queue) -> None:
        self._store = store
        self._queue = queue

    async def parked(self, parked_on: str, limit: int, *, by_age: bool = False) -> list[Job]:
        """The first jobs that wait for this: by priority and then by age, or by age alone."""
        page = await self._store.query(parked_query(parked_on, limit, by_age=by_age))
        return self.decoded(page.records)

    def decoded(self, records: Sequence[Record]) -> list[Job]:
        """The jobs of records, without their user data."""
        return self._queue.decoded(records)

    async def free(self, parked_on: str, limit: int) -> int:
        """Let the first few go on that wait for this; answers how many did."""
        return len(await self.let_go(await self.parked(parked_on, limit)))

    async def let_go(self, jobs: Sequence[Job], event: Event | None = None) -> list[Job]:
        """Let these go on, each only if it is still as it was seen.

        Args:
            jobs: parked jobs, as they were read.
            event: what happens to them; by default they are ready.

        Returns:
            Those that went on, as they are now.
        """
        changes = (self._queue.change(job, event or Unpark()) for job in jobs)
        went: list[Job] = []
        for answer in await asyncio.gather(*changes, return_exceptions=True):
            if isinstance(answer, Job):
                went.append(answer)
            elif not isinstance(answer, PreconditionFailed | OutcomeUnknown | IllegalTransition):
                raise answer
        return went

    async def let_all_go(self, parked_on: str) -> int:
        """Let everybody go on who waits for this; who comes meanwhile is left to the watchdog.

        Returns:
            How many went on.
        """
        count = 0
        cursor: str | None = None
        while True:
            page = await self._store.query(parked_query(parked_on, PAGE, cursor=cursor))
            count += len(await self.let_go(self.decoded(page.records)))
            cursor = page.cursor
            if cursor is None:
                return count
