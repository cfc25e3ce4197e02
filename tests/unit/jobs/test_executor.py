"""The executor on its own, without a store: a job in, the same job with its result out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import (
    Cancel,
    ContinueLater,
    DuplicateJobType,
    EngineOptions,
    ExecutionContext,
    Job,
    JobContext,
    JobExecutor,
    JobProgress,
    JobResult,
    JobStatus,
    JobType,
    NoEngine,
    NoHandler,
    PermanentError,
    Registry,
    RetryLater,
    ReviewNeeded,
    job,
)
from tests.support.clock import NOON, FakeClock, settle, until

C, F, X = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def executor(clock: FakeClock) -> AsyncIterator[JobExecutor]:
    executor = JobExecutor(2, clock=clock, options=EngineOptions(cancel_grace_seconds=10))
    yield executor
    await executor.close()


def backtest(**fields: Any) -> Job:
    return Job(type=JobType.BACKTEST, created_at=NOON, updated_at=NOON, **fields)


async def test_a_registered_handler_runs_a_job(executor: JobExecutor) -> None:
    progress: list[float] = []

    async def handler(context: ExecutionContext) -> JobResult:
        await context.report_progress(1, 2, "half")
        await context.report_progress(2, 2)
        return JobResult(success=True, data=context.payload["signal"], artifacts={"report": "a.csv"})

    def callback(update: JobProgress) -> None:
        progress.append(update.percentage)

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest(payload={"signal": "momentum"})
    result = await executor.execute(given, progress_callback=callback)
    assert (given.status, given.result, given.is_terminal) == (C, result, True)
    assert (result.data, result.artifacts, progress) == ("momentum", {"report": "a.csv"}, [50.0, 100.0])
    assert (given.attempt, given.started_at, given.duration_seconds) == (1, NOON, 0.0)
    assert executor.running == 0


async def test_the_progress_callback_may_be_a_coroutine(executor: JobExecutor) -> None:
    seen: list[str] = []

    async def handler(context: ExecutionContext) -> JobResult:
        await context.report_progress(1, 2, "half")
        return JobResult(success=True)

    async def callback(update: JobProgress) -> None:
        await asyncio.sleep(0)
        seen.append(update.message)

    executor.register_handler(JobType.BACKTEST, handler)
    await executor.execute(backtest(), callback)
    assert seen == ["half"]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("broken"), F, "broken"),
        (RetryLater(5), F, "the handler asked to be tried later"),
        (PermanentError("no use"), F, "no use"),
        (Cancel("not needed"), X, "not needed"),
        (ContinueLater(5), X, "the handler ended before its job did"),
        (ReviewNeeded("which?"), X, "the handler ended before its job did"),
        (asyncio.CancelledError(), F, "cancelled by itself"),
        (SystemExit(1), F, "SystemExit"),
        (StopIteration(), F, "StopIteration"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_the_result_is_set_however_the_handler_ends(
    executor: JobExecutor, error: BaseException, status: JobStatus, text: str
) -> None:
    async def handler(context: ExecutionContext) -> JobResult:
        raise error

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest()
    result = await executor.execute(given)
    assert (given.status, given.result, result.success) == (status, result, False)
    assert text in str(result.error)


async def test_a_handler_that_says_failure_has_failed(executor: JobExecutor) -> None:
    async def handler(context: ExecutionContext) -> JobResult:
        return JobResult(success=False, data=[1], error="no data")

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest()
    assert (await executor.execute(given)).data == [1]
    assert (given.status, given.error and given.error.message) == (F, "no data")


async def test_a_job_nobody_handles_is_refused(executor: JobExecutor) -> None:
    given = backtest()
    with pytest.raises(NoHandler, match="nothing is registered to run 'backtest'"):
        await executor.execute(given)
    assert (given.status, given.result) == (JobStatus.PENDING, None)


async def test_handlers_registered_with_the_decorator_run_too(clock: FakeClock) -> None:
    """Given a registry that is empty when the executor is made, when a type is added, then it is found."""
    registry = Registry()
    executor = JobExecutor(registry=registry, clock=clock)

    @job("later", registry=registry)
    async def later(ctx: JobContext, n: int) -> int:
        with pytest.raises(NoEngine):
            _ = ctx.manager
        await ctx.log("a line")
        await ctx.save_checkpoint({"n": n})
        await ctx.save_result([n])
        await ctx.flush()
        assert (ctx.attempt, ctx.is_cancelled, ctx.remaining) == (1, False, float("inf"))
        return n + 1

    @job("in_a_thread", registry=registry)
    def in_a_thread(n: int) -> int:
        return n + 2

    first, second = Job(type="later", payload={"n": 1}), Job(type="in_a_thread", payload={"n": 1})
    assert (await executor.execute(first)).data == 2
    assert (first.checkpoint, (await executor.execute(second)).data) == ({"n": 1}, 3)
    await executor.close()


async def test_no_more_at_once_than_allowed(executor: JobExecutor) -> None:
    at_work = most = 0
    release = asyncio.Event()

    async def handler(context: ExecutionContext) -> JobResult:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await release.wait()
        at_work -= 1
        return JobResult(success=True)

    executor.register_handler(JobType.BACKTEST, handler)
    tasks = [asyncio.ensure_future(executor.execute(backtest())) for _ in range(7)]
    await settle()
    assert (at_work, executor.running) == (2, 2)
    release.set()
    await asyncio.gather(*tasks)
    assert most == 2


async def test_a_cancel_is_heard_by_a_handler_that_listens(executor: JobExecutor) -> None:
    started = asyncio.Event()

    async def handler(context: ExecutionContext) -> JobResult:
        started.set()
        await until(context.is_cancelled)
        return JobResult(success=True)

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest()
    task = asyncio.ensure_future(executor.execute(given))
    await started.wait()
    assert await executor.cancel(given.id)
    result = await task
    assert (given.status, result.success, result.error) == (X, False, "cancelled")
    assert not await executor.cancel(given.id)


async def test_a_cancel_cuts_off_a_handler_that_does_not_listen(executor: JobExecutor, clock: FakeClock) -> None:
    async def handler(context: ExecutionContext) -> JobResult:
        await clock.sleep(1000)
        return JobResult(success=True)

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest()
    task = asyncio.ensure_future(executor.execute(given))
    await settle()
    await executor.cancel(given.id)
    await clock.advance(9.9)
    assert given.status is JobStatus.RUNNING
    await clock.advance(0.2)
    assert ((await task).error, given.status) == ("cancelled", X)


@pytest.mark.parametrize(
    ("fields", "after", "status", "text"),
    [
        ({"timeout_seconds": 30.0}, 30.1, F, "longer than its timeout of 30 s"),
        ({"max_duration_seconds": 30.0}, 40.1, X, "Duration limit reached"),
    ],
)
async def test_limits_hold_without_a_store_as_well(
    executor: JobExecutor, clock: FakeClock, fields: dict[str, Any], after: float, status: JobStatus, text: str
) -> None:
    async def handler(context: ExecutionContext) -> JobResult:
        await clock.sleep(1000)
        return JobResult(success=True)

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest(**fields)
    task = asyncio.ensure_future(executor.execute(given))
    await clock.advance(after)
    assert task.done()
    assert given.status is status
    assert text in str((await task).error)


async def test_a_call_that_is_cancelled_leaves_a_job_with_a_result(executor: JobExecutor, clock: FakeClock) -> None:
    cut_off = asyncio.Event()

    async def handler(context: ExecutionContext) -> JobResult:
        try:
            await clock.sleep(1000)
        finally:
            cut_off.set()
        return JobResult(success=True)

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest()
    task = asyncio.ensure_future(executor.execute(given))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    assert cut_off.is_set()
    assert (given.status, given.result and given.result.success) == (X, False)


async def test_a_job_that_had_to_begin_earlier_is_not_run(executor: JobExecutor) -> None:
    async def handler(context: ExecutionContext) -> JobResult:
        raise AssertionError("it must not run")

    executor.register_handler(JobType.BACKTEST, handler)
    given = backtest(start_before=NOON - timedelta(seconds=1))
    result = await executor.execute(given)
    assert (given.status, given.error and given.error.code, result.error) == (X, "EXPIRED", "expired")


async def test_two_handlers_of_one_type_are_refused(executor: JobExecutor) -> None:
    async def one(context: ExecutionContext) -> JobResult:
        return JobResult(success=True)

    async def two(context: ExecutionContext) -> JobResult:
        return JobResult(success=True)

    executor.register_handler(JobType.BACKTEST, one)
    executor.register_handler(JobType.BACKTEST, one)
    with pytest.raises(DuplicateJobType, match="rename one of them"):
        executor.register_handler(JobType.BACKTEST, two)
