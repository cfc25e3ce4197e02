"""Records in memory, with what follows from writes and claims worked out first and applied afterwards.

Working out (`plan…`) changes nothing, so that a store can make a change durable between the two steps. Nothing
here waits or locks: whoever owns the tables sees to it that one caller is in at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app.stores.base import (
    ClaimRequest,
    Decide,
    Delete,
    Insert,
    Page,
    PreconditionFailed,
    Put,
    Query,
    Record,
    Unit,
    Update,
    Verify,
    Version,
    Write,
)
from app.stores.checks import checked_fields, keeping
from app.stores.evaluate import READY_STATUS, page, question
from app.stores.indexes import CollectionIndexes, combinations
from app.stores.schema import BY_NAME, SHAPE_BY_NAME

Change: TypeAlias = tuple[Record | None, Record | None]
"""One record as it was and as it will be; None is where there is no record."""

State: TypeAlias = tuple[str, str, Record | None]
"""Collection and id of a record, and the state it has from now on; None where it is gone."""

_READY = SHAPE_BY_NAME["jobs.ready"]
_DUE = SHAPE_BY_NAME["jobs.due"]


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """What one unit changes, and the versions that its writes answer with."""

    changes: Sequence[Change]
    versions: list[Version]


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What a claim changes; `taken` are the records it brings, in order."""

    changes: Sequence[Change]
    taken: Sequence[Record]
    full_page: bool
    looked_at: int


