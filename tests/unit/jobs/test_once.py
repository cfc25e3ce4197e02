"""What is done once under a key, whichever of many jobs comes first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.jobs import BadInput, BlockingJobContext, JobContext, JobExecutor, JobResult, JobStatus, NoEngine
from app.jobs.models import Job
from tests.support.clock import FakeClock, settle
from tests.support.engine import Engine


async def test_many_jobs_at_once_do_it_once_and_share_the_outcome(engine: Engine) -> None:
    ran: list[str] = []

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> Any:
        async def effect() -> dict[str, str]:
            ran.append(ctx.job_id)
            await asyncio.sleep(0)
            return {"by": ctx.job_id}

        return await ctx.once("the key", effect)

    ids = [await engine.submitted("it") for _ in range(20)]
    await engine.drain(concurrency=20)
    assert len(ran) == 1
    for job_id in ids:
        job = await engine.get(job_id)
        assert job.result is not None
        assert (job.status, job.result.data, job.retries_used) == (JobStatus.COMPLETED, {"by": ran[0]}, 0)


async def test_who_waits_for_a_key_holds_no_worker_and_is_told(engine: Engine) -> None:
    goes_on = asyncio.Event()

    @engine.job("it")
    async def handler(ctx: JobContext) -> Any:
        async def effect() -> int:
            await goes_on.wait()
            return 7

        return await ctx.once("k", effect)

    first = await engine.submitted("it")
    async with engine.working(concurrency=1):
        second = await engine.submitted("it")
        async with engine.working(concurrency=1):
            await engine.clock.advance(engine.runtime.store.limits().poll_seconds)
            states = {(await engine.get(each)).status: each for each in (first, second)}
            assert set(states) == {JobStatus.RUNNING, JobStatus.QUEUED}
            waits = await engine.get(states[JobStatus.QUEUED])
            assert waits.waiting_for is not None
            assert waits.waiting_for.startswith("once:")
            goes_on.set()
            await settle()
            await engine.clock.advance(1)
            for each in (first, second):
                job = await engine.get(each)
                assert job.result is not None
                assert job.result.data == 7


async def test_another_key_is_another_matter_and_a_later_job_gets_the_first_ones_outcome(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext, key: str) -> list[Any]:
        return [await ctx.once(key, lambda: (ctx.job_id, key)) for _ in range(2)]

    results = []
    for key in ("a", "b", "a"):
        job_id = await engine.submitted("it", {"key": key})
        await engine.drain()
        job = await engine.get(job_id)
        assert job.result is not None
        results.append(job.result.data)
    assert results[0][0][1] == "a"
    assert results[0] == results[2] != results[1]
    assert results[0][0] == results[0][1]


async def test_when_it_fails_the_next_one_tries(engine: Engine) -> None:
    tried: list[int] = []

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext, n: int) -> Any:
        def effect() -> int:
            tried.append(n)
            if n == 0:
                raise ValueError("no")
            return n

        return await ctx.once("k", effect)

    ids = []
    for n in range(3):
        ids.append(await engine.submitted("it", {"n": n}))
        await engine.drain()
    assert tried == [0, 1]
    assert [(await engine.get(each)).status for each in ids] == [
        JobStatus.FAILED,
        JobStatus.COMPLETED,
        JobStatus.COMPLETED,
    ]


async def test_what_cannot_be_stored_is_refused_and_the_key_is_free(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> Any:
        for returned in (object(), "x" * 300_000):
            with pytest.raises(BadInput, match="once"):
                await ctx.once("k", lambda returned=returned: returned)
        for key in ("", "x" * 1001, 3):
            with pytest.raises(BadInput, match="key"):
                await ctx.once(key, lambda: 1)  # type: ignore[arg-type]  # what is refused
        return await ctx.once("k", lambda: "fine")

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert job.result is not None
    assert job.result.data == "fine"


async def test_calls_of_one_attempt_about_one_key_share_it(engine: Engine) -> None:
    ran: list[int] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> Any:
        async def effect(n: int) -> int:
            ran.append(n)
            await asyncio.sleep(0)
            return n

        return await asyncio.gather(*(ctx.once("k", effect, n) for n in range(5)))

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert job.result is not None
    assert (job.result.data, ran) == ([0] * 5, [0])


async def test_a_sync_handler_has_it_too(engine: Engine) -> None:
    ran: list[str] = []

    @engine.job("it", max_retries=0)
    def handler(ctx: BlockingJobContext, fails: bool) -> Any:
        async def effect() -> str:
            ran.append("ran")
            if fails:
                raise ValueError
            return "done"

        return ctx.once("k", effect)

    for fails in (True, False, False):
        await engine.submitted("it", {"fails": fails})
        await engine.drain()
    assert ran == ["ran", "ran"]


async def test_old_keys_are_forgotten(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> Any:
        return await ctx.once("k", lambda: ctx.job_id)

    await engine.submitted("it")
    await engine.drain()
    keep = engine.runtime.options.keep_runs
    assert keep is not None
    engine.clock.jump(keep.total_seconds() - 1)
    assert (await engine.manager.run_watchdog()).deleted_once == 0
    engine.clock.jump(2)
    assert (await engine.manager.run_watchdog()).deleted_once == 1
    assert (await engine.records())["once"] == 0


async def test_without_a_store_there_is_nothing_to_share() -> None:
    executor = JobExecutor(clock=FakeClock())

    async def handler(ctx: Any) -> JobResult:
        with pytest.raises(NoEngine):
            await ctx.once("k", lambda: 1)
        return JobResult(success=True)

    executor.register_handler("it", handler)
    assert (await executor.execute(Job(type="it"))).success
    await executor.close()
