"""Streams: one follower a request, read by the request's thread from the loop where the engine lives.

Each takes a thread of the server for as long as it lasts, so there are so many places and no more, and each ends after
a while: its reader takes it up again behind the last event that it has.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from app.jobs import StoreError, Subscription, TorporError
from app.web.problems import BUSY_SECONDS

T = TypeVar("T")

LONGEST_SECONDS = 300.0
"""How long one connection is served."""
KEEP_ALIVE_SECONDS = 10.0
"""How often something is sent when nothing happens, so that a reader that is gone is noticed."""
AGAIN_MILLISECONDS = 1000
"""After how long a reader should come back."""


class StreamsFull(TorporError):
    """Every place for those who follow jobs is taken."""

    code = "STREAMS_FULL"

    def __init__(self, places: int) -> None:
        super().__init__(f"all {places} streams of this process are taken; try again in {BUSY_SECONDS} seconds")


class Quiet:
    """Nothing has happened for a while."""


class Ended:
    """There is nothing more to come."""


class Follower(Generic[T]):
    """One subscription, read on the loop bit by bit."""

    def __init__(self, subscription: Subscription[T]) -> None:
        self._subscription = subscription
        self._next: asyncio.Task[T] | None = None

    async def next(self, seconds: float) -> T | Quiet | Ended:
        """What comes next within so many seconds.

        Raises:
            TorporError, StoreError: what the subscription raises.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(_first(self._subscription))
        await asyncio.wait({self._next}, timeout=seconds)
        if not self._next.done():
            return Quiet()
        task, self._next = self._next, None
        try:
            return task.result()
        except NothingMore:
            return Ended()

    def end(self) -> None:
        """Let it end where it is."""
        self._subscription.close()

    async def close(self) -> None:
        """End it, and wait until it lets go of the store."""
        self.end()
        with suppress(NothingMore, TorporError, StoreError):
            while True:
                await (self._next or _first(self._subscription))
                self._next = None


class NothingMore(Exception):
    """The end of a subscription, as a task can carry it."""


async def _first(subscription: Subscription[T]) -> T:
    try:
        return await anext(subscription)
    except StopAsyncIteration:
        raise NothingMore from None


class Streams:
    """The followers of one process. Lives on its loop.

    Args:
        places: how many there may be at once.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._followers: set[Follower[Any]] = set()
        self._ending = False

    def enter(self, subscription: Subscription[T]) -> Follower[T]:
        """A place for a follower.

        Raises:
            StreamsFull: there is none.
        """
        if len(self._followers) >= self._places:
            subscription.close()
            raise StreamsFull(self._places)
        follower = Follower(subscription)
        self._followers.add(follower)
        if self._ending:
            follower.end()
        return follower

    async def leave(self, follower: Follower[Any]) -> None:
        """Give the place back."""
        self._followers.discard(follower)
        await follower.close()

    def end_all(self) -> None:
        """Let every stream end where it is, and every later one at once."""
        self._ending = True
        for follower in self._followers:
            follower.end()


class Event(NamedTuple):
    """One thing that a reader is told."""

    kind: str
    data: object
    number: int | None = None
    """Behind which a reader goes on that comes back."""


class EventStream(Iterator[Event | None]):
    """The events of one request; None when nothing has happened for a while. Whoever has it closes it.

    Args:
        read: the next of what is followed, within so many seconds.
        shown: it as an event.
        ending: the last event, asked for when there is nothing more to come; None if there is more, elsewhere.
        left: called once when it is over.
        quiet_seconds: after how long without anything None is told.
        first: what is told before all else.
        monotonic: the clock.
    """

    def __init__(
        self,
        read: Callable[[float], Any],
        shown: Callable[[Any], Event],
        ending: Callable[[], Event | None],
        left: Callable[[], None],
        quiet_seconds: float = KEEP_ALIVE_SECONDS,
        first: Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._shown = shown
        self._ending = ending
        self._left = left
        self._quiet_seconds = quiet_seconds
        self._first = first
        self._monotonic = monotonic
        self._until = monotonic() + LONGEST_SECONDS
        self._over = False
        self._closed = False

    def __next__(self) -> Event | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        left = self._until - self._monotonic()
        if self._over or left <= 0:
            raise StopIteration
        try:
            found = self._read(min(left, self._quiet_seconds))
            if isinstance(found, Quiet):
                return None
            if not isinstance(found, Ended):
                return self._shown(found)
            self._over = True
            last = self._ending()
        except (TorporError, StoreError) as error:
            # The answer has begun, so its status says nothing any more: the reader comes back and hears it then.
            self._over = True
            return Event("trouble", {"code": getattr(error, "code", "STORE_UNAVAILABLE")})
        if last is None:
            raise StopIteration
        return last

    def close(self) -> None:
        """Give the place back."""
        if not self._closed:
            self._closed = True
            self._left()


def as_text(stream: EventStream) -> Iterator[bytes]:
    """A stream as server-sent events."""
    yield f"retry: {AGAIN_MILLISECONDS}\n\n".encode()
    for event in stream:
        if event is None:
            yield b": nothing new\n\n"
            continue
        number = "" if event.number is None else f"id: {event.number}\n"
        data = json.dumps(event.data, separators=(",", ":"))
        yield f"{number}event: {event.kind}\ndata: {data}\n\n".encode()
