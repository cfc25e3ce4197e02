"""Whether the store can be reached, as the platform and anybody else may ask."""

from __future__ import annotations

import asyncio

from app.jobs import Runtime, StoreError, StoreUnavailable

REACH_SECONDS = 5.0
"""How long the store counts as reachable after an answer: anybody may ask without a token, and some reads are paid."""
TROUBLE_SECONDS = 1.0
"""How long it counts as unreachable after a failure."""


class Readiness:
    """Asks the store for something small, one question at a time. Belongs to one event loop.

    Args:
        runtime: has the store and the clock.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._asking = asyncio.Lock()
        self._holds_until = float("-inf")
        self._trouble: StoreError | None = None

    async def check(self) -> None:
        """Ask, unless somebody did a moment ago.

        Raises:
            StoreError: it cannot be reached.
        """
        async with self._asking:
            if self._runtime.clock.monotonic() < self._holds_until:
                if self._trouble is not None:
                    raise StoreUnavailable(f"it was asked a moment ago: {self._trouble}") from self._trouble
                return
            try:
                await self._runtime.store.get("jobs", ["readiness"])
            except StoreError as error:
                self._trouble, self._holds_until = error, self._runtime.clock.monotonic() + TROUBLE_SECONDS
                raise
            self._trouble, self._holds_until = None, self._runtime.clock.monotonic() + REACH_SECONDS
