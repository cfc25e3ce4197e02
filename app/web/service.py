"""The event loop of a serving process, and what lives on it, as request threads see them."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

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
P = TypeVar("P")
Asked_co = TypeVar("Asked_co", covariant=True)


class Asked(Protocol[Asked_co]):
    """Something on the loop that request threads ask."""

    def wait_for(self, work: Callable[[Asked_co], Awaitable[R]]) -> R:
        """Let it do something, and wait for its answer.

        Raises:
            StoreError: the store could not be opened; the next request tries again.
        """


class Service(Generic[S]):
    """Makes the instance at the first request, in the process that serves it: nothing may fork once gRPC has begun.

    Args:
        make: puts the instance together, on the loop.
        on_closed: called when all of it is closed.
    """

    def __init__(self, make: Callable[[], Awaitable[S]], *, on_closed: Callable[[], None] | None = None) -> None:
        self._make = make
        self._on_closed = on_closed
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

    def begin(self) -> None:
        """Make the instance now, not with the first request.

        Raises:
            Exception: what making it raises.
        """
        self._begun()

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
        if self._on_closed is not None:
            self._on_closed()


class Part(Generic[P]):
    """A part of what a service has made, for an application that needs no more of it.

    Args:
        whole: the service. Whoever has it ends it.
        part: finds the part.
    """

    def __init__(self, whole: Service[S], part: Callable[[S], P]) -> None:
        def wait_for(work: Callable[[P], Awaitable[R]]) -> R:
            return whole.wait_for(lambda made: work(part(made)))

        self._wait_for: Callable[[Callable[[P], Awaitable[Any]]], Any] = wait_for

    def wait_for(self, work: Callable[[P], Awaitable[R]]) -> R:
        """See `Asked.wait_for`."""
        answer: R = self._wait_for(work)
        return answer
