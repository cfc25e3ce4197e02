"""How fast a store may be filled: so many writes a second at first, and half as many more every five minutes.

A store that spreads its data over machines as it grows takes no more than that at the beginning.
"""

from __future__ import annotations

from collections.abc import Callable

from app.jobs.clock import Clock

STEP_SECONDS = 300.0
GROWTH = 1.5
SENT_TOGETHER = 100
"""So many jobs go to the store between two looks at the pace."""

Progress = Callable[[int, int], object]
"""Is told how many of how many jobs are written."""


class Ramp:
    """The pace of one process's bulk writes."""

    def __init__(self, clock: Clock, writes_per_second: float | None) -> None:
        """Begin.

        Args:
            clock: what is waited by.
            writes_per_second: the pace in the first five minutes; None for as fast as can be.
        """
        self._clock = clock
        self._first = writes_per_second
        self.is_limited = writes_per_second is not None
        """Whether anybody may have to wait."""
        self._began: float | None = None
        self._free_at = 0.0

    async def take(self, writes: int) -> None:
        """Wait until so many more writes may be sent."""
        if self._first is None:
            return
        now = self._clock.monotonic()
        if self._began is None:
            self._began = self._free_at = now
        start = max(now, self._free_at)
        pace = self._first * GROWTH ** ((start - self._began) // STEP_SECONDS)
        self._free_at = start + writes / pace
        if start > now:
            await self._clock.sleep(start - now)


class Pace:
    """One call that creates many jobs: it keeps to the pace of its process, and tells how far it is."""

    def __init__(self, ramp: Ramp, total: int, on_progress: Progress | None) -> None:
        """Begin.

        Args:
            ramp: the pace of the process.
            total: how many jobs the call creates.
            on_progress: who is told.
        """
        self._ramp = ramp
        self._total = total
        self._on_progress = on_progress
        self._written = 0

    async def take(self, writes: int) -> None:
        """Wait until so many more writes may be sent."""
        await self._ramp.take(writes)

    def wrote(self, jobs: int) -> None:
        """So many more of the jobs are there."""
        self._written += jobs
        if self._on_progress is not None:
            self._on_progress(self._written, self._total)
