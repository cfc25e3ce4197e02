"""The event loop of a serving process, and what lives on it, as request threads see them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from app.jobs import LoopThread
from app.web.deadlines import OutOfTime

logger = logging.getLogger(__name__)

R = TypeVar("R")


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

    def wait_for(self, work: Callable[[Asked_co], Awaitable[R]], *, arrived: float | None = None) -> R:
        """Let it do something, and wait for its answer.

        Args:
            work: what it is to do.
            arrived: the monotonic time at which the request came; now, if left out. From then on its time runs.

        Raises:
            OutOfTime: there is no answer in time. What was to be done was cancelled.
            StoreError: the store could not be opened; the next request tries again.
        """


class Service(Generic[S]):
    """Makes the instance at the first request, in the process that serves it: nothing may fork once gRPC has begun.

    Args:
        make: puts the instance together, on the loop.
        on_closed: called when all of it is closed.
        seconds: how long after its arrival a request is waited with at most; None waits for as long as it takes.
        monotonic: tells the time.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[S]],
        *,
        on_closed: Callable[[], None] | None = None,
        seconds: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._on_closed = on_closed
        self._seconds = seconds
        self._monotonic = monotonic
        self._tasks: set[asyncio.Task[Any]] = set()
        """What requests wait for, and what ends behind one that waits no more."""
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._instance: S | None = None
        self._stopping = False

    def wait_for(self, work: Callable[[S], Awaitable[R]], *, arrived: float | None = None) -> R:
        """Let the instance do something, and wait for its answer: see `Asked.wait_for`."""
        until = None
        if self._seconds is not None:
            until = (self._monotonic() if arrived is None else arrived) + self._seconds
        loop, instance = self._begun(until)
        return loop.call(self._in_time(lambda: work(instance), until))

    def begin(self) -> None:
        """Make the instance now, not with the first request.

        Raises:
            Exception: what making it raises.
        """
        self._begun()

    def _begun(self, until: float | None = None) -> tuple[LoopThread, S]:
        if not self._lock.acquire(timeout=-1 if until is None else self._left(until)):
            raise OutOfTime
        try:
            if self._loop is None:
                self._loop = LoopThread()
            if self._instance is None:
                self._instance = self._loop.call(self._in_time(self._make, until))
                if self._stopping:
                    self._instance.begin_stop()
            return self._loop, self._instance
        finally:
            self._lock.release()

    def _left(self, until: float) -> float:
        return max(0.0, until - self._monotonic())

    async def _in_time(self, work: Callable[[], Awaitable[R]], until: float | None) -> R:
        """Its answer, unless there is none in time: what lets go behind a cancel is not waited for."""
        if until is None:
            return await work()
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({task}, timeout=self._left(until))
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_ended_late)
        if not task.done():
            raise OutOfTime
        return task.result()

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


def _ended_late(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("a request whose time was up failed: %r", error)


class Part(Generic[P]):
    """A part of what a service has made, for an application that needs no more of it.

    Args:
        whole: the service. Whoever has it ends it.
        part: finds the part.
    """

    def __init__(self, whole: Service[S], part: Callable[[S], P]) -> None:
        def wait_for(work: Callable[[P], Awaitable[Any]], arrived: float | None) -> Any:
            return whole.wait_for(lambda made: work(part(made)), arrived=arrived)

        self._wait_for = wait_for

    def wait_for(self, work: Callable[[P], Awaitable[R]], *, arrived: float | None = None) -> R:
        """See `Asked.wait_for`."""
        answer: R = self._wait_for(work, arrived)
        return answer
