"""A store as a process sees it that is killed at some call: from then on nothing answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.stores.base import Store
from app.stores.faults import Call, FaultPlan, FaultyStore

_Answer = TypeVar("_Answer")


class KilledStore(FaultyStore):
    """Lets so many calls through. The last of them reaches the inner store, and its answer reaches nobody."""

    def __init__(self, inner: Store, calls: int | None = None) -> None:
        """Begin.

        Args:
            inner: what lives on.
            calls: how many calls still reach it; None for all.
        """
        super().__init__(inner, FaultPlan())
        self.left = calls
        self.made = 0
        """How many calls reached it."""
        self.written: list[set[str]] = []
        """The collections that each of them wrote to."""
        self._dead = asyncio.Event()

    @property
    def is_dead(self) -> bool:
        """Whether the process has come to the call at which it is killed."""
        return self._dead.is_set()

    async def killed(self) -> None:
        """Return when it has."""
        await self._dead.wait()

    async def _call(self, call: Call, act: Callable[[], Awaitable[_Answer]]) -> _Answer:
        if self.left is None or self.left > 0:
            self.made += 1
            self.written.append({write.collection for unit in call.units for write in unit})
            answer = await act()
            if self.left is None:
                return answer
            self.left -= 1
            if self.left:
                return answer
        self._dead.set()
        await asyncio.Event().wait()
        raise AssertionError("the dead do not go on")
