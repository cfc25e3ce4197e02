"""How fast a store may be filled: so many writes a second at first, and half as many more every five minutes.

A store that spreads its data over machines as it grows takes no more than that at the beginning.
"""

from __future__ import annotations

from app.jobs.clock import Clock

STEP_SECONDS = 300.0
GROWTH = 1.5


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
