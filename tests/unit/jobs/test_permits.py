"""Permits over time: taken over when they have run out, renewed while their jobs run, and lost with the store."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import EngineOptions, JobRequest, JobStatus, Worker
from app.jobs.permits import LIFE, LINGER_SECONDS, STOP
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.clock import FakeClock
from tests.support.engine import Engine

LEASE = 60.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def engines(clock: FakeClock, plan: FaultPlan | None = None) -> tuple[Engine, Engine]:
    """Two processes over one store; the first one's calls go by the plan."""
    store = MemoryJobStore()
    await store.open()
    options = EngineOptions(lease_seconds=LEASE)
    first = Engine(store=FaultyStore(store, plan or FaultPlan()), options=options, clock=clock)
    return first, Engine(store=store, options=options, clock=clock)


def narrow(engine: Engine, gate: asyncio.Event, ended: list[str]) -> None:
    @engine.job("narrow", max_concurrent=1)
    async def handler(name: str = "") -> None:
        await gate.wait()
        ended.append(name)


async def test_an_idle_worker_uses_a_dead_ones_place_within_a_lease_of_its_end(clock: FakeClock) -> None:
    dead, living = await engines(clock)
    gate, ended = asyncio.Event(), list[str]()
    gate.set()
    for engine in (dead, living):
        narrow(engine, gate, ended)
    await living.manager.create_jobs([JobRequest(type="narrow") for _ in range(3)], auto_start=True)
    await dead.runtime.queue.claim("dead", ["default"], 1)
    upkeep = dead.runtime.limits.permits._upkeep
    assert upkeep is not None
    upkeep.cancel()  # as its process is
    async with living.working():
        await clock.advance(LEASE * LIFE - 1)
        assert ended == []
        await clock.advance(1 + LEASE)
        assert len(ended) == 2


async def test_a_permit_is_renewed_as_long_as_its_job_runs_and_given_back_after_it(clock: FakeClock) -> None:
    engine, other = await engines(clock)
    gate, ended = asyncio.Event(), list[str]()
    narrow(engine, gate, ended)
    narrow(other, gate, ended)
    await engine.submitted("narrow")
    async with engine.working():
        await clock.advance(LEASE * 5)
        assert await other.runtime.limits.permits.free_count("narrow") == 0
        gate.set()
        await clock.advance(LINGER_SECONDS + 2)
        assert ended == [""]
        assert await other.runtime.limits.permits.free_count("narrow") == 1
        assert await engine.runtime.limits.permits.acquire("narrow", 3) == (1, None)


async def test_a_job_stops_before_a_permit_runs_out_that_cannot_be_renewed(clock: FakeClock) -> None:
    plan = FaultPlan()
    engine, _ = await engines(clock, plan)
    gate, ended = asyncio.Event(), list[str]()
    narrow(engine, gate, ended)
    job_id = await engine.submitted("narrow")
    async with engine.working(upkeep=None):
        await clock.advance(1)

        def renews(call: object) -> bool:
            return "limit:narrow#0" in repr(call)

        plan.refuse(Operation.COMMIT_EACH, when=renews, times=1_000)
        await clock.advance(LEASE * (LIFE - STOP) - 3)
        assert (await engine.get(job_id)).status is JobStatus.RUNNING
        await clock.advance(4)
        assert [run.outcome for run in await engine.runs(job_id)] == ["released"]
    job = await engine.get(job_id)
    assert (job.retries_used, job.lease_losses) == (0, 0)


async def test_a_permit_whose_answer_was_lost_is_held_all_the_same(clock: FakeClock) -> None:
    plan = FaultPlan()
    engine, _ = await engines(clock, plan)
    narrow(engine, asyncio.Event(), [])
    plan.lose(Operation.COMMIT_EACH, applied=True)
    assert await engine.runtime.limits.permits.acquire("narrow", 1) == (1, None)
    plan.lose(Operation.COMMIT_EACH, applied=True)
    await clock.advance(LEASE / 4 + 1)  # it is idle, and given back
    assert list(engine.runtime.limits.permits.held) == []
    plan.lose(Operation.COMMIT_EACH, applied=False)
    assert (await engine.runtime.limits.permits.acquire("narrow", 1))[0] == 0
    await engine.runtime.limits.permits.close()


async def test_a_job_behind_a_limit_costs_one_write_more(clock: FakeClock) -> None:
    writes: dict[bool, float] = {}
    for limited in (False, True):
        engine = Engine(clock=clock)
        engine.job("it", **({"max_concurrent": 1} if limited else {}))(lambda: None)
        await engine.manager.create_jobs([JobRequest(type="it") for _ in range(300)], auto_start=True)
        before = engine.store.usage.writes
        await Worker(engine.runtime, concurrency=10).run(drain=True)
        writes[limited] = (engine.store.usage.writes - before) / 300
    assert writes[False] == 3
    assert writes[True] <= 4.1
