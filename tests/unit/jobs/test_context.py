"""What a handler is given, and that nothing of one job is visible in another's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.jobs import (
    BaseTask,
    BlockingJobContext,
    JobContext,
    JobStatus,
    LeaseLost,
    RunnerResult,
    clear_current_job_context,
    get_current_job_context,
    set_current_job_context,
)
from app.jobs.errors import BadInput
from app.stores.base import Insert, PreconditionFailed
from tests.support.clock import settle
from tests.support.engine import Engine


def current_id() -> str | None:
    context = get_current_job_context()
    return None if context is None else context.job_id


# --- isolation ---------------------------------------------------------------------------------------


async def test_outside_of_jobs_there_is_no_context() -> None:
    assert get_current_job_context() is None


async def test_many_jobs_at_once_see_only_their_own_context(engine: Engine) -> None:
    """Given fifty async jobs that take turns, then each sees itself, in tasks and threads that it starts too."""
    seen: dict[str, set[str | None]] = {}

    @engine.job("it")
    async def handler(ctx: JobContext, n: int) -> None:
        mine = seen.setdefault(ctx.job_id, set())

        async def inside() -> None:
            await asyncio.sleep(0)
            mine.add(current_id())
            mine.add(await asyncio.to_thread(current_id))

        for _ in range(3):
            mine.add(current_id())
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(inside())
        assert ctx.payload == {"n": n}

    for n in range(50):
        await engine.submitted("it", {"n": n})
    report = await engine.drain(concurrency=50)
    assert (report.completed, len(seen)) == (50, 50)
    assert all(ids == {job_id} for job_id, ids in seen.items())
    assert get_current_job_context() is None


async def test_many_threads_at_once_see_only_their_own_context(engine: Engine) -> None:
    """Given twenty sync jobs that are all at work at the same moment, then each sees itself."""
    together = threading.Barrier(20)
    seen: dict[str, set[str | None]] = {}

    @engine.job("it")
    def handler(ctx: BlockingJobContext) -> None:
        assert together.wait(30) >= 0
        mine = seen.setdefault(ctx.job_id, set())
        mine.add(current_id())
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            mine.add(pool.submit(context.run, current_id).result())
        assert together.wait(30) >= 0
        mine.add(current_id())

    for _ in range(20):
        await engine.submitted("it")
    report = await engine.drain(concurrency=20)
    assert report.completed == 20
    assert all(ids == {job_id} for job_id, ids in seen.items())
    assert get_current_job_context() is None


async def test_a_context_that_is_left_set_does_not_leak(engine: Engine) -> None:
    """Given a handler that puts up a context of its own and clears it never, then the next job sees its own."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="untouched")
    seen: list[str] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        seen.append(variable.get())
        variable.set(ctx.job_id)
        set_current_job_context(ctx)

    for _ in range(3):
        await engine.submitted("it")
    await engine.drain(concurrency=1)
    assert seen == ["untouched"] * 3
    assert (variable.get(), get_current_job_context()) == ("untouched", None)


async def test_a_task_class_has_its_context_too(engine: Engine) -> None:
    seen: list[str | None] = []

    @engine.job("it")
    class It(BaseTask[RunnerResult]):
        async def _validate_config(self, context: JobContext) -> bool:
            seen.append(current_id())
            return True

        async def _execute_impl(self, context: JobContext) -> list[RunnerResult]:
            seen.append(current_id())
            return []

    job_id = await engine.submitted("it")
    await engine.drain()
    assert seen == [job_id, job_id]


