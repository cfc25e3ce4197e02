"""The event loop of a serving process, and what lives on it, as request threads see them."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from app.jobs import LoopThread

R = TypeVar("R")

STOP_SECONDS = 10.0
"""How long closing waits for leases to be given back."""


class Served(Protocol):
    """What lives on the loop."""

    def begin_stop(self) -> None:
        """Take no more work, and begin to let go of what there is."""

    async def close(self) -> None:
        """The same, and wait for it; then close the store."""


S = TypeVar("S", bound=Served)


class Service(Generic[S]):
    """Makes the instance at the first request, in the process that serves it: nothing may fork once gRPC has begun.

    Args:
        make: puts the instance together, on the loop.
    """

    def __init__(self, make: Callable[[], Awaitable[S]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._instance: S | None = None
        self._stopping = False

    def wait_for(self, work: Callable[[S], Awaitable[R]]) -> R:
        """Let the instance do something, and wait for its answer.

        Raises:
            StoreError: the store could not be opened; the next request tries again.
        """
        loop, instance = self._begun()

        async def whole() -> R:
            return await work(instance)

        return loop.call(whole())

    def _begun(self) -> tuple[LoopThread, S]:
        with self._lock:
            if self._loop is None:
                self._loop = LoopThread()
            if self._instance is None:
                self._instance = self._loop.call(self._made())
                if self._stopping:
                    self._instance.begin_stop()
            return self._loop, self._instance

    async def _made(self) -> S:
        return await self._make()

    def begin_stop(self) -> None:
        """Take no more work and begin to give leases back. For a signal handler: it waits for nothing."""
        self._stopping = True
        if self._loop is not None and self._instance is not None:
            self._loop.loop.call_soon_threadsafe(self._instance.begin_stop)

    def close(self) -> None:
        """Give every lease back and close the store."""
        with self._lock:
            if self._loop is not None and self._instance is not None:
                self._loop.call(self._instance.close())
            if self._loop is not None:
                self._loop.stop()
