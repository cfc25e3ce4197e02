"""A claim inside a transaction: candidates locked, the engine's decision asked, and the writes that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from app.stores.base import ClaimRequest, Decide, Record
from app.stores.checks import checked_fields, keeping
from app.stores.schema import JOBS
from app.stores.sql.drivers import Link
from app.stores.sql.lookups import Lookups
from app.stores.sql.rows import RowReader
from app.stores.sql.statements import Lookup
from app.stores.sql.units import PlannedWrite, Planner


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What one claim decided: the writes it needs, and what it answers once they are committed."""

    writes: Sequence[PlannedWrite]
    taken: Sequence[Record]
    promoted: Sequence[Record]
    """Jobs that it made claimable for others."""
    full_page: bool
    looked_at: int


class Claimer:
    """Runs claims on one database."""

    def __init__(self, lookups: Lookups, planner: Planner, rows: RowReader) -> None:
        self._lookups = lookups
        self._planner = planner
        self._rows = rows

    def claim(self, link: Link, request: ClaimRequest, lease: Decide, promote: Decide) -> ClaimOutcome:
        """Decide about the best candidates; nothing is written yet, but they are locked.

        Looks at no more than `limit` due jobs, and `limit` ready ones of each queue, route and shard.
        """
        due, ready = self._first_look(link, request)
        looked_at = len(due)
        seen = {record.id for record in due}
        chosen: list[Record] = []
        for queue in dict.fromkeys(request.queues):
            room = request.limit - len(chosen)
            if room == 0:
                break
            found = ready if ready is not None else self._ready(link, queue, request, room)
            ready = None
            looked_at += len(found)
            candidates = [record for record in due if record.fields.get("queue") == queue and _serves(request, record)]
            candidates += [record for record in found if record.id not in seen]
            candidates.sort(key=_place_in_queue)
            chosen += candidates[:room]
        writes: list[PlannedWrite] = []
        taken = [after for record in chosen if (after := self._changed(record, lease, writes)) is not None]
        left = {record.id for record in chosen}
        surplus = [record for record in due if record.id not in left]
        promoted = [after for record in surplus if (after := self._changed(record, promote, writes)) is not None]
        full_page = len(chosen) >= request.limit or len(due) >= request.limit
        return ClaimOutcome(writes, taken, promoted, full_page, looked_at)

    def _first_look(self, link: Link, request: ClaimRequest) -> tuple[list[Record], list[Record] | None]:
        # Where the first queue has one group, which is the rule, its jobs come in the round trip of the due ones.
        groups = _groups(request)
        lookups: list[Lookup] = [self._lookups.due(request.now, request.limit)] if request.due else []
        alone = len(groups) == 1 and bool(request.queues)
        if alone:
            lookups.append(self._lookups.ready(request.queues[0], *groups[0], request.limit))
        answers = [self._records(rows) for rows in link.fetch(lookups)] if lookups else []
        ready = answers.pop() if alone else None
        return (answers[0] if answers else []), ready

    def _ready(self, link: Link, queue: str, request: ClaimRequest, limit: int) -> list[Record]:
        groups = _groups(request)
        if len(groups) == 1:
            (rows,) = link.fetch([self._lookups.ready(queue, *groups[0], limit)])
            return self._records(rows)
        # Whole rows are wide: with many groups only what they are sorted by is read of each.
        answers = link.fetch([self._lookups.ready_places(queue, *group, limit) for group in groups])
        places = sorted((-row[1], row[2], row[0]) for rows in answers for row in rows)
        ids = [place[2] for place in places[:limit]]
        if not ids:
            return []
        (rows,) = link.fetch([self._lookups.jobs(ids)])
        return self._records(rows)

    def _records(self, rows: Iterable[tuple[object, ...]]) -> list[Record]:
        read = self._rows.record
        return [read(row) for row in rows]

    def _changed(self, record: Record, decide: Decide, writes: list[PlannedWrite]) -> Record | None:
        patch = decide(record)
        if patch is None:
            return None
        checked_fields(JOBS.name, JOBS.fields, patch)
        write, version = self._planner.change(record, patch)
        writes.append(write)
        return Record(JOBS.name, record.id, version, keeping(record.fields, patch))


def _groups(request: ClaimRequest) -> list[tuple[str, int]]:
    return list(product(dict.fromkeys(request.routes), dict.fromkeys(request.shards)))


def _serves(request: ClaimRequest, record: Record) -> bool:
    return record.fields.get("route") in request.routes and record.fields.get("shard") in request.shards


def _place_in_queue(record: Record) -> tuple[int, object, str]:
    priority = record.fields.get("priority")
    since = record.fields.get("wake_at") or record.fields.get("ready_at")
    return (-priority if isinstance(priority, int) else 0, since, record.id)
