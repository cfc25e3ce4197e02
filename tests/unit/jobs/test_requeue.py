"""Running many ended jobs again: which, how fast, and what is kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import BadInput, JobContext, JobStatus
from app.jobs.requeue_verbs import SLOWEST_PER_SECOND, _at
from app.stores import MemoryJobStore
from app.stores.faults import FaultPlan, FaultyStore, Operation
from tests.support.engine import Engine


def register(engine: Engine) -> list[str]:
    """Types that fail until they are mended; gives the ids of what ran when they were."""
    ran: list[str] = []

    async def work(ctx: JobContext, mended: bool = False) -> None:
        if ctx.attempt == 1:
            await ctx.save_checkpoint({"at": 7})
            raise ValueError("the server is away")
        ran.append(f"{ctx.job_id} {ctx.checkpoint}")

    for name in ("one", "two"):
        engine.job(name, max_retries=0)(work)
    return ran


@pytest.fixture
def engine() -> Engine:
    return Engine()


async def failed(engine: Engine, count: int, job_type: str = "one", **options: Any) -> list[str]:
    ids = []
    for _ in range(count):
        ids.append(await engine.submitted(job_type, **options))
        engine.clock.jump(1)
    await engine.drain()
    return ids


async def test_all_that_failed_run_again_from_their_checkpoints_the_oldest_first(engine: Engine) -> None:
    ran = register(engine)
    ids = await failed(engine, 130)
    assert await engine.manager.retry_jobs() == 130
    await engine.drain(concurrency=1)
    assert ran == [f"{job_id} {{'at': 7}}" for job_id in ids]
    (first, second) = await engine.runs(ids[0])
    assert (first.outcome, second.outcome) == ("failed", "completed")
    assert first.error is not None
    assert first.error.message == "the server is away", "what shows why it failed is kept"
    assert await engine.manager.retry_jobs() == 0


async def test_filters_and_limit_choose_and_a_fresh_start_forgets_the_checkpoint(engine: Engine) -> None:
    ran = register(engine)
    ones = await failed(engine, 3, tags=["x"])
    await failed(engine, 2, "two")
    assert await engine.manager.retry_jobs(type="one", tags=["x"], limit=2, keep_checkpoint=False) == 2
    await engine.drain()
    assert ran == [f"{job_id} None" for job_id in ones[:2]]
    assert await engine.manager.count_jobs(status="failed") == 3


async def test_cancelled_jobs_too_if_asked_for(engine: Engine) -> None:
    register(engine)
    await engine.manager.cancel_job(await engine.submitted("one"))
    assert await engine.manager.retry_jobs() == 0
    assert await engine.manager.retry_jobs(status="cancelled") == 1


async def test_a_rate_spreads_them_over_time(engine: Engine) -> None:
    register(engine)
    ids = await failed(engine, 25)
    now = engine.clock.now()
    assert await engine.manager.retry_jobs(rate_per_second=10) == 25
    jobs = [await engine.get(job_id) for job_id in ids]
    assert jobs[0].ready_at == now
    assert [job.wake_at for job in jobs[1:]] == [now + timedelta(seconds=n / 10) for n in range(1, 25)]
    assert {job.status for job in jobs} == {JobStatus.QUEUED}


def test_the_slowest_rate_puts_a_job_off_for_ten_years_at_most() -> None:
    begin = Engine().clock.now()
    far_off = [_at(begin, place, SLOWEST_PER_SECOND) for place in (1, 3660, 3661, 10**9)]
    assert far_off == [begin + timedelta(days=days) for days in (1, 3660, 3660, 3660)]


async def test_what_somebody_else_has_dealt_with_meanwhile_is_left_alone(engine: Engine) -> None:
    plan = FaultPlan()
    memory = MemoryJobStore()
    mine, theirs = Engine(store=FaultyStore(memory, plan)), Engine(store=memory)
    register(mine)
    register(theirs)
    (job_id,) = await failed(theirs, 1)
    await mine.manager.open()
    held = plan.hold(Operation.GET)
    retrying = asyncio.create_task(mine.manager.retry_jobs())
    await held.reached()
    await theirs.manager.retry_job(job_id)
    held.release()
    assert await retrying == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"rate_per_second": -1}, "rate_per_second"),
        ({"rate_per_second": float("nan")}, "rate_per_second"),
        ({"rate_per_second": SLOWEST_PER_SECOND / 2}, "rate_per_second"),
        ({"rate_per_second": 1e-12}, "rate_per_second"),
        ({"limit": 0}, "limit"),
        ({"status": "running"}, "status"),
        ({"status": "completed"}, "status"),
        ({"status": "strange"}, "status"),
        ({"sort_by": "priority"}, "sort_by"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_makes_no_sense_is_refused(engine: Engine, given: dict[str, Any], field: str) -> None:
    register(engine)
    await failed(engine, 2)
    with pytest.raises(BadInput) as refused:
        await engine.manager.retry_jobs(**given)
    assert refused.value.field == field
    assert await engine.manager.count_jobs(status="failed") == 2
