"""Claiming: candidates from plain queries, then one BatchWrite that takes each only if it is still as it was seen.

Contended transactions take seconds each in Firestore, so there is none: the update time of every candidate is its
write's precondition, and losing one to somebody else costs nothing but the read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

from app.stores.base import Claimed, ClaimRequest, Decide, Fields, OutcomeUnknown, Record, StoreError, Update
from app.stores.checks import keeping
from app.stores.firestore.crowding import Crowding, place_of
from app.stores.firestore.failures import code_of, may_be_applied
from app.stores.firestore.homes import PROBE, Homes
from app.stores.firestore.queries import DUE, MAX_DISJUNCTIONS, READY, Place, Queries, record_of
from app.stores.firestore.values import Message, version_of
from app.stores.firestore.wire import Wire
from app.stores.firestore.writes import Writes

_Value = TypeVar("_Value", int, str)

_MAX_ROUNDS = 6
"""How often one claim takes the next candidates after it lost some; the next claim goes on from there."""
_MAX_PAGES = 5
"""How many pages of one queue are read for one round: those already tried, or past the end, don't fill it."""
_MAX_HOMES = 3
"""How many shards a claim drains before it takes from all that are left at once."""


class Claims:
    """Claims in one environment; remembers how crowded the last ones were, and which shards it keeps to."""

    def __init__(self, wire: Wire, writes: Writes, queries: Queries, randomness: Random) -> None:
        self._wire = wire
        self._writes = writes
        self._queries = queries
        self._crowding = Crowding(randomness)
        self._homes = Homes(randomness)

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Take candidates as `Store.claim` says."""
        if request.limit < 1:
            raise ValueError(f"a claim of {request.limit} records: ask for at least 1")
        if request.spread > 1:
            request = replace(request, limit=min(request.limit, self._homes.page))
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
        """The next records of a queue: of this claimer's own shard where it may keep to one, else of all shards."""
        if request.spread > 1 and source.home is None and not source.is_at_large:
            source.home = self._homes.of(source.queue)
            if source.home is None:
                return await self._probe(source, request, limit)
        records = await self._next_page(source, request, limit)
        self._crowding.see(records)
        if len(records) == limit:
            source.after = place_of(records[-1])
            if source.level is not None:
                self._crowding.ground[source.ground] = source.after
            if source.home is not None:
                self._homes.took_a_page(source.queue)
            elif request.spread > 1:
                self._homes.settle(source.queue, sorted({_shard_of(record) for record in records}))
        elif source.level is not None:
            self._crowding.went_past_the_end(source.ground)
            source.after = source.level = None
            source.is_short = True
        elif source.home is not None:
            source.leave_home()
            others = [shard for shard in _own_shards(request) if shard not in source.drained]
            if records and others:
                self._homes.settle(source.queue, others)
            else:
                self._homes.leave(source.queue)
        else:
            source.is_dry = True
        return records

    async def _probe(self, source: _Source, request: ClaimRequest, limit: int) -> list[Record]:
        """The best of all shards, few of them: either that is all there is, or it is time to find a shard to live in.

        It costs nothing where there is nothing, and hardly anything where all claimers begin at once.
        """
        limit = min(limit, PROBE)
        records = await self._ready(source, request, limit)
        if len(records) == limit:
            # Where its own shard is drained, others may be as well: then only these are known to have work.
            seen = sorted({_shard_of(record) for record in records})
            self._homes.settle(source.queue, seen if source.drained else _own_shards(request))
        else:
            source.is_dry = True
        return records

    async def _next_page(self, source: _Source, request: ClaimRequest, limit: int) -> list[Record]:
        """The next records from where the source is read: the best there are, or where there is less of a crowd."""
        if self._crowding.is_crowded and source.after is None and not source.is_short:
            return await self._page_elsewhere(source, request, limit)
        return await self._ready(source, request, limit)

    async def _page_elsewhere(self, source: _Source, request: ClaimRequest, limit: int) -> list[Record]:
        """A page of this claimer's own ground, if that is still in the top level of priority, else a random one."""
        own = self._crowding.ground.get(source.ground)
        if own is None:
            best = await self._ready(source, request, 1)
        else:
            source.after, source.level = own, own.priority
            best, records = await asyncio.gather(
                self._ready(source.from_the_start(), request, 1), self._ready(source, request, limit)
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
        shards = source.shards_of(request)
        routes = tuple(dict.fromkeys(request.routes))
        if not shards or not routes:
            return []
        questions = [
            self._queries.ready(source.queue, some_routes, some_shards, limit, after=source.after, level=source.level)
            for some_shards in _pieces(shards, MAX_DISJUNCTIONS)
            for some_routes in _pieces(routes, max(1, MAX_DISJUNCTIONS // len(some_shards)))
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
        if leases and not self._homes.learn(leases, lost, _own_shards(attempt.request)):
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
    home: int | None = None
    """The only shard that is read, while it is the claimer's own."""
    is_at_large: bool = False
    """Whether all other shards are read, because its own did not give enough."""
    drained: set[int] = field(default_factory=set)
    """Shards in which everything that was there has been read."""

    @property
    def ground(self) -> str:
        """What the places in it are remembered by."""
        return self.queue if self.home is None else f"{self.queue}/{self.home}"

    def shards_of(self, request: ClaimRequest) -> tuple[int, ...]:
        """The shards that are read now."""
        if self.home is not None:
            return (self.home,)
        return tuple(shard for shard in dict.fromkeys(request.shards) if shard not in self.drained)

    def from_the_start(self) -> _Source:
        """The same shards, read from the best record on."""
        return _Source(self.queue, self.place, home=self.home, drained=self.drained)

    def leave_home(self) -> None:
        """Read the other shards from now on: there is nothing left in this one."""
        if self.home is not None:
            self.drained.add(self.home)
        self.look_anew()
        self.is_at_large = len(self.drained) >= _MAX_HOMES

    def look_anew(self) -> None:
        """Decide anew where to read the next page."""
        self.home = self.after = self.level = None
        self.is_short = self.is_at_large = False


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
                source.look_anew()


def _own_shards(request: ClaimRequest) -> Sequence[int]:
    """The shards among which a claimer may choose one to keep to."""
    return [shard for shard in dict.fromkeys(request.shards) if shard < request.spread]


def _shard_of(record: Record) -> int:
    # The query filters by it, so a record without one is not found, and the schema says what it is.
    return record.fields["shard"]  # type: ignore[return-value]


def _pieces(values: Sequence[_Value], size: int) -> Iterator[Sequence[_Value]]:
    return (values[at : at + size] for at in range(0, len(values), size))


def _rank(place: int, record: Record, since: str) -> tuple[Any, ...]:
    fields: Any = record.fields
    return place, -fields.get("priority", 0), fields[since], record.id
