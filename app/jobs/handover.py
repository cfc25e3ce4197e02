"""Handing a permit on: who has no use for one lets the next parked job go on for it, in the same commit.

The record of a free permit names the job that was let go for it. As long as that one waits, nobody lets another one go
for the same permit, however often it is taken for a job that is more urgent, and given back: it would find no permit,
and be parked once more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from app.jobs.events import Unpark
from app.jobs.lease import LeaseParts
from app.jobs.limits import COLLECTION, SCHEMA_VERSION, Limit, limit_name
from app.jobs.models import Job, JobStatus
from app.jobs.parked import ParkedJobs
from app.jobs.transitions import transition
from app.stores.base import Delete, Insert, OutcomeUnknown, PreconditionFailed, Record, Update, Value, Version, Write

logger = logging.getLogger(__name__)

MAX_TRIES = 5
"""How often it looks for the next job because somebody else changed the one that it found."""


def let_go_for(record: Record | None) -> str | None:
    """The id of the job that was let go for a free permit, if one was."""
    if record is None or record.fields.get("expires_at") is not None:
        return None
    holder = record.fields.get("holder")
    return holder if isinstance(holder, str) else None


class Handover:
    """Makes permits free that are held or have run out."""

    def __init__(self, parts: LeaseParts, parked: ParkedJobs) -> None:
        self._parts = parts
        self._parked = parked

    async def waits(self, job_type: str) -> bool:
        """Whether any job is parked for a permit of a type.

        Raises:
            StoreError: the store could not be asked.
        """
        return bool(await self._next(job_type))

    async def free(self, job_type: str, permit_id: str, version: Version | None, let_go: str | None) -> bool:
        """Make a permit free, and let the next parked job go on for it unless one waits already.

        Args:
            job_type: whose permit it is.
            permit_id: its record.
            version: as it was last seen; None if there is no record. If it is another one now, nothing happens.
            let_go: the job that was let go for it before.

        Returns:
            Whether a job was let go.

        Raises:
            StoreError: the store could not be asked; the permit runs out by itself.
        """
        if let_go is not None and await self._is_ready(let_go):
            await self._commit([_freed(permit_id, version, let_go)])
            return False
        tried: set[tuple[str, Version]] = set()
        for _ in range(MAX_TRIES):
            jobs = await self._next(job_type)
            if not jobs:
                if version is not None:
                    await self._commit([Delete(COLLECTION, permit_id, version)])
                return False
            job = jobs[0]
            if (job.id, job.version) in tried:
                return False  # it is the permit that is somebody else's by now
            tried.add((job.id, job.version))
            after = transition(job, Unpark(), self._parts.clock.now())
            if await self._commit([_freed(permit_id, version, job.id), *self._parts.records.update(job, after)]):
                self._parts.wake_ups.note(after)
                await self._parts.wake_ups.send()
                return True
        return False

    async def _next(self, job_type: str) -> Sequence[Job]:
        return await self._parked.first(limit_name(Limit.CONCURRENCY, job_type), 1)

    async def _is_ready(self, job_id: str) -> bool:
        (record,) = await self._parts.records.find([job_id])
        if record is None:
            return False
        return record.fields.get("status") == JobStatus.QUEUED and record.fields.get("ready_at") is not None

    async def _commit(self, writes: Sequence[Write]) -> bool:
        try:
            await self._parts.commits.commit(writes)
        except PreconditionFailed:
            return False
        except OutcomeUnknown as lost:
            logger.warning("nobody knows whether a permit was handed on, so it may have to run out: %s", lost)
            return False
        return True


def _freed(permit_id: str, version: Version | None, let_go: str) -> Write:
    fields: dict[str, Value] = {"schema_version": SCHEMA_VERSION, "holder": let_go, "expires_at": None}
    if version is None:
        return Insert(COLLECTION, permit_id, fields)
    return Update(COLLECTION, permit_id, fields, version)
