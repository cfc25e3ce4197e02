"""How many jobs of a type run at once over the whole fleet: a permit is a record, and who holds it may run one.

A worker keeps a permit from one job to the next, so that under load a limit costs no write per job. A permit is a
lease, which lives a third longer than the job leases taken under it and is renewed four times a lease, so that nobody
takes the place of a crashed worker before the last job lease under it has run out. A worker that cannot renew it
stops the job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.jobs.handover import Handover, let_go_for
from app.jobs.lease import Lease, LeaseParts
from app.jobs.limits import COLLECTION, SCHEMA_VERSION, Limit, limit_name
from app.jobs.models import JobStatus
from app.jobs.registry import Registry
from app.jobs.waiting import first_of
from app.stores.base import (
    Delete,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Record,
    StoreError,
    Update,
    Value,
    Version,
    Write,
)

logger = logging.getLogger(__name__)

LIFE = 4 / 3
"""How long a permit lives without being renewed, in leases."""
RENEWAL = 1 / 4
"""How often it is renewed, in leases."""
STOP = 1 / 6
"""So long before its end the job under it is told to stop, in leases."""
LINGER_SECONDS = 1.0
"""How long an idle permit is kept for the next job."""
PAGE = 20
"""How many permits of one type are read at once when one is looked for."""


@dataclass(eq=False, slots=True)
class Permit:
    """One held permit. `sent_at` is the monotonic time from before the write that last made it live."""

    type: str
    id: str
    token: str
    version: Version
    sent_at: float
    idle_since: float
    let_go: str | None = None
    """The job that was let go for it when it was free."""
    job_id: str | None = None
    lease: Lease | None = None
    attended: bool = False
    """Whether a worker says when its handler has ended; if not, it is free when the lease has ended."""


class Permits:
    """The permits that one process holds. Belongs to one event loop."""

    def __init__(self, parts: LeaseParts, registry: Registry, handover: Handover) -> None:
        self.on_lost: set[Callable[[str], None]] = set()
        """Told the id of a job that has to stop, because its permit is lost."""
        self._store = parts.store
        self._clock = parts.clock
        self._chance = parts.chance
        self._lease_seconds = parts.lease_seconds
        self._registry = registry
        self._handover = handover
        self._held: list[Permit] = []
        self._lent: set[Permit] = set()
        self._changed = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None

    def capacity(self, job_type: str) -> int | None:
        """How many jobs of a type may run at once; None for any number."""
        definition = self._registry.find(job_type)
        return None if definition is None else definition.options.max_concurrent

    def knows(self, job_type: str) -> bool:
        """Whether this process knows a type, and so its limit."""
        return self._registry.find(job_type) is not None

    @property
    def held(self) -> Sequence[Permit]:
        """All that this process holds."""
        return self._held

    # --- for a round of a claim ---

    def lend(self) -> list[Permit]:
        """Take the idle permits that live long enough for a new job; `give_back` what was not used."""
        now = self._clock.monotonic()
        self._collect()
        idle = [
            permit
            for permit in self._held
            if permit.job_id is None
            and permit not in self._lent
            and self._remaining(permit, now) >= self._lease_seconds
        ]
        self._lent.update(idle)
        return idle

    def assign(self, permit: Permit, lease: Lease) -> None:
        """A lent permit is in use by the job of this lease."""
        permit.job_id, permit.lease, permit.attended = lease.job.id, lease, False
        if permit not in self._held:
            self._lose(permit)
        self._lent.discard(permit)
        self._keep_up()

    def give_back(self, permits: Sequence[Permit]) -> None:
        """Lent permits are idle again."""
        self._lent.difference_update(permits)
        self._keep_up()

    # --- for a worker ---

    def attend(self, job_id: str) -> None:
        """A worker begins with a job, and will say when it is `done`."""
        for permit in self._held:
            if permit.job_id == job_id:
                permit.attended = True

    def done(self, job_id: str) -> None:
        """The job's handler has ended and it is settled: its permit, if it has one, is idle."""
        for permit in self._held:
            if permit.job_id == job_id:
                self._idle(permit)

    def _idle(self, permit: Permit) -> None:
        permit.job_id = permit.lease = None
        permit.idle_since = self._clock.monotonic()
        self._changed.set()

    async def close(self) -> None:
        """Give back every idle permit now. Those in use are looked after until their jobs have ended."""
        self._collect()
        idle = [permit for permit in self._held if permit.job_id is None and permit not in self._lent]
        await self._release(idle)
        upkeep = self._upkeep
        if not self._held and upkeep is not None:
            # It ends by itself. Cancelled, it could leave a permit behind that it is just giving back.
            self._changed.set()
            await asyncio.wait([upkeep])

    # --- in the store ---

    def _ids(self, job_type: str, capacity: int) -> list[str]:
        name = limit_name(Limit.CONCURRENCY, job_type)
        return [f"{name}#{number}" for number in range(capacity)]

    async def free_count(self, job_type: str) -> int:
        """How many permits of a type nobody holds.

        Raises:
            StoreError: they could not be read.
        """
        ids = self._ids(job_type, self.capacity(job_type) or 0)
        now = self._clock.now()
        return sum(_is_free(record, now) for record in await self._store.get(COLLECTION, ids)) if ids else 0

    async def acquire(self, job_type: str, count: int) -> tuple[int, datetime | None]:
        """Take up to `count` more permits of a type.

        Returns:
            How many were taken, and when the first that others hold runs out, if any was seen.

        Raises:
            StoreError: they could not be read.
        """
        capacity = self.capacity(job_type)
        if capacity is None:
            return 0, None
        ids = self._ids(job_type, capacity)
        first = int(self._chance.fraction() * capacity) if capacity > PAGE else 0
        ids = [*ids[first:], *ids[:first]]
        taken = 0
        ends: datetime | None = None
        for start in range(0, capacity, PAGE):
            names = ids[start : start + PAGE]
            records = await self._store.get(COLLECTION, names)
            now = self._clock.now()
            free = [pair for pair in zip(names, records, strict=True) if _is_free(pair[1], now)]
            while free and taken < count:
                some, free = free[: count - taken], free[count - taken :]
                taken += await self._take(job_type, some)
            if taken >= count:
                break
            times = [_expiry(record) for record in records if record is not None and not _is_free(record, now)]
            ends = min((time for time in (*times, ends) if time is not None), default=None)
        return taken, ends

    async def _take(self, job_type: str, free: Sequence[tuple[str, Record | None]]) -> int:
        sent_at = self._clock.monotonic()
        expires = self._clock.now() + timedelta(seconds=self._lease_seconds * LIFE)
        tokens = [self._chance.token() for _ in free]
        units: list[list[Write]] = []
        for (name, record), token in zip(free, tokens, strict=True):
            fields: dict[str, Value] = {"schema_version": SCHEMA_VERSION, "holder": token, "expires_at": expires}
            if record is None:
                units.append([Insert(COLLECTION, name, fields)])
            else:
                units.append([Update(COLLECTION, name, fields, record.version)])
        taken = 0
        for (name, record), token, answer in zip(free, tokens, await self._store.commit_each(units), strict=True):
            version = await self._version(name, token, answer)
            if version is not None:
                self._held.append(Permit(job_type, name, token, version, sent_at, sent_at, let_go_for(record)))
                taken += 1
        self._keep_up()
        return taken

    async def _version(self, name: str, token: str, answer: list[Version] | StoreError) -> Version | None:
        """The version of a permit after a write, if it is ours; a lost answer is resolved by reading back."""
        if isinstance(answer, list):
            return answer[-1]
        if isinstance(answer, PreconditionFailed):
            return None
        if not isinstance(answer, OutcomeUnknown):
            raise answer
        (record,) = await self._store.get(COLLECTION, [name])
        return record.version if record is not None and record.fields.get("holder") == token else None

    async def offer(self, job_type: str, limit: int) -> int:
        """Let parked jobs go on for permits that nobody holds, each for one; answers how many did.

        Raises:
            StoreError: the store could not be asked; some may have gone on.
        """
        ids = self._ids(job_type, self.capacity(job_type) or 0)
        offered = 0
        for start in range(0, len(ids), PAGE):
            names = ids[start : start + PAGE]
            records = await self._store.get(COLLECTION, names)
            for name, record in zip(names, records, strict=True):
                if offered >= limit or not await self._handover.waits(job_type):
                    return offered
                if _is_free(record, self._clock.now()):
                    version = None if record is None else record.version
                    offered += await self._handover.free(job_type, name, version, let_go_for(record))
        return offered

    async def _release(self, permits: Sequence[Permit]) -> None:
        if not permits:
            return
        self._held = [permit for permit in self._held if permit not in permits]
        try:
            waited_for = {name for name in {each.type for each in permits} if await self._handover.waits(name)}
            handed = [each for each in permits if each.type in waited_for]
            plain = [each for each in permits if each.type not in waited_for]
            if plain:
                await self._store.commit_each([[Delete(COLLECTION, each.id, each.version)] for each in plain])
            for each in handed:
                await self._handover.free(each.type, each.id, each.version, each.let_go)
        except StoreError as error:
            logger.warning("%d permits may not have been given back, and will run out: %s", len(permits), error)

    # --- upkeep ---

    def _remaining(self, permit: Permit, now: float) -> float:
        return permit.sent_at + self._lease_seconds * LIFE - now

    def _keep_up(self) -> None:
        self._changed.set()
        if self._held and (self._upkeep is None or self._upkeep.done()):
            self._upkeep = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._held:
            self._changed.clear()
            try:
                await self._look()
            except StoreError as error:
                logger.warning("permits could not be renewed: %s", error)
            if self._held:
                now = self._clock.monotonic()
                pause = max(min(self._due(permit, now) for permit in self._held) - now, self._lease_seconds / 60)
                await first_of(self._changed.wait(), self._clock.sleep(pause))

    def _due(self, permit: Permit, now: float) -> float:
        renewal = permit.sent_at + self._lease_seconds * RENEWAL
        if permit.job_id is None:
            return min(renewal, permit.idle_since + LINGER_SECONDS)
        if permit.lease is not None and not permit.attended:
            return min(renewal, now + permit.lease.remaining_seconds)
        return renewal

    async def _look(self) -> None:
        now = self._clock.monotonic()
        self._collect()
        over = [
            permit
            for permit in self._held
            if permit.job_id is None and permit not in self._lent and now >= permit.idle_since + LINGER_SECONDS
        ]
        await self._release(over)
        due = [permit for permit in self._held if now >= permit.sent_at + self._lease_seconds * RENEWAL]
        if due:
            try:
                await self._renew(due)
            finally:
                now = self._clock.monotonic()
                for permit in due:
                    if permit in self._held and self._remaining(permit, now) <= self._lease_seconds * STOP:
                        self._lose(permit)

    def _collect(self) -> None:
        """Make idle what was in use by leases that have ended."""
        for permit in self._held:
            if permit.lease is not None and not permit.attended and _has_ended(permit.lease):
                self._idle(permit)

    async def _renew(self, permits: Sequence[Permit]) -> None:
        sent_at = self._clock.monotonic()
        fields = {"expires_at": self._clock.now() + timedelta(seconds=self._lease_seconds * LIFE)}
        units = [[Update(COLLECTION, permit.id, fields, permit.version)] for permit in permits]
        for permit, answer in zip(permits, await self._store.commit_each(units), strict=True):
            version = await self._version(permit.id, permit.token, answer)
            if version is not None:
                if isinstance(answer, list):
                    permit.sent_at = sent_at  # after a lost answer nobody knows, so it is renewed again soon
                permit.version = version
            elif permit in self._held:
                self._lose(permit)

    def _lose(self, permit: Permit) -> None:
        if permit in self._held:
            self._held.remove(permit)
        self._lent.discard(permit)
        if permit.job_id is not None:
            logger.warning("job %s: its permit %s was lost, so it has to stop", permit.job_id, permit.id)
            for tell in tuple(self.on_lost):
                tell(permit.job_id)


def _is_free(record: Record | None, now: datetime) -> bool:
    expires = None if record is None else _expiry(record)
    return expires is None or expires <= now


def _expiry(record: Record) -> datetime | None:
    expires = record.fields.get("expires_at")
    return expires if isinstance(expires, datetime) else None


def _has_ended(lease: Lease) -> bool:
    return lease.job.status is not JobStatus.RUNNING or lease.remaining_seconds <= 0
