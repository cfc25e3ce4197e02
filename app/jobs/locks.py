"""Named locks for handlers: whoever holds one is a job's lease, and the lock lives exactly as long as that.

The record of a lock is written in one commit with its holder's job, so only a live lease takes or gives back a lock.
Nobody has to renew it: whether it is still held is read from the holder's job, and only when somebody else wants it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from app.jobs.clock import Clock
from app.jobs.errors import BadInput
from app.jobs.lease import Holder, LeaseParts
from app.jobs.limits import COLLECTION, SCHEMA_VERSION, Limit, limit_name, limit_of
from app.jobs.models import Job, JobStatus
from app.jobs.parking import Parking
from app.stores.base import Delete, Insert, PreconditionFailed, Query, Record, Update, Value, Write

logger = logging.getLogger(__name__)

MAX_TRIES = 20
"""How often a lock is looked at again because somebody else changed it first."""
EPOCH_SECONDS = 86400.0
"""How long a free lock's record is kept, so that no clock that is wrong gives an epoch twice."""
PAGE = 100
"""Most records that one round of cleaning up looks at."""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that is held."""

    name: str
    """The id of its record, which jobs are parked on that wait for it."""
    epoch: int
    """Greater than every earlier holder's: whatever is guarded can refuse smaller ones."""


class Locks:
    """Takes locks for holders, gives them back, and lets those go on that wait."""

    def __init__(self, parts: LeaseParts, parking: Parking) -> None:
        self._store = parts.store
        self._records = parts.records
        self._clock: Clock = parts.clock
        self._life = timedelta(seconds=parts.lease_seconds)
        self._parking = parking

    async def take(self, holder: Holder, name: str) -> HeldLock | None:
        """Take a lock for a holder; None if another job has it.

        Raises:
            BadInput: this very lease has it already.
            LeaseLost: the holder can change nothing any more.
            StoreError: the store could not be asked.
        """
        lock_id = limit_name(Limit.LOCK, name)
        for _ in range(MAX_TRIES):
            lock = await self._read(lock_id)
            if lock is not None and lock.fields.get("holder") == holder.job.lease_token:
                raise BadInput("name", f"this job holds the lock {name!r} already", "give it back first")
            if lock is not None and await self._is_held(lock):
                return None
            epoch, write = self._taken(lock_id, lock, holder.job)
            try:
                await holder.commit([write])
            except PreconditionFailed:
                continue
            return HeldLock(lock_id, epoch)
        return None

    def _taken(self, lock_id: str, lock: Record | None, job: Job) -> tuple[int, Write]:
        before = None if lock is None else lock.fields.get("epoch")
        now = self._clock.now()
        # The time keeps it growing when the record was deleted in between.
        epoch = max(int(now.timestamp() * 1e6), before + 1 if isinstance(before, int) else 0)
        fields: dict[str, Value] = {
            "schema_version": SCHEMA_VERSION,
            "holder": job.lease_token,
            "job_id": job.id,
            "epoch": epoch,
            "expires_at": now + self._life,
        }
        if lock is None:
            return epoch, Insert(COLLECTION, lock_id, fields)
        return epoch, Update(COLLECTION, lock_id, fields, lock.version)

    async def give_back(self, holder: Holder, held: HeldLock) -> None:
        """Give a lock back, and let the next job go on that waits for it.

        Raises:
            LeaseLost: the holder can change nothing any more, and has lost the lock with its lease.
            StoreError: the store could not be asked; the lock is free when the attempt has ended.
        """
        lock = await self._read(held.name)
        if lock is None or lock.fields.get("epoch") != held.epoch:
            return
        try:
            await holder.commit([self._freed(lock)])
        except PreconditionFailed:
            return  # cleaned up, or somebody else has it
        await self._parking.free(held.name, 1)

    async def look_again(self, job: Job) -> int:
        """Let a job go on that was parked just after its lock was given back; answers whether it did, as 0 or 1."""
        if job.parked_on is None or limit_of(job.parked_on) is not Limit.LOCK:
            return 0
        return await self.freed(job, 1)

    async def freed(self, job: Job, limit: int) -> int:
        """Let one go on of those that are parked like this job, if nobody has the lock; answers how many did."""
        if job.parked_on is None:
            return 0
        lock = await self._read(job.parked_on)
        if lock is not None and await self._is_held(lock):
            return 0
        return await self._parking.free(job.parked_on, min(limit, 1))

    async def clean_up(self, *, dry_run: bool = False) -> int:
        """Free the locks of dead holders, and delete what is of no use any more: locks that nobody has held for a day,
        permits that have run out, and rates that allow everything again.

        Returns:
            How many were freed or deleted; at most a page.
        """
        now = self._clock.now()
        page = await self._store.query(Query("limits.expiring", until=now, limit=PAGE))
        units: list[list[Write]] = []
        renewed: list[list[Write]] = []
        for record in page.records:
            if limit_of(record.id) is not Limit.LOCK or record.fields.get("holder") is None:
                units.append([Delete(COLLECTION, record.id, record.version)])
            elif await self._is_held(record):
                renewed.append([Update(COLLECTION, record.id, {"expires_at": now + self._life}, record.version)])
            else:
                units.append([self._freed(record)])
        if dry_run or not page.records:
            return len(units)
        answers = await self._store.commit_each([*units, *renewed])
        return sum(isinstance(answer, list) for answer in answers[: len(units)])

    def _freed(self, lock: Record) -> Update:
        until = self._clock.now() + timedelta(seconds=EPOCH_SECONDS)
        return Update(COLLECTION, lock.id, {"holder": None, "job_id": None, "expires_at": until}, lock.version)

    async def _read(self, lock_id: str) -> Record | None:
        (lock,) = await self._store.get(COLLECTION, [lock_id])
        return lock

    async def _is_held(self, lock: Record) -> bool:
        """Whether its holder's lease has not ended. One that ran out is over when the watchdog took its job back."""
        if lock.fields.get("holder") is None:
            return False
        (record,) = await self._records.find([str(lock.fields.get("job_id"))])
        job = None if record is None else self._records.readable(record)
        return job is not None and job.status is JobStatus.RUNNING and job.lease_token == lock.fields.get("holder")
