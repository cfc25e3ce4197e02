"""`rate_limit`: a candidate begins at a time that was reserved for it, and waits for that as a delayed job.

A record says when the next job of a type may begin. A worker reserves several times in one guarded write, at most a
minute ahead, so that a job that comes later and is more urgent need not wait longer than that, and no more of them
than it has room for, or than pass in a few seconds; whatever is beyond is parked. A job that has its time begins then
without asking again. One that could not begin in time, because no handler was free, waits as it is for whoever has
room: that one reserves a time for it, so that waiting costs no further write of the job.
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
SOON_SECONDS = 5.0
"""So far ahead times are given to others than there is room for now."""
LATE = timedelta(seconds=10)
"""How much later than its time a job may begin: those of a time without workers must not all begin at once after it."""
LATE_FIRST_SECONDS = 1.0
"""So long parked jobs are told no times while jobs wait that could not begin at theirs."""
MAX_TRIES = 20
PAGE = 100
"""Most parked jobs that are given their times at once."""


class RateRound:
    """What one claim knows of rates: the times that it may give."""

    def __init__(
        self,
        registry: Registry,
        times: dict[str, list[datetime]],
        full: frozenset[str],
        used_up: frozenset[str],
        now: datetime,
    ) -> None:
        self.times = times
        self.wanted: Counter[str] = Counter()
        """How many candidates lack a time, by type."""
        self.late: Counter[str] = Counter()
        """How many candidates could not begin at their time, by type."""
        self.left_alone: Counter[str] = Counter()
        """How many more of these wait as they are for a time that is to come."""
        self._registry = registry
        self._full = full
        self._used_up = used_up
        self._now = now

    def allows(self, job: Job) -> bool | Event | None:
        """Whether a candidate may begin now, or what it waits for; None if it stays as it is for now.

        False: it has to be parked.
        """
        definition = self._registry.find(job.type)
        if definition is None or definition.options.rate is None:
            return True
        if job.allowed_at is not None and job.allowed_at <= self._now <= job.allowed_at + LATE:
            return True
        times = self.times.get(job.type)
        if times and times[0] <= self._now:
            times.pop(0)
            return True
        if job.allowed_at is not None and job.allowed_at + LATE < self._now:
            if times or job.type in self._used_up:
                self.left_alone[job.type] += 1
            else:
                self.late[job.type] += 1
            return None
        if times:
            return Defer(times.pop(0))
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
        self._given: dict[str, list[datetime]] = {}
        """Times to come that jobs wait for, as far as this process gave them."""
        self._full: dict[str, float] = {}
        """Types of which no more times are given now, and the monotonic time to look again."""
        self._used_up: dict[str, float] = {}
        """Types of which all times are reserved as far ahead as they are, and the monotonic time to look again."""
        self._is_new = True

    def _rate(self, job_type: str) -> Rate | None:
        definition = self._registry.find(job_type)
        return None if definition is None else definition.options.rate

    async def begin(self) -> RateRound:
        """What a claim may give.

        Raises:
            StoreError: the store could not be asked.
        """
        now = self._parts.clock.monotonic()
        if self._is_new:
            # Whoever parked jobs before this process was there may be gone.
            self._full = {each.type: now for each in self._registry.known() if each.options.rate is not None}
            self._is_new = False
        for job_type in [name for name, look_at in self._full.items() if now >= look_at]:
            # Who is parked goes before newcomers, which are parked as well as long as there is one.
            if not await self._parked.first(limit_name(Limit.RATE, job_type), 1):
                del self._full[job_type]
        self._used_up = {name: look_at for name, look_at in self._used_up.items() if now < look_at}
        times, self._times = self._times, {}
        full, used_up = frozenset(self._full), frozenset(self._used_up)
        return RateRound(self._registry, times, full, used_up, self._parts.clock.now())

    def next_look(self) -> float:
        """The monotonic time from which on jobs that wait for a time may have one."""
        # Those that have passed are of no use before a job comes for them, and that is looked for anyway.
        now = self._parts.clock.now()
        reserved = (self._monotonic([time for time in times if time > now]) for times in self._times.values())
        return min((*self._full.values(), *self._used_up.values(), *reserved), default=float("inf"))

    def _monotonic(self, times: Sequence[datetime]) -> float:
        clock = self._parts.clock
        wait = (times[0] - clock.now()).total_seconds() if times else float("inf")
        return clock.monotonic() + max(0.0, wait)

    def settle(self, asked: RateRound) -> None:
        """Keep the times that were given to nobody, as long as a job may begin at them."""
        oldest = self._parts.clock.now() - LATE
        for job_type, times in asked.times.items():
            left = sorted(time for time in (*self._times.get(job_type, ()), *times) if time >= oldest)
            if left:
                self._times[job_type] = left
        asked.times = {}

    async def learn(self, asked: RateRound, room: int) -> bool:
        """Reserve what a round lacked, and tell parked jobs whose time can be told.

        Args:
            asked: the round.
            room: how many more jobs could begin at once.

        Returns:
            Whether there is anything new to decide by.

        Raises:
            StoreError: the store could not be asked.
        """
        learned = bool(asked.wanted or asked.late)
        for job_type, count in asked.late.items():
            self._keep(job_type, await self._reserve(job_type, min(count, max(1, room))))
        for job_type, count in asked.wanted.items():
            allowance = self._allowance(job_type, room)
            times = await self._reserve(job_type, min(count, allowance)) if allowance else ()
            if allowance < count:
                self._wait_for_given(job_type)
            self._note_given(job_type, times)
            self._keep(job_type, times)
        now = self._parts.clock.monotonic()
        for job_type in [name for name, look_at in self._full.items() if room and now >= look_at]:
            if job_type in asked.late or job_type in asked.left_alone:
                self._full[job_type] = now + LATE_FIRST_SECONDS
                continue
            del self._full[job_type]
            learned = await self.give(job_type, min(PAGE, self._allowance(job_type, room))) > 0 or learned
        return learned

    def _keep(self, job_type: str, times: Sequence[datetime]) -> None:
        if times:
            self._times[job_type] = sorted([*self._times.get(job_type, ()), *times])

    def _allowance(self, job_type: str, room: int) -> int:
        """How many more jobs may be told a time: who cannot begin at its time has been told in vain."""
        rate = self._rate(job_type)
        if rate is None:
            return PAGE
        now = self._parts.clock.now()
        given = self._given[job_type] = [time for time in self._given.get(job_type, ()) if time > now]
        soon = int(SOON_SECONDS * rate.count / rate.seconds)
        return max(0, max(room, soon) - len(given))

    def _note_given(self, job_type: str, times: Sequence[datetime]) -> None:
        now = self._parts.clock.now()
        self._given.setdefault(job_type, []).extend(time for time in times if time > now)

    def _wait_for_given(self, job_type: str) -> None:
        """No more times are given before one has come that was given."""
        given = self._given.get(job_type)
        look_at = self._monotonic([min(given)]) if given else self._parts.clock.monotonic()
        self._full.setdefault(job_type, look_at)

    async def give(self, job_type: str, limit: int) -> int:
        """Give the first parked jobs of a type the times at which they may begin.

        Returns:
            How many got one.

        Raises:
            StoreError: the store could not be asked.
        """
        if limit <= 0:
            self._wait_for_given(job_type)
            return 0
        waiting = await self._parked.first(limit_name(Limit.RATE, job_type), limit)
        if not waiting:
            return 0
        times = await self._reserve(job_type, len(waiting))
        self._note_given(job_type, times)
        if len(waiting) == limit:
            self._wait_for_given(job_type)  # there may be more
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
            look_at = self._parts.clock.monotonic() + max(1.0, wait)
            self._full[job_type] = look_at
            if not times:
                self._used_up[job_type] = look_at
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
