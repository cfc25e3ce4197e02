"""A worker whose time is up: what it runs goes on in another slice, and is told from what makes no progress."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import BlockingJobContext, ContinueLater, JobContext, JobStatus, Outcome, Worker, WorkReport
from tests.support.clock import settle
from tests.support.engine import Engine

SLICE_SECONDS = 30.0


async def one_slice(engine: Engine, **options: object) -> WorkReport:
    """A worker that has so much time, and no more."""
    running = asyncio.ensure_future(Worker(engine.runtime).run(max_seconds=SLICE_SECONDS, drain=True, **options))  # type: ignore[arg-type]  # options of `run`
    for _ in range(200):
        if running.done():
            break
        await engine.clock.advance(1)
    return await running


async def outcomes(engine: Engine, job_id: str) -> list[Outcome]:
    """How each lease of a job ended."""
    return [run.outcome for run in await engine.runs(job_id)]


async def test_a_job_with_checkpoints_completes_in_three_slices_and_no_retry_is_counted(engine: Engine) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> int:
        for n in range(ctx.checkpoint or 0, 8):
            await engine.clock.sleep(10)
            await ctx.save_checkpoint(n + 1)
        return ctx.attempt

    job_id = await engine.submitted("it")
    for _ in range(3):
        await one_slice(engine)
    job = await engine.get(job_id)
    assert job.result is not None
    assert (job.status, job.result.data, job.slices, job.idle_slices) == (JobStatus.COMPLETED, 3, 2, 0)
    assert (job.retries_used, job.lease_losses) == (0, 0)
    assert await outcomes(engine, job_id) == [Outcome.SLICED, Outcome.SLICED, Outcome.COMPLETED]
    assert [run.counted for run in await engine.runs(job_id)] == [False, False, True]


async def test_a_job_of_steps_goes_on_behind_the_last_one(engine: Engine) -> None:
    ran: list[int] = []

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        async def work(n: int) -> None:
            await engine.clock.sleep(10)
            ran.append(n)

        for n in range(8):
            await ctx.step(f"step {n}", work, n)

    job_id = await engine.submitted("it")
    for _ in range(3):
        await one_slice(engine)
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED
    assert ran == list(range(8))


async def test_a_sync_handler_is_sliced_at_its_checkpoint(engine: Engine) -> None:
    @engine.job("it", max_retries=0)
    def handler(ctx: BlockingJobContext) -> int:
        if ctx.attempt == 1:
            ctx.sleep(1)
            ctx.wait_for(engine.clock.sleep(SLICE_SECONDS))
            ctx.save_checkpoint("here")
            return -1
        assert ctx.checkpoint == "here"
        return ctx.attempt

    job_id = await engine.submitted("it")
    for _ in range(2):
        running = asyncio.ensure_future(Worker(engine.runtime).run(max_seconds=SLICE_SECONDS, drain=True))
        for _ in range(100):
            await asyncio.sleep(0.001)  # a thread takes its time
            await engine.clock.advance(0.5)
            if running.done():
                break
        await running
    job = await engine.get(job_id)
    assert job.result is not None
    assert (job.result.data, job.retries_used) == (2, 0)


async def test_what_never_comes_to_a_checkpoint_fails_after_three_slices(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.save_checkpoint(ctx.checkpoint)  # the same as before is nothing new
        await engine.clock.sleep(1000)

    job_id = await engine.submitted("it")
    for _ in range(2):
        await one_slice(engine)
        assert (await engine.get(job_id)).status is JobStatus.QUEUED
    await one_slice(engine)
    job = await engine.get(job_id)
    assert job.error is not None
    assert (job.status, job.error.code, job.retries_used) == (JobStatus.FAILED, "NO_PROGRESS", 0)
    assert await outcomes(engine, job_id) == [Outcome.SLICED, Outcome.SLICED, Outcome.FAILED]


async def test_a_slice_that_gets_somewhere_begins_the_count_anew(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        if ctx.attempt % 2 == 0:
            await ctx.save_checkpoint(ctx.attempt)
        await engine.clock.sleep(1000)

    job_id = await engine.submitted("it")
    counts = []
    for _ in range(6):
        await one_slice(engine)
        counts.append((await engine.get(job_id)).idle_slices)
    assert counts == [1, 0, 1, 0, 1, 0]


async def test_what_began_late_is_given_back_and_nothing_is_held_against_it(engine: Engine) -> None:
    began: list[int] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        began.append(ctx.attempt)
        await engine.clock.sleep(1000)

    running = asyncio.ensure_future(Worker(engine.runtime).run(max_seconds=SLICE_SECONDS))
    await engine.clock.advance(SLICE_SECONDS * 0.6)
    job_id = await engine.submitted("it")
    await engine.clock.advance(SLICE_SECONDS)
    await running
    job = await engine.get(job_id)
    assert (began, job.status, job.outcome, job.idle_slices) == ([1], JobStatus.QUEUED, Outcome.RELEASED, 0)


async def test_nothing_is_begun_when_time_is_nearly_up(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(SLICE_SECONDS - 1)

    ids = [await engine.submitted("it") for _ in range(2)]
    running = asyncio.ensure_future(Worker(engine.runtime, concurrency=1).run(max_seconds=SLICE_SECONDS))
    await engine.clock.advance(SLICE_SECONDS - 1)
    await settle()
    assert (await running).claimed == 1  # and it does not wait for its time to be up
    states = sorted([(await engine.get(each)).status for each in ids])
    assert states == [JobStatus.COMPLETED, JobStatus.QUEUED]


async def test_a_handler_may_end_its_slice_itself_as_often_as_it_likes(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        if ctx.attempt < 6:
            raise ContinueLater

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.slices, job.idle_slices) == (JobStatus.COMPLETED, 5, 0)


@pytest.mark.parametrize("code", ["cleanup", "swallow"])
async def test_whatever_a_handler_makes_of_the_end_of_its_time_the_job_goes_on(engine: Engine, code: str) -> None:
    cleaned: list[str] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        if ctx.attempt == 1:
            await engine.clock.sleep(SLICE_SECONDS)
            try:
                await ctx.save_checkpoint("here")
            except BaseException:
                cleaned.append(code)
                if code == "cleanup":
                    raise
            return "half done"
        return "done"

    job_id = await engine.submitted("it")
    for _ in range(2):
        await one_slice(engine)
    job = await engine.get(job_id)
    assert job.result is not None
    assert (cleaned, job.result.data, job.retries_used) == ([code], "done", 0)
