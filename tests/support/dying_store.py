"""A store as a process sees it that dies after some number of calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.stores.base import Store, StoreUnavailable
from app.stores.faults import Call, FaultPlan, FaultyStore

_Answer = TypeVar("_Answer")


class DyingStore(FaultyStore):
    """Every call is counted; the last one that is let through is answered to nobody."""

    def __init__(self, inner: Store, calls: int | None = None) -> None:
        """Begin.

        Args:
            inner: what lives on.
            calls: how many calls still reach it; None for all.
        """
        super().__init__(inner, FaultPlan())
        self.left = calls
        self.made = 0
        """How many calls there were, whether they reached it or not."""

    async def _call(self, call: Call, act: Callable[[], Awaitable[_Answer]]) -> _Answer:
        self.made += 1
        if self.left is None:
            return await act()
        if self.left > 0:
            self.left -= 1
            answer = await act()
            if self.left:
                return answer
        raise StoreUnavailable("this process is dead")
