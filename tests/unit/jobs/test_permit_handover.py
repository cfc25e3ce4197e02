"""A permit that goes from one process to another: the job that was let go for it gets it, in its place and once."""

from __future__ import annotations

from collections import Counter

import pytest

from app.jobs import EngineOptions, JobPriority, JobResult
from app.jobs.concurrency import GRACE
from app.jobs.events import Complete
from app.jobs.lease import Lease
from app.jobs.permits import LIFE, LINGER_SECONDS
from app.stores.memory import MemoryJobStore
from tests.support.clock import FakeClock
from tests.support.engine import Engine
from tests.support.written import CountingStore, Written

LEASE = 60.0
DONE = Complete(JobResult(success=True))


class Fleet:
    """Two processes over one store, and narrow jobs of which the first is to run and the others are parked."""

    def __init__(self, clock: FakeClock, stores: list[CountingStore], written: Written) -> None:
        self.clock = clock
        self.written = written
        options = EngineOptions(lease_seconds=LEASE)
        self.first, self.second = (Engine(store=store, options=options, clock=clock) for store in stores)
        for engine in (self.first, self.second):
            engine.job("narrow", max_concurrent=1)(lambda: None)
            engine.job("wide")(lambda: None)

    async def claim(self, engine: Engine, limit: int) -> list[Lease]:
        """What one process takes."""
        leases, _ = await engine.runtime.queue.claim("somebody", ["default"], limit)
        return leases

    async def handed_over(self) -> list[str]:
        """Three narrow jobs, oldest first; the first has run, and the second was let go for its idle permit."""
        jobs = []
        for _ in range(3):
            jobs.append(await self.first.submitted("narrow"))
            await self.clock.advance(0.001)
        (lease,) = await self.claim(self.first, 3)
        assert [(await self.first.get(job)).parked_on is None for job in jobs] == [True, False, False]
        self.first.runtime.limits.permits.attend(jobs[0])
        await lease.settle(DONE)
        self.first.runtime.limits.permits.done(jobs[0])
        await self.clock.advance(LINGER_SECONDS)
        assert await self.second.runtime.limits.permits.free_count("narrow") == 1
        assert [(await self.first.get(job)).parked_on is None for job in jobs] == [True, True, False]
        return jobs

    def writes(self, job_id: str) -> int:
        return self.written["jobs", job_id]


@pytest.fixture
async def fleet() -> Fleet:
    memory, written = MemoryJobStore(), Counter[tuple[str, str]]()
    await memory.open()
    return Fleet(FakeClock(), [CountingStore(memory, written) for _ in range(2)], written)


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_whoever_has_room_takes_the_job_that_was_let_go_and_no_younger_one(fleet: Fleet, limit: int) -> None:
    _, let_go, parked = await fleet.handed_over()
    (lease,) = await fleet.claim(fleet.second, limit)
    assert lease.job.id == let_go
    await lease.settle(DONE)
    assert fleet.writes(let_go) == 5  # created, parked, let go, claimed, settled
    (lease,) = await fleet.claim(fleet.second, limit)
    assert lease.job.id == parked
    await lease.settle(DONE)
    assert fleet.writes(parked) == 4


async def test_a_job_that_another_is_about_to_take_is_not_parked_again(fleet: Fleet) -> None:
    _, let_go, parked = await fleet.handed_over()
    assert (await fleet.second.runtime.limits.permits.acquire("narrow", 1))[0] == 1
    written = fleet.writes(let_go)
    for limit in (1, 10):
        assert await fleet.claim(fleet.first, limit) == []
    assert fleet.writes(let_go) == written
    (lease,) = await fleet.claim(fleet.second, 10)
    assert lease.job.id == let_go
    assert fleet.writes(let_go) == 4
    assert (await fleet.first.get(parked)).parked_on is not None


async def test_who_looks_again_at_once_for_a_job_left_alone_would_look_for_ever(fleet: Fleet) -> None:
    await fleet.handed_over()
    await fleet.second.runtime.limits.permits.acquire("narrow", 1)
    assert await fleet.first.runtime.queue.claim("somebody", ["default"], 1) == ([], False)


async def test_a_job_left_alone_stands_before_no_other_type(fleet: Fleet) -> None:
    await fleet.handed_over()
    wide = [await fleet.first.submitted("wide") for _ in range(3)]
    await fleet.second.runtime.limits.permits.acquire("narrow", 1)
    assert sorted(lease.job.id for lease in await fleet.claim(fleet.first, 5)) == wide


async def test_if_whoever_was_about_to_take_it_is_dead_it_is_parked_and_goes_on_later(fleet: Fleet) -> None:
    _, let_go, _ = await fleet.handed_over()
    await fleet.second.runtime.limits.permits.acquire("narrow", 1)
    upkeep = fleet.second.runtime.limits.permits._upkeep
    assert upkeep is not None
    upkeep.cancel()
    assert await fleet.claim(fleet.first, 10) == []
    await fleet.clock.advance(GRACE.total_seconds())
    assert await fleet.claim(fleet.first, 10) == []
    assert (await fleet.first.get(let_go)).parked_on is not None
    await fleet.clock.advance(LEASE * LIFE)
    (lease,) = await fleet.claim(fleet.first, 10)
    assert lease.job.id == let_go


async def test_a_better_newcomer_gets_the_permit_that_was_for_a_parked_job(fleet: Fleet) -> None:
    _, let_go, parked = await fleet.handed_over()
    await fleet.second.runtime.limits.permits.acquire("narrow", 1)
    urgent = await fleet.first.submitted("narrow", priority=JobPriority.CRITICAL)
    (lease,) = await fleet.claim(fleet.second, 1)
    assert lease.job.id == urgent
    assert fleet.writes(urgent) == 2
    await lease.settle(DONE)
    for expected in (let_go, parked):
        (lease,) = await fleet.claim(fleet.second, 1)
        assert lease.job.id == expected
        await lease.settle(DONE)
