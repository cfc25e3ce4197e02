"""When an idle worker looks for work again: when it is told to, when a delayed job is due, and now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from app.jobs.runtime import Runtime
from app.stores.base import Query, StoreError, Watch

logger = logging.getLogger(__name__)

JUST_DUE = timedelta(seconds=1)
"""What became due so short a time ago may have done so after the claim that found nothing."""
SOONEST_LOOK_SECONDS = 0.05
"""An idle worker looks again after so long at the earliest, if nobody tells it to."""


class Lookout:
    """What one worker knows about when there may be work for it.

    Args:
        runtime: the engine's parts.
        ears: where it hears of work beside what the store's own watch tells.
    """

    def __init__(self, runtime: Runtime, ears: Sequence[Watch]) -> None:
        self._runtime = runtime
        self._ears = tuple(ears)
        self._watch: Watch | None = None
        self._looked_at = runtime.clock.now()
        """When delayed jobs were looked for last: what was due by then was found."""
        self.times: list[datetime] = []
        """When the delays of jobs end that this worker itself gave back: a heap."""

    async def open(self) -> None:
        """Watch the store.

        Raises:
            StoreError: it cannot be watched.
        """
        self._watch = await self._runtime.store.watch("jobs")

    async def close_ears(self) -> None:
        """Hear of nothing more, so that others do."""
        await asyncio.gather(*(ear.close() for ear in self._ears))

    async def close(self) -> None:
        """Let go of the store's watch, too."""
        if self._watch is not None:
            await self._watch.close()
            self._watch = None

    @property
    def is_told(self) -> bool:
        """Whether somebody tells of all that becomes claimable, so that the worker need hardly look."""
        return any(heard.hears_all for heard in (self._watch, *self._ears) if heard is not None)

    def looked(self, began: datetime) -> None:
        """Delayed jobs were looked for."""
        self._looked_at = began

    def remember(self, wake_at: datetime) -> None:
        """Remember when a job is due that this worker has delayed. Under full load nobody else drops what is past."""
        now = self._runtime.clock.now()
        past: datetime | None = None
        while self.times and self.times[0] <= now:
            past = heappop(self.times)
        if past is not None and past > self._looked_at:
            heappush(self.times, past)  # one of them says as well as all that it is time to look
        heappush(self.times, wake_at)

    async def seconds_to_next(self, within: float) -> float | None:
        """How long until a delayed job is due, if that is within so many seconds.

        Where reads are paid for and looks are frequent, only what this worker has delayed itself counts: the others
        are found in time too.

        Raises:
            StoreError: the store had to be asked, and could not be.
        """
        now = self._runtime.clock.now()
        until = now + timedelta(seconds=within)
        while self.times and self.times[0] <= self._looked_at:
            heappop(self.times)
        if self._runtime.store.limits().reads_are_priced and not self.is_told:
            own = self.times[0] if self.times and self.times[0] < until else None
            return None if own is None else max(0.0, (own - now).total_seconds())
        page = await self._runtime.store.query(Query("jobs.due", since=now - JUST_DUE, until=until, limit=1))
        times = [wake for record in page.records if isinstance(wake := record.fields.get("wake_at"), datetime)]
        return max(0.0, (min(times) - now).total_seconds()) if times else None

    def hints(self) -> list[Coroutine[Any, Any, Any]]:
        """What an idle worker waits for: the first of these to end says that it is time to look."""
        waits: list[Coroutine[Any, Any, Any]] = [self._sleep(), *(ear.wait() for ear in self._ears)]
        # Where reads are paid for, a watch of the store is one more reader: who is told otherwise needs none.
        is_dear = self._runtime.store.limits().reads_are_priced
        if self._watch is not None and not (is_dear and any(ear.hears_all for ear in self._ears)):
            waits.append(self._watch.wait())
        return waits

    async def _sleep(self) -> None:
        at_latest = self._runtime.limits.seconds_to_look()
        await self._runtime.clock.sleep(min(await self._seconds_to_look(), at_latest))

    async def _seconds_to_look(self) -> float:
        """How long an idle worker waits that nobody wakes: until a delayed job is due, or it is time to look."""
        pause = self._runtime.store.limits().poll_seconds
        if self.is_told:
            pause = max(pause, self._runtime.options.poll_seconds)
        due: float | None = None
        try:
            due = await self.seconds_to_next(pause)
        except StoreError as error:
            logger.warning("it is not known when the next delayed job is due: %s", error)
        return pause if due is None else max(SOONEST_LOOK_SECONDS, min(due, pause))
