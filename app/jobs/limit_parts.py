"""Everything that limits what runs, put together for one engine."""

from __future__ import annotations

from collections.abc import Mapping

from app.jobs.admission import Admission
from app.jobs.concurrency import ConcurrencyLimits
from app.jobs.handover import Handover
from app.jobs.lease import LeaseParts
from app.jobs.limits import Limit
from app.jobs.locks import Locks
from app.jobs.models import Job
from app.jobs.parked import ParkedJobs
from app.jobs.parking import Parking
from app.jobs.parking_duty import Freed
from app.jobs.pauses import Pauses
from app.jobs.permits import Permits
from app.jobs.rates import Rates
from app.jobs.registry import Registry
from app.jobs.turns import Turns


class Limits:
    """The limits of one engine: what is paused, and who holds which permit."""

    def __init__(self, parts: LeaseParts, registry: Registry) -> None:
        self._parts = parts
        self.parked = ParkedJobs(parts.store, parts.records)
        self.pauses = Pauses(parts.store, parts.clock)
        self.permits = Permits(parts, registry, Handover(parts, self.parked))
        self._concurrency = ConcurrencyLimits(self.permits, self.parked, registry, parts.clock, parts.lease_seconds)
        self.turns = Turns(parts, self.parked)
        self.rates = Rates(parts, self.parked, registry)
        self.admission = Admission(self.pauses, self.turns, self._concurrency, self.rates)

    def seconds_to_look(self) -> float:
        """How soon a worker that has room should look again for parked jobs, in seconds; infinity if it need not."""
        at = min(self._concurrency.next_look(), self.rates.next_look())
        return max(0.0, at - self._parts.clock.monotonic())

    def join(self, parking: Parking) -> Mapping[Limit, Freed]:
        """Take in how parked jobs are let go on; gives what does so where a limit is free, for each kind of limit."""
        self.locks = Locks(self._parts, parking)

        async def resumed(job: Job, limit: int) -> int:
            paused = await self.pauses.read()
            if job.parked_on is None or job.type in paused.types:
                return 0
            return await parking.free(job.parked_on, limit)

        async def permitted(job: Job, limit: int) -> int:
            if job.parked_on is None or not self.permits.knows(job.type):
                return 0
            if self.permits.capacity(job.type) is None:
                return await parking.free(job.parked_on, limit)
            return await self.permits.offer(job.type, limit)

        async def given(job: Job, limit: int) -> int:
            return 0 if job.parked_on is None else await self.turns.pass_on(job.parked_on)

        async def timed(job: Job, limit: int) -> int:
            # One is enough to wake a worker, which knows how much room it has for others.
            return await self.rates.give(job.type, min(limit, 1)) if self.permits.knows(job.type) else 0

        return {
            Limit.PAUSE: resumed,
            Limit.CONCURRENCY: permitted,
            Limit.RATE: timed,
            Limit.TURN: given,
            Limit.LOCK: self.locks.freed,
        }
