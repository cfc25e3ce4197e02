"""Paused queues and job types: one small record, which every worker reads about once a poll."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.jobs.clock import Clock
from app.jobs.limits import COLLECTION, SCHEMA_VERSION
from app.jobs.models import JobQueue
from app.stores.base import (
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Record,
    RecordKey,
    Store,
    Update,
    Value,
)

RECORD_ID = "pauses"
MAX_TRIES = 20
"""How often a change is tried again when somebody else paused or resumed something first."""


@dataclass(frozen=True, slots=True)
class Paused:
    """What is paused."""

    queues: frozenset[JobQueue] = frozenset()
    types: frozenset[str] = frozenset()


class Pauses:
    """Knows what is paused, and changes it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known = Paused()
        self._read_at = float("-inf")

    @property
    def stale(self) -> list[RecordKey]:
        """What has to be read before `known` can answer by itself, for who reads something else at the same time."""
        is_old = self._clock.monotonic() - self._read_at >= self._store.limits().poll_seconds
        return [(COLLECTION, RECORD_ID)] if is_old else []

    def learn(self, record: Record | None) -> None:
        """Take over what was read of `stale` just now."""
        self._known, self._read_at = _paused(record), self._clock.monotonic()

    async def known(self) -> Paused:
        """What was paused at most one poll ago.

        Raises:
            StoreError: it had to be read, and could not be.
        """
        if self.stale:
            await self.read()
        return self._known

    async def read(self) -> Paused:
        """What is paused now.

        Raises:
            StoreError: it could not be read.
        """
        began = self._clock.monotonic()
        (record,) = await self._store.get(COLLECTION, [RECORD_ID])
        self._known, self._read_at = _paused(record), began
        return self._known

    async def change(self, decide: Callable[[Paused], Paused]) -> Paused:
        """Pause or resume something.

        Args:
            decide: what is to be paused, of what is now; asked again when somebody else was faster.

        Raises:
            StoreError: it could not be written.
        """
        tries = 0
        while True:
            (record,) = await self._store.get(COLLECTION, [RECORD_ID])
            before = _paused(record)
            after = decide(before)
            if after != before:
                try:
                    await self._store.commit([_write(record, after)])
                except (PreconditionFailed, OutcomeUnknown):
                    tries += 1
                    if tries >= MAX_TRIES:
                        raise
                    continue
            self._known, self._read_at = after, self._clock.monotonic()
            return after


def _paused(record: Record | None) -> Paused:
    if record is None:
        return Paused()
    queues, types = record.fields.get("queues"), record.fields.get("types")
    known = {str(queue) for queue in JobQueue}
    return Paused(
        frozenset(JobQueue(name) for name in queues if name in known) if isinstance(queues, tuple) else frozenset(),
        frozenset(types) if isinstance(types, tuple) else frozenset(),
    )


def _write(record: Record | None, paused: Paused) -> Insert | Update:
    fields: dict[str, Value] = {
        "schema_version": SCHEMA_VERSION,
        "queues": tuple(sorted(map(str, paused.queues))) or None,
        "types": tuple(sorted(paused.types)) or None,
    }
    if record is None:
        return Insert(COLLECTION, RECORD_ID, {name: value for name, value in fields.items() if value is not None})
    return Update(COLLECTION, RECORD_ID, fields, record.version)
