"""Hints inside one process: who watches what, and waking them from any thread or event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from threading import Lock

from app.stores.base import Record, StoreUnavailable

_CLAIMABLE = ("ready_at", "wake_at")


class Hints:
    """The watches of one store object. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watches: set[LocalWatch] = set()

    def watch(self, collection: str, record_id: str | None) -> LocalWatch:
        """A watch that belongs to the running event loop."""
        watch = LocalWatch(self, collection, record_id)
        with self._lock:
            self._watches.add(watch)
        return watch

    def forget(self, watch: LocalWatch) -> None:
        """Ring no more for this watch."""
        with self._lock:
            self._watches.discard(watch)

    def tell(self, changes: Iterable[tuple[Record | None, Record | None]]) -> None:
        """Wake whoever watches one of the changed records (each given as it was and as it is)."""
        if not self._watches:
            return
        with self._lock:
            watches = tuple(self._watches)
        for before, after in changes:
            record = after or before
            if record is None:
                continue
            claimable = after is not None and became_claimable(before, after)
            for watch in watches:
                touched = claimable if watch.record_id is None else watch.record_id == record.id
                if touched and watch.collection == record.collection:
                    watch.ring()

    def tell_all(self) -> None:
        """Wake everybody: anything may have changed."""
        with self._lock:
            watches = tuple(self._watches)
        for watch in watches:
            watch.ring()

    def close(self) -> None:
        """End every watch."""
        with self._lock:
            watches = tuple(self._watches)
        for watch in watches:
            watch.end()


class LocalWatch:
    """A `Watch` that is rung by the process that changes a record."""

    def __init__(self, hints: Hints, collection: str, record_id: str | None) -> None:
        self.collection = collection
        self.record_id = record_id
        self._hints = hints
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._ended = False

    @property
    def hears_all(self) -> bool:
        """Not by itself: other processes do not ring."""
        return False

    async def wait(self) -> None:
        """Return when there may have been a change since the last call.

        Raises:
            StoreUnavailable: the watch, or its store, is closed.
        """
        if not self._ended:
            await self._rung.wait()
            self._rung.clear()
        if self._ended:
            raise StoreUnavailable("this watch is closed; open the store and watch again")

    async def close(self) -> None:
        """Stop watching; a waiting caller is let go with StoreUnavailable."""
        self.end()

    def ring(self) -> None:
        """Let the waiting caller go on, from whatever thread."""
        try:
            current = asyncio.get_running_loop()
        except RuntimeError:
            current = None
        if current is self._loop:
            self._rung.set()
            return
        try:
            self._loop.call_soon_threadsafe(self._rung.set)
        except RuntimeError:
            # The watcher's event loop was closed without closing the watch: nobody can be waiting.
            self._hints.forget(self)

    def end(self) -> None:
        """Stop watching, from whatever thread."""
        self._ended = True
        self._hints.forget(self)
        self.ring()


def became_claimable(before: Record | None, after: Record) -> bool:
    """Whether a change lets somebody claim the record, now or at a time that may be earlier than anyone expects."""
    for name in _CLAIMABLE:
        when = after.fields.get(name)
        if when is not None and (before is None or before.fields.get(name) != when):
            return True
    return False
