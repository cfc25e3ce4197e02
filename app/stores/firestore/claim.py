"""Claiming: candidates from plain queries, then one BatchWrite that takes each only if it is still as it was seen.

Contended transactions take seconds each in Firestore, so there is none: the update time of every candidate is its
write's precondition, and losing one to somebody else costs nothing but the read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from app.stores.base import Claimed, ClaimRequest, Decide, Fields, OutcomeUnknown, Record, StoreError, Update
from app.stores.checks import keeping
from app.stores.firestore.crowding import Crowding, place_of
from app.stores.firestore.failures import code_of, may_be_applied
from app.stores.firestore.queries import DUE, MAX_DISJUNCTIONS, READY, Place, Queries, record_of
from app.stores.firestore.values import Message, version_of
from app.stores.firestore.wire import Wire
from app.stores.firestore.writes import Writes

_MAX_ROUNDS = 6
"""How often one claim takes the next candidates after it lost some; the next claim goes on from there."""
_MAX_PAGES = 3
"""How many pages of one queue are read for one round: those already tried, or past the end, don't fill it."""


class Claims:
    """Claims in one environment; remembers how crowded the last ones were."""

    def __init__(self, wire: Wire, writes: Writes, queries: Queries, randomness: Random) -> None:
        self._wire = wire
        self._writes = writes
        self._queries = queries
        self._crowding = Crowding(randomness)

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Take candidates as `Store.claim` says."""
        if request.limit < 1:
            raise ValueError(f"a claim of {request.limit} records: ask for at least 1")
        attempt = _Attempt(request)
        due, _ = await asyncio.gather(self._due(request), self._fill(attempt, attempt.sources[:1]))
        attempt.sort_out(due)
        try:
            for _ in range(_MAX_ROUNDS):
                await self._fill(attempt, attempt.sources)
                chosen, surplus = attempt.choose()
                if not chosen and not surplus:
                    break
                await self._take(attempt, chosen, surplus, lease, promote)
                if not attempt.wanted:
                    break
        except OutcomeUnknown:
            raise
        except StoreError:
            # What is claimed already must reach its holder; whatever failed will show again at the next claim.
            if not attempt.claimed:
                raise
        return Claimed(attempt.claimed, attempt.conflicts, full_page=attempt.has_more or len(due) == request.limit)

    # --- reading candidates --------------------------------------------------------------------------------

    async def _due(self, request: ClaimRequest) -> list[Record]:
        if not request.due:
            return []
        documents = await self._wire.query(self._queries.due(request.now, request.limit))
        return [record_of(each, DUE.collection) for each in documents]

    async def _fill(self, attempt: _Attempt, sources: Sequence[_Source]) -> None:
        """Read ready records, from one queue after the other, until there are as many candidates as wanted."""
        for source in sources:
            for _ in range(_MAX_PAGES):
                missing = attempt.wanted - attempt.candidates_until(source)
                if missing <= 0 or source.is_dry:
                    break
                attempt.add_ready(source, await self._page(source, attempt.request, missing))

    async def _page(self, source: _Source, request: ClaimRequest, limit: int) -> list[Record]:
        """The next records of a queue: the best there are, or where there is less of a crowd."""
        if self._crowding.is_crowded and source.after is None and not source.is_short:
            records = await self._page_elsewhere(source, request, limit)
        else:
            records = await self._ready(source, request, limit)
        self._crowding.see(records)
        if len(records) == limit:
            source.after = place_of(records[-1])
            if source.level is not None:
                self._crowding.ground[source.queue] = source.after
        elif source.level is None:
            source.is_dry = True
        else:
            self._crowding.went_past_the_end(source.queue)
            source.after = source.level = None
            source.is_short = True
        return records

    async def _page_elsewhere(self, source: _Source, request: ClaimRequest, limit: int) -> list[Record]:
        """A page of this claimer's own ground, if that is still in the top level of priority, else a random one."""
        own = self._crowding.ground.get(source.queue)
        if own is None:
            best = await self._ready(source, request, 1)
        else:
            source.after, source.level = own, own.priority
            best, records = await asyncio.gather(
                self._ready(_Source(source.queue, source.place), request, 1), self._ready(source, request, limit)
            )
            if best and place_of(best[0]).priority == own.priority:
                return records
            source.after = source.level = None
        if not best:
            return []
        source.after = self._crowding.somewhere(place_of(best[0]), request.limit)
        source.level = source.after.priority
        return await self._ready(source, request, limit)

    async def _ready(self, source: _Source, request: ClaimRequest, limit: int) -> list[Record]:
        """The next records of a source, in order, from as few queries as the limit of alternatives allows."""
        shards = tuple(dict.fromkeys(request.shards))
        routes = tuple(dict.fromkeys(request.routes))
        if not shards or not routes:
            return []
        step = max(1, MAX_DISJUNCTIONS // len(shards))
        questions = [
            self._queries.ready(
                source.queue, routes[at : at + step], shards, limit, after=source.after, level=source.level
            )
            for at in range(0, len(routes), step)
        ]
        if len(questions) == 1:
            return [record_of(document, READY.collection) for document in await self._wire.query(questions[0])]
        pages = await asyncio.gather(*map(self._wire.query, questions))
        records = [record_of(document, READY.collection) for page in pages for document in page]
        records.sort(key=lambda record: _rank(0, record, "ready_at"))
        return records[:limit]

    # --- taking them ---------------------------------------------------------------------------------------

    async def _take(
        self,
        attempt: _Attempt,
        chosen: Sequence[_Candidate],
        surplus: Sequence[Record],
        lease: Decide,
        promote: Decide,
    ) -> None:
        changes = [(each.record, patch) for each in chosen if (patch := lease(each.record)) is not None]
        leases = len(changes)
        changes += [(record, patch) for record in surplus if (patch := promote(record)) is not None]
        if not changes:
            return
        response = await self._wire.batch_write(self._batch(changes))
        lost = 0
        for place, ((record, patch), status, result) in enumerate(
            zip(changes, response.status, response.write_results, strict=True)
        ):
            if not status.code:
                if place < leases:
                    fields = keeping(record.fields, patch)
                    attempt.claimed.append(Record(record.collection, record.id, version_of(result.update_time), fields))
            elif may_be_applied(code_of(status.code)):
                raise OutcomeUnknown(f"no answer for {record.id} ({status.message}); read back what was claimed")
            else:
                attempt.conflicts += 1
                lost += place < leases
        if leases:
            self._crowding.learn(leases, lost)
        if lost * 2 > leases:
            attempt.scatter()

    def _batch(self, changes: Sequence[tuple[Record, Fields]]) -> Message:
        request = self._wire.new_batch()
        for record, patch in changes:
            self._writes.fill(request.writes.add(), Update(record.collection, record.id, patch, record.version))
        return request


@dataclass(slots=True)
class _Source:
    """The ready records of one queue, read page by page."""

    queue: str
    place: int
    after: Place | None = None
    """Where the next page begins; None is the best record of all."""
    level: int | None = None
    """The only priority that is read, while it is read from a random place."""
    is_short: bool = False
    """Whether a random place turned out to be past the end, so that the best page is next."""
    is_dry: bool = False
    """Whether everything that was there has been read."""


@dataclass(slots=True)
class _Candidate:
    rank: tuple[Any, ...]
    record: Record
    is_due: bool


class _Attempt:
    """What one claim has seen and taken so far."""

    def __init__(self, request: ClaimRequest) -> None:
        self.request = request
        self.sources = [_Source(queue, place) for place, queue in enumerate(dict.fromkeys(request.queues))]
        self.claimed: list[Record] = []
        self.conflicts = 0
        self._pool: list[_Candidate] = []
        self._strangers: list[Record] = []
        self._seen: set[str] = set()

    @property
    def wanted(self) -> int:
        """How many records are still to be claimed."""
        return self.request.limit - len(self.claimed)

    @property
    def has_more(self) -> bool:
        """Whether candidates were left, or not even looked for."""
        return bool(self._pool) or not all(source.is_dry for source in self.sources)

    def candidates_until(self, source: _Source) -> int:
        """How many candidates there are in this queue and those before it."""
        return sum(each.rank[0] <= source.place for each in self._pool)

    def add_ready(self, source: _Source, records: Sequence[Record]) -> None:
        """Take in ready records; one that was a candidate before never is again."""
        for record in records:
            if record.id not in self._seen:
                self._seen.add(record.id)
                self._pool.append(_Candidate(_rank(source.place, record, "ready_at"), record, is_due=False))

    def sort_out(self, due: Sequence[Record]) -> None:
        """Take in due records: candidates where this claim serves them, otherwise only to be promoted."""
        places = {source.queue: source.place for source in self.sources}
        for record in due:
            place = places.get(str(record.fields.get("queue")))
            serves = record.fields.get("route") in self.request.routes and (
                record.fields.get("shard") in self.request.shards
            )
            if place is None or not serves:
                self._strangers.append(record)
            else:
                self._seen.add(record.id)
                self._pool.append(_Candidate(_rank(place, record, "wake_at"), record, is_due=True))

    def choose(self) -> tuple[list[_Candidate], list[Record]]:
        """The best candidates, as many as wanted, and the due records that are left over."""
        self._pool.sort(key=lambda each: each.rank)
        chosen, rest = self._pool[: self.wanted], self._pool[self.wanted :]
        surplus = [*self._strangers, *(each.record for each in rest if each.is_due)]
        self._strangers = []
        self._pool = [each for each in rest if not each.is_due]
        return chosen, surplus

    def scatter(self) -> None:
        """Look for the next candidates somewhere else than right behind those that others took."""
        for source in self.sources:
            if not source.is_dry:
                source.after = source.level = None
                source.is_short = False


def _rank(place: int, record: Record, since: str) -> tuple[Any, ...]:
    fields: Any = record.fields
    return place, -fields.get("priority", 0), fields[since], record.id
