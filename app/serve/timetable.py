"""What has to be done now and then, where no Cloud Scheduler is: APScheduler keeps the time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]

from app.jobs import StoreError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""How often each duty is done: as often as Cloud Scheduler calls its route (terraform/scheduler.tf)."""


class Timetable:
    """Does duties by the clock: each at once when it starts, then every minute, and never twice at a time.

    Lives on one event loop.

    Args:
        duties: what is to be done, by names for the log.
        every_seconds: how often.
    """

    def __init__(
        self, duties: Mapping[str, Callable[[], Awaitable[object]]], every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._duties = dict(duties)
        self._every_seconds = every_seconds
        self._scheduler: AsyncIOScheduler | None = None
        self._rounds: set[asyncio.Task[object]] = set()

    def start(self) -> None:
        """Begin, on the running event loop."""
        # Its own lines say of each round that it began and ended.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        scheduler = AsyncIOScheduler(event_loop=asyncio.get_running_loop(), timezone=UTC)
        for name in self._duties:
            scheduler.add_job(
                self._round,
                IntervalTrigger(seconds=self._every_seconds, timezone=UTC),
                args=[name],
                id=name,
                next_run_time=datetime.now(UTC),
                coalesce=True,  # after the machine has slept, one round makes up for all
                max_instances=1,
                misfire_grace_time=None,  # late is better than never
            )
        scheduler.start()
        self._scheduler = scheduler

    async def _round(self, name: str) -> None:
        """One round of a duty. What fails is logged: one bad round must not be the last."""
        task = asyncio.ensure_future(self._duties[name]())
        self._rounds.add(task)
        await asyncio.wait({task})
        self._rounds.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            logger.warning("the %s was not done: %s", name, error)
        elif error is not None:
            logger.error("the %s failed", name, exc_info=error)

    def stop(self) -> None:
        """Do nothing more. What is being done may be cut off anywhere: the next process does it again."""
        for task in self._rounds:
            task.cancel()
        if self._scheduler is not None:
            self._scheduler.pause()

    async def close(self) -> None:
        """The same, and wait until nothing is being done."""
        self.stop()
        while self._rounds:
            await asyncio.wait(self._rounds)
            await asyncio.sleep(0)
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
