"""Hints from Firestore's stream of changes (the Listen call), open only while somebody waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TypeAlias

from app.stores.base import StoreError, StoreUnavailable
from app.stores.firestore.values import Message
from app.stores.firestore.wire import ListenTarget, Wire

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

State: TypeAlias = tuple[str, int, int] | None
"""A document as a watch tells one state from another: its name and its update time; None when it is gone."""


def document_target(name: str) -> Message:
    """What to listen to for one document."""
    target = ListenTarget(target_id=1)
    target.documents.documents.append(name)
    return target


def query_target(parent: str, structured: Message) -> Message:
    """What to listen to for the answer of a query."""
    target = ListenTarget(target_id=1)
    target.query.parent = parent
    target.query.structured_query.CopyFrom(structured)
    return target


class FirestoreWatch:
    """Waits for a document of a listen target to be in another state than when it was last seen.

    Nothing is read, and nothing billed, while nobody waits: a worker waits only when it is idle. In return the
    first wait always returns at once if there is a document, because it may have changed since anyone looked.
    """

    def __init__(
        self, wire: Wire, target: Message, randomness: Random, forget: Callable[[FirestoreWatch], None]
    ) -> None:
        self._wire = wire
        self._target = target
        self._random = randomness
        self._forget = forget
        self._seen: State = None
        self._told = asyncio.Event()
        self._is_closed = False

    @property
    def hears_all(self) -> bool:
        """Not beyond doubt: a stream that is lost is opened again without a word."""
        return False

    async def wait(self) -> None:
        """Return when there may have been a change since the last call.

        Raises:
            StoreUnavailable: the watch, or its store, is closed.
        """
        if not self._is_closed:
            self._told.clear()
            await self._listen()
        if self._is_closed:
            raise StoreUnavailable("this watch is closed; open the store and watch again")

    async def close(self) -> None:
        """Stop watching; a waiting caller is let go with StoreUnavailable."""
        self.end()

    def end(self) -> None:
        """Stop watching."""
        self._is_closed = True
        self._told.set()
        self._forget(self)

    async def _listen(self) -> None:
        """Listen until told; a stream that broke is opened again, later each time."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._told.is_set():
            try:
                await self._wire.listen(self._target, self._look, self._told)
            except StoreError:
                # Whatever is wrong, the caller's own questions run into it as well and say so; a hint is only late.
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause * self._random.uniform(0.5, 1)):
                        await self._told.wait()
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _look(self, document: Message | None) -> None:
        state: State = None
        if document is not None:
            state = (document.name, document.update_time.seconds, document.update_time.nanos)
        if state != self._seen:
            self._seen = state
            self._told.set()
