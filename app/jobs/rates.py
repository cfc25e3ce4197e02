"""`rate_limit`: a candidate begins at a time that was reserved for it, and waits for that as a delayed job.

A record says when the next job of a type may begin. A worker reserves several times in one guarded write, at most a
minute ahead, so that a job that comes later and is more urgent need not wait longer than that; whatever is beyond is
parked. A job that has its time begins then without asking again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from app.jobs.events import Defer, Event
from app.jobs.lease import LeaseParts
from app.jobs.limits import COLLECTION, SCHEMA_VERSION, Limit, limit_name
from app.jobs.models import Job
from app.jobs.parked import ParkedJobs
from app.jobs.rate import Rate, Reservation, reserve
from app.jobs.registry import Registry
from app.jobs.transitions import transition
from app.stores.base import Insert, OutcomeUnknown, PreconditionFailed, Update, Value, Write

AHEAD_SECONDS = 60.0
"""How far ahead times are reserved."""
LATE = timedelta(seconds=10)
"""How much later than its time a job may begin: those of a time without workers must not all begin at once after it."""
MAX_TRIES = 20
PAGE = 100
"""Most parked jobs that are given their times at once."""


class RateRound:
    """What one claim knows of rates: the times that it may give."""

    def __init__(
        self, registry: Registry, times: dict[str, list[datetime]], full: frozenset[str], now: datetime
    ) -> None:
        self.times = times
        self.wanted: Counter[str] = Counter()
        """How many candidates lack a time, by type."""
        self._registry = registry
        self._full = full
        self._now = now

    def allows(self, job: Job) -> bool | Event | None:
        """Whether a candidate may begin now, or what it waits for; None if that has to be found out first.

        False: it has to be parked.
        """
        definition = self._registry.find(job.type)
        if definition is None or definition.options.rate is None:
            return True
        if job.allowed_at is not None and job.allowed_at <= self._now <= job.allowed_at + LATE:
            return True
        times = self.times.get(job.type)
        if times:
            time = times.pop(0)
            return True if time <= self._now else Defer(time)
        if job.type in self._full:
            return False
        self.wanted[job.type] += 1
        return None


class Rates:
    """Reserves times, and gives them to candidates and to parked jobs."""

    def __init__(self, parts: LeaseParts, parked: ParkedJobs, registry: Registry) -> None:
        self._parts = parts
        self._parked = parked
        self._registry = registry
        self._times: dict[str, list[datetime]] = {}
        """Reserved and not given to anybody yet."""
        self._full: dict[str, float] = {}
        """Types whose rate is used up as far ahead as times are reserved, and the monotonic time to look again."""
        self._is_new = True

    def _rate(self, job_type: str) -> Rate | None:
        definition = self._registry.find(job_type)
        return None if definition is None else definition.options.rate

    async def begin(self) -> RateRound:
        """What a claim may give. Parked jobs whose time can be told are told it first.

        Raises:
            StoreError: the store could not be asked.
        """
        now = self._parts.clock.monotonic()
        if self._is_new:
            # Whoever parked jobs before this process was there may be gone.
            self._full = {each.type: now for each in self._registry if each.options.rate is not None}
            self._is_new = False
        for job_type in [name for name, look_at in self._full.items() if now >= look_at]:
            del self._full[job_type]
            await self.give(job_type, PAGE)
        times, self._times = self._times, {}
        return RateRound(self._registry, times, frozenset(self._full), self._parts.clock.now())

    def next_look(self) -> float:
        """The monotonic time from which on further times can be reserved for parked jobs."""
        return min(self._full.values(), default=float("inf"))

    def settle(self, asked: RateRound) -> None:
        """Keep the times that are still to come and were given to nobody."""
        now = self._parts.clock.now()
        for job_type, times in asked.times.items():
            left = [time for time in times if time > now]
            self._times[job_type] = sorted([*self._times.get(job_type, ()), *left])
        asked.times = {}

    async def learn(self, asked: RateRound) -> bool:
        """Reserve what a round lacked; answers whether there is anything new to decide by.

        Raises:
            StoreError: the store could not be asked.
        """
        for job_type, count in asked.wanted.items():
            times = await self._reserve(job_type, count)
            self._times.setdefault(job_type, []).extend(times)
        return bool(asked.wanted)

    async def give(self, job_type: str, limit: int) -> int:
        """Give the first parked jobs of a type the times at which they may begin.

        Returns:
            How many got one.

        Raises:
            StoreError: the store could not be asked.
        """
        waiting = await self._parked.first(limit_name(Limit.RATE, job_type), limit)
        if not waiting:
            return 0
        times = await self._reserve(job_type, len(waiting))
        if len(times) == len(waiting) and job_type not in self._full:
            self._full[job_type] = self._parts.clock.monotonic()  # there may be more
        given = [await self._tell(job, Defer(time)) for job, time in zip(waiting, times, strict=False)]
        return sum(given)

    async def _tell(self, job: Job, event: Event) -> bool:
        after = transition(job, event, self._parts.clock.now())
        try:
            await self._parts.commits.commit(self._parts.records.update(job, after))
        except (PreconditionFailed, OutcomeUnknown):
            return False
        self._parts.wake_ups.note(after)
        return True

    async def _reserve(self, job_type: str, count: int) -> Sequence[datetime]:
        """As many times as there are; fewer than wanted makes the type full for a while."""
        rate = self._rate(job_type)
        if rate is None:
            return [self._parts.clock.now()] * count
        first = int(self._parts.chance.fraction() * rate.shards)
        times: list[datetime] = []
        soonest: datetime | None = None
        for place in range(rate.shards):
            shard = (first + place) % rate.shards
            got = await self._reserve_of(f"{limit_name(Limit.RATE, job_type)}#{shard}", rate, count - len(times))
            times += got.times
            soonest = got.next_at if soonest is None else min(soonest, got.next_at)
            if len(times) >= count:
                return sorted(times)
        if soonest is not None:
            wait = (soonest - self._parts.clock.now()).total_seconds() - AHEAD_SECONDS / 2
            self._full[job_type] = self._parts.clock.monotonic() + max(1.0, wait)
        return sorted(times)

    async def _reserve_of(self, record_id: str, rate: Rate, count: int) -> Reservation:
        for _ in range(MAX_TRIES):
            (record,) = await self._parts.store.get(COLLECTION, [record_id])
            said = None if record is None else record.fields.get("expires_at")
            now = self._parts.clock.now()
            until = now + timedelta(seconds=AHEAD_SECONDS)
            got = reserve(rate, said if isinstance(said, datetime) else None, now, count, until)
            if not got.times:
                return got
            fields: dict[str, Value] = {"schema_version": SCHEMA_VERSION, "expires_at": got.next_at}
            write: Write = (
                Insert(COLLECTION, record_id, fields)
                if record is None
                else Update(COLLECTION, record_id, fields, record.version)
            )
            try:
                await self._parts.commits.commit([write])
            except (PreconditionFailed, OutcomeUnknown):
                continue  # times whose answer was lost are given to nobody
            return got
        return Reservation((), self._parts.clock.now() + rate.interval)
