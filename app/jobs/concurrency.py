"""`max_concurrent`: which candidates of a claim have a permit, and who goes on when one is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from app.jobs.clock import Clock
from app.jobs.lease import Lease
from app.jobs.limits import Limit, limit_name
from app.jobs.models import Job
from app.jobs.parked import ParkedJobs
from app.jobs.permits import Permit, Permits
from app.jobs.registry import Registry

LEFT_AT_MOST = 20
"""So many jobs of one type are left as they are, that were let go and find no permit: they cost each claim a read."""


_Wanting: TypeAlias = tuple[str, datetime | None]
"""A candidate, and since when it is one."""


@dataclass(frozen=True, slots=True)
class _Full:
    """What is known of a type of which as many jobs run as may."""

    learned_at: datetime
    look_at: float
    """Monotonic time from which on it is worth to look again."""
    looked_for: frozenset[_Wanting] = frozenset()
    """Who it has been found out for by looking, though let go since then by somebody's clock."""


class ConcurrencyRound:
    """What one claim knows of permits: those it was lent, and for whom they are."""

    def __init__(
        self,
        capacity: Callable[[str], int | None],
        lent: Sequence[Permit],
        full: dict[str, _Full],
        promised: Sequence[Job],
    ) -> None:
        self.lent = list(lent)
        self.used: dict[str, Permit] = {}
        """By job."""
        self.wanted: dict[str, set[_Wanting]] = {}
        """Candidates of types of which it is not known whether a permit is free, by type."""
        self.parked: set[str] = set()
        """Types of which candidates were turned away."""
        self.promised = promised
        """Parked jobs that some of the permits are for, unless a better candidate comes."""
        self.left_alone: Counter[str] = Counter()
        """Candidates that were let go and find no permit, by type. They wait as they are, as parking costs writes."""
        self._capacity = capacity
        self._full = full
        self._free = list(lent)
        for job in promised:
            self._use(job)

    def _use(self, job: Job) -> bool:
        for permit in self._free:
            if permit.type == job.type:
                self._free.remove(permit)
                self.used[job.id] = permit
                return True
        return False

    def _use_anothers(self, job: Job) -> bool:
        """Give a candidate the permit of the parked job that is to go on last, if it is to go on before that one."""
        others = [each for each in self.promised if each.id in self.used and each.type == job.type]
        last = max(others, key=order_of_parked, default=None)
        if last is None or order_of_parked(last) <= order_of_parked(job):
            return False
        self.used[job.id] = self.used.pop(last.id)
        return True

    def give_back(self, job: Job) -> None:
        """A candidate that had a permit is not taken after all."""
        permit = self.used.pop(job.id, None)
        if permit is not None:
            self._free.append(permit)

    def permits(self, job: Job) -> bool | None:
        """Whether a candidate has a permit; None if that has to be found out first."""
        capacity = self._capacity(job.type)
        if job.id in self.used or capacity is None or self._use(job):
            return True
        if job.parked_on is not None:
            return None  # a better one has its permit, so it stays where it is
        if self._use_anothers(job):
            return True
        full = self._full.get(job.type)
        wanting = job.id, job.queued_at
        if full is None or (wanting not in full.looked_for and _was_let_go_since(job, full.learned_at)):
            self.wanted.setdefault(job.type, set()).add(wanting)
            return None
        if self.left_alone[job.type] < min(capacity, LEFT_AT_MOST) and _was_let_go(job):
            self.left_alone[job.type] += 1
            return None
        self.parked.add(job.type)
        return False


def order_of_parked(job: Job) -> tuple[int, datetime, str]:
    """The order in which jobs of one type that met their limit go on."""
    return -job.priority, job.created_at, job.id


def _was_let_go(job: Job) -> bool:
    """Whether it was parked before: it is ready in its old place, and queued anew."""
    return job.ready_at == job.created_at and _was_let_go_since(job, job.created_at)


def _was_let_go_since(job: Job, time: datetime) -> bool:
    """Whether somebody has let a waiting job go on: there may be a place for it now."""
    return job.queued_at is not None and job.queued_at > time and job.queued_at != job.created_at


