"""Letting go on what waits for one ended job: page by page, each waiting job in a guarded write of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

from app.jobs.dependencies import WAITING, effect_of
from app.jobs.lease import LeaseParts
from app.jobs.models import Job, JobStatus
from app.jobs.transitions import transition
from app.stores.base import Delete, OutcomeUnknown, PreconditionFailed, Query, Record, StoreError, Update, Write

PAGE = 100
"""How many waiting jobs are looked at together."""
MAX_TRIES = 64
"""How often one record is decided anew: more often than there are jobs that can end over it at once."""
SHAPES = ("jobs.waiting", "gates.waiting")


class LettingGo:
    """What waits for one ended job, and what its end is for each of them. May be done twice, also at once."""

    def __init__(self, parts: LeaseParts, turns: Turns, ended: Job) -> None:
        self.ended = ended
        self._parts = parts
        self._turns = turns
        self._shapes = list(SHAPES)
        self._cursor: str | None = None

    async def next_page(self) -> list[Job] | None:
        """Let a page of waiting jobs go on. Nobody begins to wait for a job that has ended, so one walk meets all.

        Returns:
            Those of them that have ended by it; None when nothing waits any more.

        Raises:
            StoreError: the store could not be asked, or some of what waits could not be changed by many tries.
        """
        if not self._shapes:
            return None
        query = Query(self._shapes[0], {"unmet": (self.ended.id,)}, limit=PAGE, cursor=self._cursor)
        page = await self._parts.store.query(query)
        changed = await self._let_go(page.records) if page.records else []
        self._cursor = page.cursor
        if self._cursor is None:
            self._shapes.pop(0)
        return [job for job in changed if job is not None and job.is_terminal]

    async def _let_go(self, records: Sequence[Record]) -> list[Job | None]:
        changes = await self._changes(records)
        answers = await asyncio.gather(
            *(self._parts.commits.commit(unit) for _, unit in changes), return_exceptions=True
        )
        changed: list[Job | None] = []
        for record, (job, _), answer in zip(records, changes, answers, strict=True):
            if isinstance(answer, PreconditionFailed | OutcomeUnknown):
                changed.append(await self._again(record, answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                changed.append(self._stored(job, answer[-1]))
        return changed

    async def _again(self, record: Record, answer: StoreError) -> Job | None:
        """One record that somebody else changed first, or for which the answer was lost."""
        async with self._turns.of(record.id):
            for _ in range(MAX_TRIES):
                (fresh,) = await self._parts.store.get(record.collection, [record.id])
                if fresh is None or self.ended.id not in _unmet(fresh):
                    return None  # done; if it ended by it, its own release says so
                ((job, unit),) = await self._changes([fresh])
                try:
                    return self._stored(job, (await self._parts.commits.commit(unit))[-1])
                except (PreconditionFailed, OutcomeUnknown) as problem:
                    answer = problem
        raise answer

    async def _changes(self, records: Sequence[Record]) -> list[tuple[Job | None, list[Write]]]:
        codec = self._parts.records.codec
        if records[0].collection == "jobs":
            return [self._change(codec.job(record), [self.ended.id], []) for record in records]
        asked = {str(gate.fields["job_id"]) for gate in records if self._concerns_job(gate)}
        found = await self._parts.records.find(sorted(asked))
        jobs = {record.id: codec.job(record) for record in found if record is not None}
        return [self._through_gate(gate, jobs.get(str(gate.fields["job_id"]))) for gate in records]

    def _concerns_job(self, gate: Record) -> bool:
        """Whether the job behind a gate is touched: only when the gate empties, or may have to be cancelled or held."""
        return not self._left_in(gate) or self.ended.status is not JobStatus.COMPLETED

    def _left_in(self, gate: Record) -> tuple[str, ...]:
        return tuple(key for key in _unmet(gate) if key != self.ended.id)

    def _through_gate(self, gate: Record, job: Job | None) -> tuple[Job | None, list[Write]]:
        left = self._left_in(gate)
        write: Write = Update("gates", gate.id, {"unmet": left}, gate.version)
        if not left:
            write = Delete("gates", gate.id, gate.version)
        if job is None or job.status not in WAITING or gate.id not in job.unmet:
            return None, [write]
        return self._change(job, [] if left else [gate.id], [write])

    def _change(self, job: Job, keys: list[str], writes: list[Write]) -> tuple[Job, list[Write]]:
        parts, now = self._parts, self._parts.clock.now()
        after = transition(job, effect_of(self.ended, keys), now)
        if after is job:
            return job, writes
        after, more = parts.settlement.complete(job, after, now)
        return after, [*writes, *more, *parts.records.update(job, after)]

    def _stored(self, job: Job | None, version: str) -> Job | None:
        if job is not None:
            job.version = version
            self._parts.wake_ups.note(job)
        return job


class Turns:
    """Who may try again on one record: many jobs that end at once in one process do not get in each other's way."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, record_id: str) -> asyncio.Lock:
        """The turn for one record, as long as somebody holds or waits for it."""
        return self._locks.setdefault(record_id, asyncio.Lock())


def _unmet(record: Record) -> tuple[str, ...]:
    unmet = record.fields.get("unmet")
    return unmet if isinstance(unmet, tuple) else ()
