"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
"""When tests begin: not on the hour's edge of anything."""

ROUNDS = 100_000
"""So often tasks may wake each other without any time going by; more is a busy loop."""


async def settle() -> None:
    """Let every task run until it waits for time, for a thread, or for ever."""
    # Nothing public says whether the event loop has anything left to run.
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError(f"tasks still woke each other after {ROUNDS} rounds: something never waits")


async def until(condition: Callable[[], bool]) -> None:
    """Let tasks run, without any time going by, until the condition holds."""
    for _ in range(ROUNDS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it did not come about within {ROUNDS} rounds of the event loop")


class FakeClock:
    """A clock whose time a test moves by hand; sleepers wake in the order of their times."""

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        # Whole microseconds, rounded up for sleepers: as on a real clock, nobody wakes before what it waited for.
        self._elapsed = 0
        self._number = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(microseconds=self._elapsed)

    def monotonic(self) -> float:
        # Far from zero, as a machine's clock is, so that nobody mistakes it for a duration.
        return 5000.0 + self._elapsed / 1e6

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + ceil(seconds * 1e6), next(self._number), woken))
        await woken

    def jump(self, seconds: float) -> None:
        """Let time go by without anybody noticing, as when a process was stopped."""
        self._elapsed += round(seconds * 1e6)

    async def advance(self, seconds: float) -> None:
        """Let time go by; whoever wakes on the way runs at its own time until it waits again."""
        target = self._elapsed + round(seconds * 1e6)
        await settle()
        while (due := self._next_due()) is not None and due <= target:
            self._elapsed = max(self._elapsed, due)
            while self._sleepers and self._sleepers[0][0] <= self._elapsed:
                woken = heapq.heappop(self._sleepers)[2]
                if not woken.done():
                    woken.set_result(None)
            await settle()
        self._elapsed = max(self._elapsed, target)
        await settle()

    def _next_due(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None