class ConcurrencyLimits:
    """Lends permits to claims, and looks for more when a claim lacks one."""

    def __init__(self, permits: Permits, parked: ParkedJobs, registry: Registry, clock: Clock, look: float) -> None:
        """Begin.

        Args:
            permits: those of this process.
            parked: where parked jobs are found.
            registry: where a type's limit is looked up.
            clock: time.
            look: after so many seconds at most it looks again whether a type has a permit free.
        """
        self._permits = permits
        self._parked = parked
        self._registry = registry
        self._clock = clock
        self._look_seconds = look
        self._full: dict[str, _Full] = {}
        self._recheck: set[str] = set()
        self._is_new = True

    async def begin(self, limit: int, could_run: Callable[[Job], bool]) -> ConcurrencyRound:
        """Lend what is there to a claim of so many jobs.

        Raises:
            StoreError: parked jobs had to be looked for, and could not be.
        """
        now = self._clock.monotonic()
        if self._is_new:
            # Whoever parked jobs before this process was there may be gone.
            limited = (each.type for each in self._registry.known() if each.options.max_concurrent)
            self._full = {name: _Full(self._clock.now(), now) for name in limited}
            self._is_new = False
        for job_type in [name for name, full in self._full.items() if now >= full.look_at]:
            await self._look_for(job_type, limit)
        lent = self._permits.lend()
        try:
            counts = Counter(permit.type for permit in lent)
            promised: list[Job] = []
            for job_type, count in counts.items():
                heads = await self._parked.first(limit_name(Limit.CONCURRENCY, job_type), min(count, limit))
                promised += [job for job in heads if could_run(job)]
        except BaseException:
            self._permits.give_back(lent)
            raise
        return ConcurrencyRound(self._permits.capacity, lent, dict(self._full), promised)

    def next_look(self) -> float:
        """The monotonic time at which a permit that others had may be free."""
        return min((full.look_at for full in self._full.values()), default=float("inf"))

    def settle(self, asked: ConcurrencyRound, leases: Sequence[Lease]) -> None:
        """What was lent is in use by these leases, or free again."""
        for lease in leases:
            permit = asked.used.pop(lease.job.id, None)
            if permit is not None:
                asked.lent.remove(permit)
                self._permits.assign(permit, lease)
        self._permits.give_back(asked.lent)

    async def learn(self, asked: ConcurrencyRound) -> bool:
        """Look for the permits that a round lacked; answers whether there is anything new to decide by."""
        self._recheck |= asked.parked
        for job_type, jobs in asked.wanted.items():
            taken, ends = await self._permits.acquire(job_type, len(jobs))
            if taken < len(jobs):
                self._learn(job_type, ends, jobs)
            else:
                self._full.pop(job_type, None)
        return bool(asked.wanted)

    async def look_again(self) -> bool:
        """Look once after jobs were parked: a permit that was given back just before was offered to nobody.

        Returns:
            Whether there was one.
        """
        found = False
        while self._recheck:
            job_type = self._recheck.pop()
            taken, ends = await self._permits.acquire(job_type, 1)
            self._learn(job_type, self._clock.now() if taken else ends)
            found = found or taken > 0
        return found

    async def _look_for(self, job_type: str, limit: int) -> None:
        waiting = await self._parked.first(limit_name(Limit.CONCURRENCY, job_type), limit)
        if not waiting:
            self._full.pop(job_type, None)
            return
        taken, ends = await self._permits.acquire(job_type, len(waiting))
        if taken < len(waiting):
            self._learn(job_type, ends)
        else:
            self._full.pop(job_type, None)

    def _learn(self, job_type: str, ends: datetime | None, looked_for: Iterable[_Wanting] = ()) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        before = self._full.get(job_type)
        wanting = {*looked_for, *(() if before is None else before.looked_for)}
        wait = self._look_seconds if ends is None else (ends - now).total_seconds()
        look_at = monotonic + max(0.0, min(wait, self._look_seconds))
        still = frozenset(each for each in wanting if each[1] is not None and each[1] > now)
        self._full[job_type] = _Full(now, look_at, still)
