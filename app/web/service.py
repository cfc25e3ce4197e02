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

RETRY_SECONDS = 3.0
"""So long after an instance could not be made nobody tries again: every request would, and would hold a thread."""

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
            StoreError: the store could not be opened. Requests that come meanwhile share the attempt, and for some
                seconds after it nobody tries again.
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
        self._making: asyncio.Task[S] | None = None
        """Makes it now. This, and what follows, is touched on the loop only."""
        self._failure: Exception | None = None
        self._retry_from = float("-inf")
        self._stopping = False

    def wait_for(self, work: Callable[[S], Awaitable[R]], *, arrived: float | None = None) -> R:
        """Let the instance do something, and wait for its answer: see `Asked.wait_for`."""
        until = None
        if self._seconds is not None:
            until = (self._monotonic() if arrived is None else arrived) + self._seconds

        async def answered() -> R:
            return await work(await self._made())

        return self._begun().call(self._in_time(answered, until))

    def begin(self) -> None:
        """Make the instance now, not with the first request.

        Raises:
            Exception: what making it raises.
        """
        self._begun().call(self._made())

    def _begun(self) -> LoopThread:
        with self._lock:
            if self._loop is None:
                self._loop = LoopThread()
            return self._loop

    async def _made(self) -> S:
        """The instance. A request whose time is up waits no more, and spoils nothing for those that share the wait."""
        if self._instance is not None:
            return self._instance
        if self._making is None:
            if self._failure is not None and self._monotonic() < self._retry_from:
                raise self._failure.with_traceback(None)
            self._making = asyncio.create_task(self._make_once())
        return await asyncio.shield(self._making)

    async def _make_once(self) -> S:
        try:
            until = None if self._seconds is None else self._monotonic() + self._seconds
            instance = self._instance = await self._in_time(self._make, until)
        except Exception as error:
            self._failure, self._retry_from = error, self._monotonic() + RETRY_SECONDS
            raise
        finally:
            self._making = None
        if self._stopping:
            instance.begin_stop()
        return instance

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
            if self._loop is not None:
                self._loop.call(self._ended())
                self._loop.stop()
        if self._on_closed is not None:
            self._on_closed()

    async def _ended(self) -> None:
        if self._making is not None:
            await asyncio.wait({self._making})
        if self._instance is not None:
            await self._instance.close()


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
