"""Wake-ups inside one process: a worker that waits is rung for at once, or exactly when a delayed job is due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush

from app.jobs.clock import Clock, SystemClock
from app.jobs.waiting import first_of
from app.jobs.waking import Hint, NoWaker, Waker

HORIZON = timedelta(hours=1)
"""Times further ahead are not kept: workers look at what is stored more often than that."""


class Bell:
    """A `Watch` that is rung by whoever hears of hints. Belongs to one event loop.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_rung = False
        self._times: list[datetime] = []
        """When it rings by itself: a heap."""
        self._touched = asyncio.Event()

    @property
    def hears_all(self) -> bool:
        """Not by itself: other processes do not ring."""
        return False

    def ring(self, at: datetime | None = None) -> None:
        """Let whoever waits go on: now, or at that time."""
        now = self._clock.now()
        if at is None or at <= now:
            self._is_rung = True
        elif at <= now + HORIZON and at not in self._times[:1]:
            heappush(self._times, at)
        self._touched.set()

    async def wait(self) -> None:
        """Return when it was rung since the last call, or one of the times has come."""
        while not self._take():
            self._touched.clear()
            if self._times:
                pause = (self._times[0] - self._clock.now()).total_seconds()
                await first_of(self._touched.wait(), self._clock.sleep(pause))
            else:
                await self._touched.wait()

    def _take(self) -> bool:
        is_rung, self._is_rung = self._is_rung, False
        now = self._clock.now()
        while self._times and self._times[0] <= now:
            heappop(self._times)
            is_rung = True
        return is_rung

    async def close(self) -> None:
        """Ring no more by itself."""
        self._times.clear()


class InProcessWaker:
    """Rings for the workers of this process. Belongs to one event loop.

    Args:
        clock: the time.
        also: is told too: of workers elsewhere.
    """

    def __init__(self, clock: Clock | None = None, also: Waker | None = None) -> None:
        self._clock = clock or SystemClock()
        self._also = also or NoWaker()
        self._bells: list[Bell] = []

    def bell(self) -> Bell:
        """A bell for one worker, which is rung from now on."""
        bell = Bell(self._clock)
        self._bells.append(bell)
        return bell

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Ring every bell for each hint, at the hint's time."""
        for bell in self._bells:
            for hint in hints:
                bell.ring(hint.at)
        await self._also.wake(hints)

    async def close(self) -> None:
        """Forget the bells, and let go of the other waker."""
        self._bells.clear()
        await self._also.close()
