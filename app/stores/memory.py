"""Records in this process's memory: for tests, trials and throw-away work. Nothing outlives the object."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock

from app.stores.base import (
    Claimed,
    ClaimRequest,
    Decide,
    NotJoinable,
    Page,
    Query,
    Record,
    RecordKey,
    StoreError,
    StoreLimits,
    StoreUnavailable,
    Unit,
    Usage,
    Version,
    Watch,
)
from app.stores.checks import checked_unit, checked_units
from app.stores.ledger import Ledger

_LIMITS = StoreLimits(
    writes_per_commit=500,
    bytes_per_commit=64 * 2**20,
    bytes_per_record=16 * 2**20,
    units_per_round=100,
    claim_batch=100,
    rounds_in_flight=1,
    poll_seconds=5.0,
    embedded_worker=True,
    single_process=True,
)


class MemoryJobStore:
    """A store in memory with the semantics of every other one.

    Closing keeps the records, so that a closed store can be opened again, in another event loop too. It may be
    used from several threads and event loops at once.
    """

    def __init__(self) -> None:
        # Nothing is saved anywhere: what is worked out is made so at once.
        self._ledger = Ledger(_LIMITS, save=lambda changes: None)
        self._lock = Lock()
        self._is_open = False

    @property
    def usage(self) -> Usage:
        """Counters since `open`; reads are records looked at, at least one a question."""
        return self._ledger.usage

    def limits(self) -> StoreLimits:
        """What this store can take at once."""
        return _LIMITS

    async def open(self) -> None:
        """Begin, or go on, with the records that are there."""
        if not self._is_open:
            self._ledger.usage = Usage()
            self._is_open = True

    async def close(self) -> None:
        """End every watch and refuse further work until the store is opened again."""
        self._is_open = False
        self._ledger.hints.close()

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """The newest state of each record, in the order asked, None where there is none; see `Store.get`."""
        await self._enter()
        with self._lock:
            return self._ledger.get(collection, ids, also)

    async def commit(self, unit: Unit) -> list[Version]:
        """Apply one unit, all or nothing; see `Store.commit`."""
        checked_unit(unit)
        await self._enter()
        with self._lock:
            return self._ledger.commit(unit)

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """Apply many units, each all or nothing by itself; see `Store.commit_each`."""
        checked_units(units)
        await self._enter()
        with self._lock:
            return self._ledger.commit_each(units)

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Take claimable records; see `Store.claim`. Nobody can come between, so there are no conflicts."""
        await self._enter()
        with self._lock:
            return self._ledger.claim(request, lease, promote)

    async def query(self, query: Query) -> Page:
        """One page of records; see `Store.query`."""
        await self._enter()
        with self._lock:
            return self._ledger.query(query)

    async def count(self, query: Query) -> int:
        """How many records match, regardless of limit, offset and cursor; see `Store.count`."""
        await self._enter()
        with self._lock:
            return self._ledger.count(query)

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        """Hints about one record; without an id, hints that something in the collection became claimable."""
        await self._enter()
        return self._ledger.hints.watch(collection, record_id)

    async def enlist(self, transaction: object, unit: Unit) -> None:
        """Refuse: there is no transaction outside of this process's memory to join.

        Raises:
            NotJoinable: always.
        """
        raise NotJoinable(
            f"a memory store cannot write inside {type(transaction).__name__}; commit the unit when that is done"
        )

    async def _enter(self) -> None:
        # Every real store gives way here; one that never did would hide races, and starve the event loop.
        await asyncio.sleep(0)
        if not self._is_open:
            raise StoreUnavailable("the store is closed; open it first")
        self._ledger.usage.rpcs += 1