class Tables:
    """Every collection's records and indexes. Versions count up, over all collections together."""

    def __init__(self) -> None:
        self.last_version = 0
        """The newest version that was given out; it never goes back."""
        self._records: dict[str, dict[str, Record]] = {name: {} for name in BY_NAME}
        self._indexes = {name: CollectionIndexes(name, records) for name, records in self._records.items()}

    def __iter__(self) -> Iterator[Record]:
        for records in self._records.values():
            yield from records.values()

    def __len__(self) -> int:
        return sum(map(len, self._records.values()))

    def get(self, collection: str, ids: Iterable[str]) -> list[Record | None]:
        """The records with these ids, in the order asked, None where there is none.

        Raises:
            ValueError: the collection is not declared.
        """
        records = self._collection(collection)
        return [records.get(record_id) for record_id in ids]

    def plan(self, unit: Unit) -> UnitPlan:
        """What a checked unit would change.

        Raises:
            PreconditionFailed: a write names a state that is not the stored one.
        """
        changes: list[Change] = []
        versions: list[Version] = []
        for write in unit:
            before = self._records[write.collection].get(write.id)
            self._check_precondition(write, before)
            if isinstance(write, Verify):
                versions.append(write.version)
                continue
            if isinstance(write, Delete):
                versions.append("")
                if before is not None:
                    changes.append((before, None))
                continue
            base = before.fields if isinstance(write, Update) and before is not None else None
            after = Record(write.collection, write.id, self._next_version(), keeping(base, write.fields))
            versions.append(after.version)
            changes.append((before, after))
        return UnitPlan(changes, versions)

    def plan_claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> ClaimPlan:
        """What a claim would change; looks at no more than `limit` due records and `limit` ready ones a queue.

        Raises:
            ValueError: a limit below 1, or a field in a patch that jobs do not have; TypeError for its kind.
        """
        if request.limit < 1:
            raise ValueError(f"a claim of {request.limit}: ask for at least 1")
        due = self._due(request) if request.due else []
        chosen: list[Record] = []
        looked_at = len(due)
        seen = {record.id for record in due}
        for queue in dict.fromkeys(request.queues):
            if len(chosen) >= request.limit:
                break
            ready = self._ready(queue, request, request.limit - len(chosen))
            looked_at += len(ready)
            candidates = [record for record in due if record.fields.get("queue") == queue and _serves(request, record)]
            candidates += [record for record in ready if record.id not in seen]
            candidates.sort(key=_place_in_queue)
            chosen += candidates[: request.limit - len(chosen)]
        changes: list[Change] = []
        taken: list[Record] = []
        for record in chosen:
            if (after := self._decided(record, lease)) is not None:
                changes.append((record, after))
                taken.append(after)
        left = {record.id for record in chosen}
        changes.extend(
            (record, after)
            for record in due
            if record.id not in left and (after := self._decided(record, promote)) is not None
        )
        return ClaimPlan(changes, taken, len(chosen) >= request.limit or len(due) >= request.limit, looked_at)

    def apply(self, changes: Iterable[Change]) -> None:
        """Make planned changes the state; nothing may have been applied since they were planned."""
        for before, after in changes:
            record = after or before
            if record is None:
                continue
            records = self._records[record.collection]
            if after is None:
                del records[record.id]
            else:
                records[record.id] = after
            self._indexes[record.collection].move(before, after)

    def follow(self, states: Iterable[State]) -> list[Change]:
        """Take over states that were worked out elsewhere; gives what that changed."""
        changes: list[Change] = []
        for collection, record_id, after in states:
            change = (self._records[collection].get(record_id), after)
            self.apply([change])
            changes.append(change)
        return changes

    def query(self, query: Query) -> Page:
        """One page of records.

        Raises:
            UnknownShape: the shape or a filter is not declared.
            ValueError: limit, offset or cursor make no sense; TypeError for a bound of another kind.
        """
        asked = question(query)
        return page(asked, self._indexes[asked.shape.collection].find(asked))

    def count(self, query: Query) -> int:
        """How many records match, regardless of limit, offset and cursor.

        Raises:
            UnknownShape: as `query`.
        """
        asked = question(Query(query.shape, query.where, query.since, query.until, query.reverse))
        return self._indexes[asked.shape.collection].count(asked)

    def _collection(self, name: str) -> dict[str, Record]:
        records = self._records.get(name)
        if records is None:
            raise ValueError(f"no collection is called {name!r}; declared: {', '.join(BY_NAME)}")
        return records

    def _next_version(self) -> Version:
        self.last_version += 1
        return str(self.last_version)

    def _check_precondition(self, write: Write, found: Record | None) -> None:
        if isinstance(write, Put) or (isinstance(write, Delete) and write.version is None):
            return
        if isinstance(write, Insert):
            if found is not None:
                raise PreconditionFailed(write.collection, write.id, "there is a record with this id already")
        elif found is None:
            raise PreconditionFailed(write.collection, write.id, "there is no such record")
        elif found.version != write.version:
            raise PreconditionFailed(write.collection, write.id, f"its version is {found.version}, not {write.version}")

    def _due(self, request: ClaimRequest) -> list[Record]:
        records = self._records[_DUE.collection]
        ids = self._indexes[_DUE.collection].before(_DUE.name, request.now, request.limit)
        return [records[record_id] for record_id in ids]

    def _ready(self, queue: str, request: ClaimRequest, limit: int) -> list[Record]:
        records = self._records[_READY.collection]
        groups = combinations((READY_STATUS, queue), request.routes, request.shards)
        return [records[record_id] for record_id in self._indexes[_READY.collection].head(_READY.name, groups, limit)]

    def _decided(self, record: Record, decide: Decide) -> Record | None:
        patch = decide(record)
        if patch is None:
            return None
        checked_fields(record.collection, BY_NAME[record.collection].fields, patch)
        return Record(record.collection, record.id, self._next_version(), keeping(record.fields, patch))


def _serves(request: ClaimRequest, record: Record) -> bool:
    return record.fields.get("route") in request.routes and record.fields.get("shard") in request.shards


def _place_in_queue(record: Record) -> tuple[int, object, str]:
    priority = record.fields.get("priority")
    since = record.fields.get("wake_at") or record.fields.get("ready_at")
    return (-priority if isinstance(priority, int) else 0, since, record.id)
