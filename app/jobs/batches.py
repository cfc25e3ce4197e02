"""Batches: many jobs that are created all or none of them, and what is known of them as one.

What fits into one commit is one. A larger batch is written down first; the record of the batch is what makes it count,
and from then on whoever comes by can bring it to its end: the one who created it, or the watchdog.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from app.jobs.batch_plan import BatchPlan
from app.jobs.codec import SCHEMA_VERSION
from app.jobs.dependencies import guard
from app.jobs.errors import BadInput
from app.jobs.lease import LeaseParts
from app.jobs.linking import Links
from app.jobs.manifest import page_id, pages_of, read_lines, unit_of
from app.jobs.models import Job, JobStatus
from app.jobs.queue import MAX_TRIES
from app.jobs.ramp import Progress, Ramp
from app.jobs.records import is_job_id
from app.jobs.release import Release
from app.stores.base import (
    Delete,
    Fields,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Query,
    Record,
    StoreError,
    Unit,
    Update,
    Value,
    Write,
)

logger = logging.getLogger(__name__)

Planning = Callable[[Mapping[str, Job]], BatchPlan]
"""What is to be written, given the jobs outside of the batch as they are now."""

PAGES_KEPT = timedelta(days=7)
"""How long the pages of a batch that never came to count are kept."""
TAKEN_SECONDS = 30.0
"""Whoever writes a batch says so at a third of this; after it, somebody else takes over."""
DELETED_TOGETHER = 200


class BatchStatus(StrEnum):
    """How far a batch is written."""

    CREATING = "creating"
    OPEN = "open"


def batch_closed(batch_id: str) -> BadInput:
    """The refusal of one more job for a batch that was created with all of its jobs."""
    return BadInput(
        "batch_id",
        f"batch {batch_id!r:.200} has all of its jobs already",
        "create another batch with create_job_batch, or give an id that no batch has",
    )


@dataclass(slots=True)
class BatchInfo:
    """A batch, and how its jobs stand."""

    id: str
    name: str
    status: BatchStatus
    created_at: datetime | None
    total: int
    on_complete: str | None = None
    """The id of the job that runs when all others have ended."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many of its jobs are in each status; statuses without any are left out."""

    @property
    def ended(self) -> int:
        """How many of its jobs are COMPLETED, FAILED or CANCELLED."""
        return sum(count for status, count in self.counts.items() if JobStatus(status).is_terminal)

    @property
    def progress(self) -> float:
        """The share of its jobs that have ended, in per cent."""
        return 100.0 * self.ended / self.total if self.total else 100.0

    @property
    def is_over(self) -> bool:
        """Whether none of its jobs is unfinished. By that it is followed: ended jobs are deleted some day."""
        return self.status is BatchStatus.OPEN and sum(self.counts.values()) == self.ended

    @property
    def is_done(self) -> bool:
        """Whether all of its jobs have ended."""
        return self.status is BatchStatus.OPEN and self.ended >= self.total


