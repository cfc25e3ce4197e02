"""Where an attempt records its steps, and reads what earlier ones recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from app.jobs.clock import Clock
from app.jobs.codec import SCHEMA_VERSION, Stored, canonical_json
from app.jobs.errors import LeaseLost
from app.jobs.inbox import Inbox
from app.jobs.models import Json, changed
from app.jobs.once import OnceKeys
from app.jobs.records import JobRecords
from app.jobs.results import pages
from app.jobs.steps import Call, Step, StepBook, StepKey, StepKind, step_id
from app.stores.base import Delete, Fields, Insert, Put, Record, Store, Value, Write

if TYPE_CHECKING:
    from app.jobs.lease import Holder

COLLECTION = "steps"


class Journal:
    """The steps of a job that no store knows: recorded in memory, for one attempt."""

    def __init__(self, holder: Holder, clock: Clock) -> None:
        self.holder = holder
        self.clock = clock
        self.inbox: Inbox | None = None
        """Where events are found; None without a store."""
        self.once: OnceKeys | None = None
        """Keys over all jobs; None without a store."""
        self._alone: dict[str, asyncio.Lock] = {}
        self._book: StepBook | None = None
        self._reading = asyncio.Lock()

    @property
    def is_stored(self) -> bool:
        """Whether a later attempt finds what is recorded here."""
        return self.inbox is not None

    async def begin(self, kind: StepKind, name: str) -> Call:
        """Take in that the handler calls a step; what an earlier attempt recorded of it comes with the answer.

        Raises:
            StepNameTwice, StepsChanged: see `StepBook.begin`.
            LeaseLost: the lease is somebody else's.
        """
        self.check_alive()
        return (await self.book()).begin((kind, name))

    def check_alive(self) -> None:
        """Refuse to begin what could not be recorded any more.

        Raises:
            LeaseLost: the lease is over on this holder's own clock.
        """
        if self.holder.remaining_seconds <= 0:
            raise LeaseLost(self.holder.job.id, "its lease is over")

    async def book(self) -> StepBook:
        """What is recorded of the job, read once for an attempt."""
        async with self._reading:
            if self._book is None:
                self._book = StepBook(self.holder.job.id, await self._recorded())
            return self._book

    def alone(self, key: str) -> asyncio.Lock:
        """Keeps calls of this attempt apart that are about the same key."""
        return self._alone.setdefault(key, asyncio.Lock())

    def end(self, call: Call) -> None:
        """Take in that a call is over, however it ended."""
        if self._book is not None:
            self._book.end(call)

    async def record(
        self, call: Call, value: Json, started_at: datetime, *, is_open: bool = False, also: Sequence[Write] = ()
    ) -> Json:
        """Record what a step returned, exactly once, in one commit with the guarded write of its job.

        Args:
            call: the call, as `begin` gave it.
            value: any JSON value.
            started_at: when it began.
            is_open: whether it still waits for something and will be recorded again.
            also: further writes of the same commit.

        Returns:
            The value as later attempts will be given it.

        Raises:
            LeaseLost: this holder can change nothing any more.
            BadInput: not a JSON value, or too large.
            PreconditionFailed: one of the further writes' records is not in the state that its write names.
        """
        book = await self.book()
        job = self.holder.job
        step = Step(
            id=step_id(job.id, call.key),
            key=call.key,
            call=call.number,
            attempt=job.attempt,
            started_at=started_at,
            ended_at=None if is_open else self.clock.now(),
            value=value,
            in_order=book.is_in_order(call),
        )
        kept = await self._keep(step, call.recorded, also)
        book.keep(kept)
        call.recorded = kept
        return kept.value

    async def _recorded(self) -> list[Step]:
        return []

    async def _keep(self, step: Step, before: Step | None, also: Sequence[Write]) -> Step:
        await self.holder.commit(also)
        return replace(step, value=json.loads(canonical_json(step.value, "step")))


class StoredJournal(Journal):
    """The steps of a leased job, in its store."""

    def __init__(self, holder: Holder, clock: Clock, store: Store, records: JobRecords) -> None:
        super().__init__(holder, clock)
        self.inbox = Inbox(store, records.codec)
        self.once = OnceKeys(holder, clock, store, records)
        self._store = store
        self._records = records

    async def _recorded(self) -> list[Step]:
        job = self.holder.job
        return await recorded_steps(self._store, self._records, job.id) if job.steps else []

    async def _keep(self, step: Step, before: Step | None, also: Sequence[Write]) -> Step:
        stored = self._records.stored(step.value, f"step {step.name!r}")
        job = self.holder.job
        text, chunks = self._records.placed(job, stored)
        fields = _fields(job.id, step, text)
        if before is None:
            writes: list[Write] = [Insert(COLLECTION, step.id, fields)]
            await self.holder.commit([*also, *chunks, *writes], lambda job: changed(job, {"steps": job.steps + 1}))
        else:
            gone = [Delete("chunks", chunk_id) for chunk_id in before.chunk_ids]
            writes = [Put(COLLECTION, step.id, fields)]  # nobody else writes it: the job's own write is guarded
            await self.holder.commit([*also, *chunks, *gone, *writes])
        (value,) = await self._records.read_texts([stored])
        return replace(step, value=value, chunk_ids=tuple(chunk.id for chunk in chunks))


def _fields(job_id: str, step: Step, result: str) -> Fields:
    about: dict[str, Json] = {
        "kind": step.kind,
        "name": step.name,
        "attempt": step.attempt,
        "started_at": step.started_at.isoformat(),
        "in_order": step.in_order,
    }
    if step.ended_at is not None:
        about["ended_at"] = step.ended_at.isoformat()
    fields: dict[str, Value] = {
        "schema_version": SCHEMA_VERSION,
        "job_id": job_id,
        "call": step.call,
        "about": canonical_json(about, "step"),
        "result": result,
    }
    return fields


def _step(record: Record, value: Json) -> Step:
    about = json.loads(str(record.fields["about"]))
    call = record.fields["call"]
    ended = about.get("ended_at")
    key: StepKey = (StepKind(about["kind"]), about["name"])
    return Step(
        id=record.id,
        key=key,
        call=call if isinstance(call, int) else 0,
        attempt=about["attempt"],
        started_at=datetime.fromisoformat(about["started_at"]),
        ended_at=datetime.fromisoformat(ended) if ended else None,
        value=value,
        in_order=about["in_order"],
        chunk_ids=Stored(str(record.fields["result"])).chunk_ids,
    )


async def recorded_steps(store: Store, records: JobRecords, job_id: str) -> list[Step]:
    """All recorded steps of a job, in the order of their calls."""
    return await steps_of(records, await pages(store, "steps.of_job", job_id))


async def steps_of(records: JobRecords, found: Sequence[Record]) -> list[Step]:
    """The steps that records tell of."""
    values = await records.read_texts([Stored(str(record.fields["result"])) for record in found])
    return [_step(record, value) for record, value in zip(found, values, strict=True)]


def received_events(steps: Iterable[Step]) -> dict[str, datetime]:
    """The events for whoever waits that a job has received: their ids, and when they were sent."""
    return {
        step.value["id"]: datetime.fromisoformat(step.value["sent_at"])
        for step in steps
        if step.kind is StepKind.EVENT and step.value.get("for_anybody")
    }


def deletes_of(step: Step) -> list[Write]:
    """What removes a step."""
    return [*(Delete("chunks", chunk_id) for chunk_id in step.chunk_ids), Delete(COLLECTION, step.id)]
