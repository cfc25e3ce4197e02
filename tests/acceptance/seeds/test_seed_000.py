"""Seed 000: the executor, the manager and the progress broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.jobs import (
    ExecutionContext,
    Job,
    JobContext,
    JobExecutor,
    JobNotFound,
    JobProgress,
    JobResult,
    JobStatus,
    JobType,
    ProgressBroker,
    Runtime,
    Worker,
)
from tests.acceptance.seeds.sample import Namespace, Sample
from tests.support.clock import FakeClock, settle, until
from tests.support.engine import Engine


async def test_executor_runs_a_registered_handler_and_cancels_by_id() -> None:
    clock = FakeClock()
    executor = JobExecutor(max_concurrent=2, clock=clock)
    job = Job(type=JobType.BACKTEST, payload={"signal": "momentum"})
    long_one = Job(type=JobType.BACKTEST, payload={"signal": "forever"})
    told: list[JobProgress] = []
    waiting: list[asyncio.Task[JobResult]] = []

    async def my_backtest_handler(ctx: ExecutionContext) -> JobResult:
        while ctx.payload["signal"] == "forever" and not ctx.is_cancelled():
            await clock.sleep(0)
        await ctx.report_progress(1, 4, "loaded")
        await ctx.report_progress(4, 4, "done")
        return JobResult(success=True, data={"of": ctx.payload["signal"]}, artifacts={"report": "r.html"})

    async def my_callback(progress: JobProgress) -> None:
        told.append(progress)

    async def start_the_long_one(names: Namespace) -> None:
        assert job.status is JobStatus.COMPLETED, "execute returns when the job has ended"
        waiting.append(asyncio.create_task(executor.execute(long_one)))
        await until(lambda: executor.running == 1)

    await Sample("000_01_executor").run_async(
        {
            "executor": executor,
            "JobType": JobType,
            "my_backtest_handler": my_backtest_handler,
            "job": job,
            "my_callback": my_callback,
            "job_id": long_one.id,
        },
        before={"await executor.cancel": start_the_long_one},
    )
    assert job.result == JobResult(success=True, data={"of": "momentum"}, artifacts={"report": "r.html"})
    assert job.is_terminal
    assert job.duration_seconds is not None
    assert [(progress.percentage, progress.message) for progress in told] == [(25.0, "loaded"), (100.0, "done")]
    result = await waiting[0]
    assert long_one.status is JobStatus.CANCELLED
    assert long_one.result is not None, "the result is set on every path"
    assert not result.success
    await executor.close()


async def test_executor_sets_the_result_of_a_handler_that_fails() -> None:
    executor = JobExecutor()
    job, other = Job(type=JobType.BACKTEST), Job(type=JobType.BACKTEST)
    assert job.id != other.id

    async def my_backtest_handler(ctx: ExecutionContext) -> JobResult:
        raise ZeroDivisionError("no prices")

    names = {"executor": executor, "JobType": JobType, "my_backtest_handler": my_backtest_handler, "job": job}
    await Sample("000_01_executor").run_async({**names, "my_callback": None, "job_id": other.id})
    assert (job.status, job.result) == (JobStatus.FAILED, JobResult(success=False, error="no prices"))
    assert job.error is not None
    assert job.error.type == "builtins.ZeroDivisionError"
    await executor.close()


def offer_backtests(engine: Engine) -> None:
    """Backtests take 90 seconds and tell at the beginning of each third, and at the end, how far they are."""

    async def handler(ctx: ExecutionContext) -> JobResult:
        for third, message in enumerate(("Loading", "Running", "Reporting")):
            await ctx.report_progress(third, 3, message)
            await engine.clock.sleep(30)
        await ctx.report_progress(3, 3, "Done")
        return JobResult(success=True, data=ctx.payload["signal"])

    engine.manager.register_handler(JobType.BACKTEST, handler)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["run here", "run by another process"])
async def test_manager_submits_queries_cancels_streams_and_cleans_up(
    engine: Engine, capsys: pytest.CaptureFixture[str], elsewhere: bool
) -> None:
    await engine.store.open()
    manager = engine.manager
    offer_backtests(engine)
    # Another process shares the store and the types with this one, and nothing else.
    runtime = Runtime(engine.store, registry=engine.registry, clock=engine.clock) if elsewhere else engine.runtime
    worker = Worker(runtime)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(worker.run())]

    old = await manager.submit(JobType.BACKTEST, {"signal": "value"})
    await engine.clock.advance(100)
    engine.clock.jump(31 * 86400)
    recent = await manager.submit(JobType.BACKTEST, {"signal": "size"})
    await engine.clock.advance(100)
    running = await manager.submit(JobType.BACKTEST, {"signal": "carry"})
    await settle()
    streamed: list[str] = []

    async def see_that_it_waits_and_let_it_begin(names: Namespace) -> None:
        job = names["job"]
        assert (job.status, job.payload) == (JobStatus.QUEUED, {"signal": "momentum"}), "submit returns immediately"
        streamed.append(job.id)
        names["job_id"] = running.id
        await settle()

    def see_what_runs(names: Namespace) -> None:
        assert (names["job"].id, names["job"].payload) == (running.id, {"signal": "carry"})
        assert [job.id for job in names["jobs"]] == [streamed[0], running.id], "running ones only, newest first"

    async def see_the_cancel_obeyed_and_follow_the_other(names: Namespace) -> None:
        await engine.clock.advance(35)
        assert await manager.get_job_status(running.id) is JobStatus.CANCELLED
        names["job_id"] = streamed[0]
        tasks.append(asyncio.create_task(engine.clock.advance(60)))

    await Sample("000_02_manager").run_async(
        {"manager": manager, "JobType": JobType, "JobStatus": JobStatus},
        before={
            "job = await manager.get": see_that_it_waits_and_let_it_begin,
            "await manager.cancel": see_what_runs,
            "async for": see_the_cancel_obeyed_and_follow_the_other,
        },
    )
    assert capsys.readouterr().out == "33% — Running\n67% — Reporting\n100% — Done\n"
    assert await manager.get_job_status(streamed[0]) is JobStatus.COMPLETED
    assert await manager.get_job_status(recent.id) is JobStatus.COMPLETED, "it ended less than 30 days ago"
    with pytest.raises(JobNotFound):
        await manager.get(old.id)
    worker.stop()
    await asyncio.gather(*tasks)
    await engine.store.close()


async def test_progress_is_followed_to_the_process_where_the_job_goes_on(engine: Engine) -> None:
    await engine.store.open()
    seen: list[str] = []

    @engine.job("import")
    async def take_in(ctx: JobContext) -> None:
        for part in (1, 2):
            await ctx.report_progress(part, 2, f"{ctx.worker_id}: part {part}")
            await engine.clock.sleep(30)

    async def follow(job_id: str) -> None:
        seen.extend([progress.message async for progress in engine.manager.subscribe_progress(job_id)])

    following = asyncio.create_task(follow(await engine.submitted("import")))
    async with engine.working(worker_id="here"):
        await engine.clock.advance(10)
    elsewhere = Worker(Runtime(engine.store, registry=engine.registry, clock=engine.clock), worker_id="elsewhere")
    work = asyncio.create_task(elsewhere.run(max_jobs=1))
    await engine.clock.advance(100)
    await asyncio.gather(work, following)
    assert seen == ["here: part 1", "elsewhere: part 1", "elsewhere: part 2"]
    await engine.store.close()


async def test_broker_hands_progress_to_every_subscriber_until_it_is_closed() -> None:
    broker = ProgressBroker()
    heard: list[list[JobProgress]] = [[], []]

    async def listen(number: int) -> None:
        heard[number].extend([progress async for progress in broker.subscribe("job-1")])

    early = [asyncio.create_task(listen(0))]
    await settle()
    again = JobProgress(current=75, total=100, message="Still running...")

    async def publish_and_end_beside_the_sample(names: Namespace) -> None:
        async def beside() -> None:
            await settle()
            await broker.publish("job-1", again)
            await broker.publish("job-2", JobProgress(current=1, total=1))
            await broker.close("job-1")

        early.append(asyncio.create_task(beside()))

    async def another_subscriber(names: Namespace) -> None:
        assert names["progress"] == again, "the sample heard what came after it had subscribed"
        early.append(asyncio.create_task(listen(1)))
        await settle()

    await Sample("000_03_progress_broker").run_async(
        {"broker": broker, "job_id": "job-1", "JobProgress": JobProgress},
        before={"async for": publish_and_end_beside_the_sample, "await broker.close": another_subscriber},
    )
    await asyncio.gather(*early)
    assert heard == [[JobProgress(current=50, total=100, message="Running..."), again], []]
    assert heard[0][0].percentage == 50.0