@dataclass(slots=True)
class JobBatch:
    """A batch that was created. Unpacks to its id and its jobs."""

    id: str
    jobs: list[Job]
    on_complete: Job | None = None
    """The job that runs when all others have ended."""
    existing: bool = False
    """Whether its idempotency key was taken, and these are the batch and the jobs there."""

    @property
    def batch_id(self) -> str:
        """The same as `id`."""
        return self.id

    def __iter__(self) -> Iterator[object]:
        return iter((self.id, self.jobs))


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What is stored about a batch."""

    id: str
    name: str
    total: int
    digest: str
    """Tells whether the same key was used for the same jobs."""
    on_complete: str | None

    def fields(self, status: BatchStatus, now: datetime, pages: int) -> dict[str, Value]:
        """Its record."""
        known: dict[str, Value] = {"schema_version": SCHEMA_VERSION, "status": str(status), "total": self.total}
        known |= {"name": self.name or None, "digest": self.digest, "on_complete": self.on_complete}
        return {**known, "created_at": now, "updated_at": now, "pages": pages or None}


class Batches:
    """Writes batches, and brings to an end what a crash has left half written."""

    def __init__(self, parts: LeaseParts, links: Links, release: Release, ramp: Ramp) -> None:
        self._parts = parts
        self._store = parts.store
        self._links = links
        self._release = release
        self._ramp = ramp

    async def find(self, batch_id: str) -> Record | None:
        """The record of a batch, if it has one."""
        (record,) = await self._store.get("batches", [batch_id])
        return record

    async def closed(self, batch_ids: Iterable[str]) -> set[str]:
        """Those of some ids which batches have that were created as such: no further job can be put into one."""
        ids = sorted({batch_id for batch_id in batch_ids if is_job_id(batch_id)})
        found = await self._store.get("batches", ids) if ids else []
        return {record.id for record in found if record is not None}

    # --- create ---

    async def create(
        self, new: NewBatch, outside: Sequence[str], planning: Planning, on_progress: Progress | None
    ) -> BatchPlan | None:
        """Store a batch: all of its jobs, or none.

        Args:
            new: what is known of it.
            outside: the jobs outside of it that some of its jobs depend on.
            planning: what is to be written; asked anew if one of those outside changes meanwhile.
            on_progress: told how far it is.

        Returns:
            What was written; None if there is a batch of this id already.

        Raises:
            BadInput: one of the others does not exist; nothing was written.
            StoreError: it could not be stored; nothing of it ever will be.
        """
        answer: StoreError
        unheard = False
        limits = self._store.limits()
        for _ in range(MAX_TRIES):
            plan = planning({job.id: job for job in await self._links.parents(outside)})
            now = self._parts.clock.now()
            record = Insert("batches", new.id, new.fields(BatchStatus.OPEN, now, 0))
            units = plan.units(limits, [record, *plan.guards])
            if len(units) > 1:
                return await self._create_large(new, plan, on_progress)
            await self._ramp.take(len(units[0]))
            try:
                await self._store.commit(units[0])
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
                unheard = unheard or isinstance(problem, OutcomeUnknown)
                found = await self.find(new.id)
                if found is None:
                    continue
                if not (unheard and found.fields.get("created_at") == now):
                    return None
            if on_progress is not None:
                on_progress(len(plan.jobs), len(plan.jobs))
            await self._let_ended_go(plan)
            return plan
        raise answer

    async def _let_ended_go(self, plan: BatchPlan) -> None:
        """Jobs that were cancelled as they were created, because of what they depend on, have dependents too."""
        ended = [job.id for job in plan.jobs if job.release == "pending"]
        for job in await self._parts.records.get(ended) if ended else []:
            if job is not None:
                await self._release.finish(job)

    async def _create_large(self, new: NewBatch, plan: BatchPlan, on_progress: Progress | None) -> BatchPlan | None:
        now = self._parts.clock.now()
        pages = 0
        try:
            for page in pages_of(new.id, plan.outside, plan.units(self._store.limits()), now + PAGES_KEPT):
                await self._ramp.take(1)
                await self._sent([page])
                pages += 1
            record = await self._begun(new, now, pages)
        except BaseException:
            await self._withdraw(new.id, pages)
            raise
        if record is None:
            await self._withdraw(new.id, pages)
            return None
        try:
            await self._roll_forward(record, on_progress, len(plan.jobs))
        except StoreError as error:
            logger.warning("batch %s is created, and the watchdog will write the rest of it: %s", new.id, error)
        else:
            await self._let_ended_go(plan)
        return plan

    async def _begun(self, new: NewBatch, now: datetime, pages: int) -> Record | None:
        """The record that makes a batch count; None if there is one of this id already."""
        fields = new.fields(BatchStatus.CREATING, now, pages)
        answer: StoreError
        for _ in range(MAX_TRIES):
            try:
                (version,) = await self._store.commit([Insert("batches", new.id, fields)])
                return Record("batches", new.id, version, fields)
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
                found = await self.find(new.id)
                if found is not None:
                    return found if found.fields.get("created_at") == now else None
        raise answer

    async def _withdraw(self, batch_id: str, pages: int) -> None:
        """Delete the pages of a batch that does not count; what is left of them goes when its time is over."""
        try:
            if await self.find(batch_id) is None:
                await self._delete_pages(batch_id, pages)
        except StoreError as error:
            logger.info("pages of batch %s are left until they are a week old: %s", batch_id, error)

    async def _delete_pages(self, batch_id: str, pages: int) -> None:
        for start in range(0, pages, DELETED_TOGETHER):
            numbers = range(start, min(pages, start + DELETED_TOGETHER))
            await self._store.commit([Delete("manifests", page_id(batch_id, number)) for number in numbers])

    # --- roll forward ---

    async def finish(self, record: Record) -> bool:
        """Write what is left of a batch that somebody else began.

        Returns:
            Whether it is whole now; False if somebody else is at it.
        """
        taken = await self._touched(record)
        return taken is not None and await self._roll_forward(taken, None, 0)

    async def unfinished(self, limit: int) -> list[Record]:
        """Batches that nobody has written on for a while, the oldest first."""
        now = self._parts.clock.now()
        until = now - timedelta(seconds=TAKEN_SECONDS)
        query = Query("batches.list", {"status": str(BatchStatus.CREATING)}, until=until, limit=limit)
        page = await self._store.query(query)
        return [record for record in page.records if _time(record, "updated_at") < until]

    async def _touched(self, record: Record) -> Record | None:
        """The record, saying that somebody is at it; None if somebody else was faster."""
        fields: Fields = {"updated_at": self._parts.clock.now()}
        try:
            (version,) = await self._store.commit([Update("batches", record.id, fields, record.version)])
        except (PreconditionFailed, OutcomeUnknown):
            return None
        return Record("batches", record.id, version, {**record.fields, **fields})

    async def _roll_forward(self, record: Record, on_progress: Progress | None, jobs: int) -> bool:
        """Write what the pages say. All of it may have been done before."""
        pages = record.fields.get("pages")
        count = pages if isinstance(pages, int) else 0
        lines = read_lines(self._store, record.id, count)
        outside: list[str] = await anext(lines, [])
        await self._mark(outside)
        written = 0
        touched = self._parts.clock.monotonic()
        async for line in lines:
            unit = unit_of(line)
            await self._ramp.take(len(unit))
            await self._sent(unit)
            written += sum(write.collection == "jobs" for write in unit)
            if on_progress is not None:
                on_progress(written, jobs)
            if self._parts.clock.monotonic() >= touched + TAKEN_SECONDS / 3:
                fresh = await self._touched(record)
                if fresh is None:
                    return False
                record, touched = fresh, self._parts.clock.monotonic()
        await self._let_go(outside)
        fields: Fields = {"status": str(BatchStatus.OPEN), "updated_at": self._parts.clock.now(), "pages": None}
        try:
            await self._store.commit([Update("batches", record.id, fields, record.version)])
        except (PreconditionFailed, OutcomeUnknown):
            return False  # somebody else has finished it, or will
        await self._delete_pages(record.id, count)
        return True

    async def _sent(self, unit: Unit) -> None:
        """Write a unit that may be there already: it is written whole, so one record of it stands for all."""
        answer: StoreError
        for _ in range(MAX_TRIES):
            try:
                await self._store.commit(unit)
            except PreconditionFailed:
                return
            except OutcomeUnknown as problem:
                answer = problem
            else:
                return
        raise answer

    async def _mark(self, outside: Sequence[str]) -> None:
        """See that jobs outside tell of their end, unless they have ended."""

        async def mark(job_id: str) -> None:
            answer: StoreError
            for _ in range(MAX_TRIES):
                (record,) = await self._parts.records.find([job_id])
                job = None if record is None else self._parts.records.codec.job(record)
                if job is None or job.is_terminal or (job.has_dependents and not job.deleting):
                    return
                try:
                    await self._parts.commits.commit([guard(job)])
                    return
                except (PreconditionFailed, OutcomeUnknown) as problem:
                    answer = problem
            raise answer

        await asyncio.gather(*map(mark, outside))

    async def _let_go(self, outside: Sequence[str]) -> None:
        """What ended outside before all that waits for it was written has let go on only what was there."""
        for start in range(0, len(outside), DELETED_TOGETHER):
            ids = outside[start : start + DELETED_TOGETHER]
            about_to_go: list[str] = []
            for job_id, record in zip(ids, await self._parts.records.find(ids), strict=True):
                now = self._parts.clock.now()
                gone = Job(id=job_id, type="gone", status=JobStatus.CANCELLED, created_at=now, updated_at=now)
                job = gone if record is None else self._parts.records.codec.job(record)
                if job.is_terminal:
                    await self._release.let_go(job)
                elif job.deleting:
                    about_to_go.append(job_id)
            if about_to_go:
                # Whoever deletes these may have looked before all that waits for them was written.
                await self._mark(about_to_go)
                await self._let_go(about_to_go)

    # --- keep ---

    async def tidy(self, keep: timedelta | None, limit: int) -> int:
        """Delete pages that belong to no batch, and batches of which no job is left.

        Returns:
            How many batches were deleted.
        """
        now = self._parts.clock.now()
        stale = await self._store.query(Query("manifests.expiring", until=now, limit=limit))
        if stale.records:
            await self._store.commit([Delete("manifests", record.id) for record in stale.records])
        if keep is None:
            return 0
        old = await self._store.query(Query("batches.list", until=now - keep, limit=limit))
        empty: list[Write] = []
        for record in old.records:
            left = await self._store.query(Query("jobs.list", {"batch_id": record.id}, limit=1))
            if not left.records and record.fields.get("status") == BatchStatus.OPEN:
                empty.append(Delete("batches", record.id, record.version))
        for outcome in await self._store.commit_each([[write] for write in empty]) if empty else []:
            if isinstance(outcome, StoreError) and not isinstance(outcome, PreconditionFailed):
                raise outcome
        return len(empty)


def _time(record: Record, name: str) -> datetime:
    value = record.fields[name]
    if not isinstance(value, datetime):
        raise TypeError(f"{record.collection}/{record.id}: {name} is {value!r} and no time")
    return value