async def test_the_context_can_be_set_and_cleared_by_hand(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        clear_current_job_context()
        assert get_current_job_context() is None
        set_current_job_context(ctx)
        assert get_current_job_context() is ctx

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED


async def test_a_sync_handler_never_blocks_the_event_loop(engine: Engine) -> None:
    """Given a thread that waits for an async job to run to its end, then it does: the loop was free."""
    done = threading.Event()

    @engine.job("blocking")
    def blocking(ctx: BlockingJobContext) -> str:
        return "heard" if done.wait(30) else "blocked"

    @engine.job("async")
    async def quick(ctx: JobContext) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        done.set()

    waiting = await engine.submitted("blocking")
    await engine.submitted("async", priority="low")
    await engine.drain(concurrency=2)
    results = await engine.manager.get_job_results(waiting)
    assert results is not None
    assert results.result == "heard"


async def test_the_verbs_of_a_sync_handler_block_its_thread_and_not_the_loop(engine: Engine) -> None:
    loop_thread = threading.get_ident()

    @engine.job("it")
    def handler(ctx: BlockingJobContext, n: int) -> list[Any]:
        assert threading.get_ident() != loop_thread
        ctx.report_progress(1, 4, "a quarter")
        ctx.log("a line", level="warning")
        ctx.save_result({"n": n})
        ctx.save_checkpoint([n])
        ctx.flush()
        return [
            ctx.job_id == current_id(),
            ctx.job_type,
            ctx.attempt,
            ctx.mode,
            ctx.payload,
            ctx.settings,
            ctx.checkpoint,
            ctx.is_cancelled,
            ctx.is_stopping,
            ctx.remaining > 1e9,
            ctx.worker_id,
            ctx.manager.count_jobs(),
        ]

    job_id = await engine.submitted("it", {"n": 7}, mode="apply", settings={"s": 1})
    await engine.drain(worker_id="w1")
    job = await engine.get(job_id)
    assert job.result is not None
    assert job.result.data == [True, "it", 1, "apply", {"n": 7}, {"s": 1}, [7], False, False, True, "w1", 1]
    assert (job.progress.percentage, await engine.log(job_id)) == (25.0, ["a line"])
    results = await engine.manager.get_job_results(job_id)
    assert results is not None
    assert results.saved == [{"n": 7}]


# --- what is recorded --------------------------------------------------------------------------------


async def test_stored_log_lines_have_numbers_levels_and_attempts(engine: Engine) -> None:
    @engine.job("it", retry_delay_seconds=60)
    async def handler(ctx: JobContext) -> None:
        await ctx.log(f"attempt {ctx.attempt} begins", "debug")
        await ctx.flush()
        await ctx.log(f"attempt {ctx.attempt} ends", "ERROR")
        if ctx.attempt == 1:
            raise ValueError("again")

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(61)
    entries = await engine.manager.get_logs(job_id)
    assert [(entry.number, entry.level, entry.attempt) for entry in entries] == [
        (1, "DEBUG", 1),
        (2, "ERROR", 1),
        (3, "DEBUG", 2),
        (4, "ERROR", 2),
    ]
    assert [entry.message for entry in await engine.manager.get_logs(job_id, after=2, limit=1)] == ["attempt 2 begins"]
    assert await engine.manager.get_logs(job_id, after=4) == []


@pytest.mark.parametrize(("after", "limit"), [(0, 1000), (0, 7), (3, 4), (199, 5), (0, 201), (250, 100)])
async def test_logs_are_paged_by_number(engine: Engine, after: int, limit: int) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        for number in range(1, 261):
            await ctx.log(f"{number}")
            if number % 3 == 0:
                await ctx.flush()

    job_id = await engine.submitted("it")
    await engine.drain()
    entries = await engine.manager.get_logs(job_id, after=after, limit=limit)
    assert [entry.number for entry in entries] == list(range(after + 1, min(260, after + limit) + 1))
    assert all(entry.message == str(entry.number) for entry in entries)


async def test_what_was_flushed_is_stored_before_the_handler_goes_on(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.report_progress(3, 4)
        await ctx.save_checkpoint({"page": 3})
        await ctx.flush()
        stored = await engine.get(ctx.job_id)
        assert (stored.progress.percentage, stored.checkpoint) == (75.0, {"page": 3})
        await ctx.save_result("one")
        assert (await engine.records())["results"] == 1

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED


async def test_own_records_are_written_with_the_job_or_not_at_all(engine: Engine) -> None:
    def exercise(name: str) -> Insert:
        return Insert("exercises", name, {"schema_version": 1, "name": name})

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.save_checkpoint("written")
        await ctx.commit([exercise("squat")])
        stored = await engine.get(ctx.job_id)
        assert stored.checkpoint == "written"
        with pytest.raises(PreconditionFailed):
            await ctx.commit([exercise("lunge"), exercise("squat")])
        assert await ctx.store.get("exercises", ["lunge"]) == [None]

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED
    assert (await engine.records())["exercises"] == 1


async def test_a_handler_may_cancel_its_own_job(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> int:
        ctx.cancel()
        assert ctx.is_cancelled
        return 3

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.error and job.error.message) == (JobStatus.CANCELLED, "cancelled by its handler")


async def test_after_its_end_a_context_is_good_for_nothing(engine: Engine) -> None:
    """Given a task that outlives its handler, when it records something, then it learns that the lease is over."""
    kept: list[JobContext] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        kept.append(ctx)

    job_id = await engine.submitted("it")
    await engine.drain()
    before = await engine.get(job_id)
    (ctx,) = kept
    for verb in (
        lambda: ctx.report_progress(1),
        lambda: ctx.log("late"),
        lambda: ctx.save_checkpoint(1),
        lambda: ctx.save_result(1),
        lambda: ctx.flush(),
        lambda: ctx.commit([]),
    ):
        with pytest.raises(LeaseLost, match="attempt 1 has ended"):
            await verb()
    assert await engine.get(job_id) == before


@pytest.mark.parametrize("level", ["LOUD", "", "notice"])
async def test_an_unknown_level_is_refused(engine: Engine, level: str) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        await ctx.log("x", level)

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert job.error is not None
    assert f"level: {level!r} is not a log level; use one of DEBUG, INFO" in job.error.message


async def test_cancelling_a_task_in_the_middle_of_a_write_does_not_tear_it(engine: Engine) -> None:
    """Given a handler that times out its own flush, then the write is whole, and so is the next."""

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.log("first")
        flushing = asyncio.ensure_future(ctx.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        await ctx.log("second")

    job_id = await engine.submitted("it")
    await engine.drain()
    await settle()
    assert await engine.log(job_id) == ["first", "second"]


async def test_a_checkpoint_that_is_refused_leaves_the_one_before(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.save_checkpoint({"page": 1})
        with pytest.raises(BadInput, match=r"^checkpoint: "):
            await ctx.save_checkpoint({1: 1})
        assert ctx.checkpoint == {"page": 1}

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).checkpoint == {"page": 1}


async def test_changing_a_checkpoint_after_it_was_saved_changes_nothing_stored(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        pages = [1]
        await ctx.save_checkpoint(pages)
        pages.append(2)
        await ctx.flush()

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).checkpoint == [1]
