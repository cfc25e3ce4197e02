"""A permit that goes from one process to another: the job that was let go for it gets it, in its place and once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from app.jobs import EngineOptions, JobPriority, JobResult, Watchdog
from app.jobs.events import Complete
from app.jobs.lease import Lease
from app.jobs.permits import LIFE, LINGER_SECONDS
from app.stores.memory import MemoryJobStore
from tests.support.clock import FakeClock, settle
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


async def test_if_whoever_was_about_to_take_it_is_dead_it_goes_on_when_that_ones_permit_has_run_out(
    fleet: Fleet,
) -> None:
    _, let_go, _ = await fleet.handed_over()
    await fleet.second.runtime.limits.permits.acquire("narrow", 1)
    upkeep = fleet.second.runtime.limits.permits._upkeep
    assert upkeep is not None
    upkeep.cancel()
    for _ in range(4):
        assert await fleet.claim(fleet.first, 10) == []
        await fleet.clock.advance(LEASE * LIFE / 4)
    (lease,) = await fleet.claim(fleet.first, 10)
    assert lease.job.id == let_go
    assert fleet.writes(let_go) == 4


async def test_no_other_job_is_let_go_for_a_permit_as_long_as_one_waits_that_was(fleet: Fleet) -> None:
    _, let_go, parked = await fleet.handed_over()
    urgent = [await fleet.first.submitted("narrow", priority=JobPriority.CRITICAL) for _ in range(2)]
    permits = fleet.second.runtime.limits.permits
    for each in urgent:
        (lease,) = await fleet.claim(fleet.second, 1)
        assert lease.job.id == each
        permits.attend(each)
        await lease.settle(DONE)
        permits.done(each)
        await fleet.clock.advance(LINGER_SECONDS)
        assert await permits.free_count("narrow") == 1
        assert [(await fleet.first.get(job)).parked_on is None for job in (let_go, parked)] == [True, False]
    await Watchdog(fleet.first.runtime).run()
    assert (await fleet.first.get(parked)).parked_on is not None
    (lease,) = await fleet.claim(fleet.first, 1)
    assert (lease.job.id, fleet.writes(let_go)) == (let_go, 4)


async def test_a_permit_that_is_being_given_back_when_a_worker_ends_is_handed_on(fleet: Fleet) -> None:
    first = await fleet.first.submitted("narrow")
    second = await fleet.first.submitted("narrow")
    (lease,) = await fleet.claim(fleet.first, 2)
    permits = fleet.first.runtime.limits.permits
    permits.attend(first)
    await lease.settle(DONE)
    permits.done(first)
    reached, gate = asyncio.Event(), asyncio.Event()
    free = fleet.first.runtime.limits.permits._handover.free

    async def slow(*told: Any) -> bool:
        reached.set()
        await gate.wait()
        return await free(*told)

    permits._handover.free = slow  # type: ignore[method-assign]
    await fleet.clock.advance(LINGER_SECONDS)
    await reached.wait()
    closing = asyncio.create_task(permits.close())
    await settle()
    assert not closing.done()
    gate.set()
    await closing
    assert await permits.free_count("narrow") == 1
    assert (await fleet.first.get(second)).ready_at is not None


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
