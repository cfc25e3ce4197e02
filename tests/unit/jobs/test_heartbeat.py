"""What is watched over while handlers run: leases, time limits, cancels; all on a clock that stands still."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import BlockingJobContext, ContinueLater, EngineOptions, JobContext, JobStatus, LeaseLost, Outcome
from app.jobs.heartbeat import CUT_SECONDS
from app.stores.base import Write
from tests.support.clock import until
from tests.support.engine import Engine

OPTIONS = EngineOptions(lease_seconds=60, flush_seconds=5, cancel_grace_seconds=10, abandoned_lease_seconds=15)


class Watched(Engine):
    """An engine that notes every write of a job, with the second at which it was sent."""

    def __init__(self) -> None:
        super().__init__(options=OPTIONS)
        self.writes: list[tuple[float, Write]] = []
        commit_each = self.memory.commit_each
        begin = self.clock.monotonic()

        async def noting(units: Any) -> Any:
            for unit in units:
                self.writes += [(self.clock.monotonic() - begin, write) for write in unit if write.collection == "jobs"]
            return await commit_each(units)

        self.memory.commit_each = noting  # type: ignore[method-assign]

    def written(self, field: str) -> list[tuple[float, Any]]:
        """When this field of a job was written, and what."""
        return [(at, write.fields[field]) for at, write in self.writes if field in getattr(write, "fields", {})]

    def renewals(self) -> list[float]:
        """When a lease was renewed."""
        return [at for at, expires in self.written("lease_expires_at") if expires is not None]


@pytest.fixture
async def engine() -> AsyncIterator[Watched]:
    engine = Watched()
    await engine.store.open()
    yield engine
    await engine.store.close()


def sleeper(engine: Engine, seconds: float) -> Any:
    async def handler(ctx: JobContext) -> str:
        await engine.clock.sleep(seconds)
        return "slept"

    return handler


# --- renewals ----------------------------------------------------------------------------------------


async def test_a_lease_is_renewed_at_a_third_of_its_time(engine: Watched) -> None:
    engine.job("it")(sleeper(engine, 100))
    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(101)
    assert engine.renewals() == [20, 40, 60, 80, 100] or engine.renewals() == [20, 40, 60, 80]
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED


async def test_a_short_job_writes_no_renewal(engine: Watched) -> None:
    """Given a job that ends within a third of its lease, then it costs a create, a claim, and two writes to settle."""
    engine.job("it")(sleeper(engine, 19))
    async with engine.working():
        before = engine.store.usage.writes
        job_id = await engine.submitted("it")
        await engine.clock.advance(19.5)
        assert (await engine.get(job_id)).status is JobStatus.COMPLETED
        assert engine.store.usage.writes - before == 4
    assert engine.renewals() == []


async def test_a_plain_job_costs_four_writes_and_no_deletes(engine: Watched) -> None:
    engine.job("it")(lambda: 1)
    for _ in range(20):
        await engine.submitted("it")
    await engine.drain()
    assert (engine.store.usage.writes, engine.store.usage.deletes) == (80, 0)


async def test_a_hundred_jobs_are_watched_over_at_once(engine: Watched) -> None:
    engine.job("it")(sleeper(engine, 50))
    for _ in range(100):
        await engine.submitted("it")
    async with engine.working(concurrency=100):
        await engine.clock.advance(51)
    assert await engine.manager.count_jobs(status="completed") == 100
    assert len(engine.renewals()) == 200


# --- what rides on renewals --------------------------------------------------------------------------


async def test_many_reports_make_one_write(engine: Watched) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        for number in range(1000):
            await ctx.report_progress(number + 1, 1000, f"at {number}")
            await ctx.log(f"line {number}")
            await ctx.save_checkpoint(number)
            await engine.clock.sleep(0.001)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(2)
    job = await engine.get(job_id)
    assert (job.progress.current, job.progress.percentage, job.checkpoint, job.log_length) == (1000, 100.0, 999, 1000)
    assert len(engine.written("progress")) == 1
    assert (await engine.records())["logs"] == 1
    assert await engine.log(job_id) == [f"line {number}" for number in range(1000)]


async def test_what_waits_is_written_after_the_flush_interval(engine: Watched) -> None:
    """Given a report and then silence, when the flush interval is over, then the report is stored, once."""

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(1)
        await ctx.report_progress(1, 10, "begun")
        await engine.clock.sleep(100)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(4.9)
        assert (await engine.get(job_id)).progress.message == ""
        await engine.clock.advance(0.2)
        assert (await engine.get(job_id)).progress.message == "begun"
        await engine.clock.advance(97)
    assert len(engine.written("progress")) == 1


async def test_a_steady_reporter_is_written_once_an_interval(engine: Watched) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        for number in range(600):
            await engine.clock.sleep(0.1)
            await ctx.report_progress(number + 1, 600)

    await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(61)
    # Every five seconds of sixty, and once with the settle.
    assert 11 <= len(engine.written("progress")) <= 13


async def test_a_flush_is_also_a_renewal(engine: Watched) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(15)
        await ctx.report_progress(1)
        await ctx.flush()
        await engine.clock.sleep(15)

    await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(31)
    assert engine.renewals() == [15]


# --- time limits -------------------------------------------------------------------------------------


async def test_a_timeout_is_retried_and_then_fails(engine: Watched) -> None:
    engine.job("it", timeout_seconds=30, max_retries=1, retry_delay_seconds=100, retry_backoff="fixed")(
        sleeper(engine, 1000)
    )
    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(29.9)
        assert (await engine.get(job_id)).status is JobStatus.RUNNING
        await engine.clock.advance(0.2)
        job = await engine.get(job_id)
        assert (job.status, job.error and job.error.code, job.retries_used) == (JobStatus.QUEUED, "TIMEOUT", 1)
        await engine.clock.advance(200)
    job = await engine.get(job_id)
    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "TIMEOUT", 2)
    assert "longer than its timeout of 30 s" in job.error.message
    assert [run.duration_seconds for run in await engine.runs(job_id)] == [30.0, 30.0]


async def test_a_handler_that_tidies_up_after_its_timeout_may(engine: Watched) -> None:
    tidied: list[float] = []

    @engine.job("it", timeout_seconds=30, max_retries=0)
    async def handler(ctx: JobContext) -> None:
        try:
            await engine.clock.sleep(1000)
        finally:
            await engine.clock.sleep(0.5)
            tidied.append(engine.clock.monotonic())

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(32)
    assert len(tidied) == 1
    assert (await engine.get(job_id)).status is JobStatus.FAILED


async def test_the_duration_limit_is_over_all_attempts(engine: Watched) -> None:
    """Given a limit of 50 s and attempts of 20 s, when the third begins, then it is stopped after its first 10 s."""

    @engine.job("it", max_duration=50, max_retries=9, retry_delay_seconds=60, retry_backoff="fixed")
    async def handler(ctx: JobContext) -> None:
        for _ in range(20):
            await engine.clock.sleep(1)
            if ctx.is_cancelled:
                return
        raise ValueError("again")

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(200)
    job = await engine.get(job_id)
    assert (job.status, job.attempt, job.retries_used) == (JobStatus.CANCELLED, 3, 2)
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("CANCELLED", "Duration limit reached")
    assert "Duration limit reached" in await engine.log(job_id)
    first, second, third = [run.duration_seconds for run in await engine.runs(job_id)]
    assert (first, second) == (20, 20)
    assert 10 <= third <= 11
    assert 50 <= job.run_seconds <= 51


async def test_a_duration_is_measured_and_not_read_off_the_time_of_day(engine: Watched) -> None:
    now = engine.clock.now
    set_forward = timedelta(0)
    engine.clock.now = lambda: now() + set_forward  # type: ignore[method-assign]  # a machine whose clock is set

    @engine.job("it", max_duration=50)
    async def handler(ctx: JobContext) -> None:
        nonlocal set_forward
        await engine.clock.sleep(10)
        set_forward = timedelta(hours=1)
        if ctx.attempt == 1:
            raise ContinueLater(0)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(30)
    job = await engine.get(job_id)
    assert (job.status, job.attempt, job.run_seconds) == (JobStatus.COMPLETED, 2, 20)


async def test_a_handler_that_does_not_look_is_cut_off_after_the_grace(engine: Watched) -> None:
    engine.job("it", max_duration="30s")(sleeper(engine, 1000))
    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(39.9)
        assert (await engine.get(job_id)).status is JobStatus.RUNNING
        await engine.clock.advance(0.2)
        assert (await engine.get(job_id)).status is JobStatus.CANCELLED
    assert await engine.log(job_id) == ["Duration limit reached"]


@pytest.mark.parametrize(
    ("options", "deadline", "expected"),
    [
        ({}, None, float("inf")),
        ({"timeout_seconds": 30}, None, 20.0),
        ({"max_duration": 40}, None, 30.0),
        ({"timeout_seconds": 30, "max_duration": 40}, None, 20.0),
        ({"timeout_seconds": 30}, 15, 5.0),
        ({}, 15, 5.0),
    ],
)
async def test_a_handler_knows_what_remains(
    engine: Watched, options: dict[str, Any], deadline: float | None, expected: float
) -> None:
    remaining: list[float] = []

    @engine.job("it", **options)
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(10)
        remaining.append(ctx.remaining)

    await engine.submitted("it")
    from app.jobs import Worker

    task = asyncio.ensure_future(Worker(engine.runtime).run(drain=True, max_seconds=deadline))
    await engine.clock.advance(30)
    await task
    assert remaining == [pytest.approx(expected)]


# --- cancels -----------------------------------------------------------------------------------------


async def test_a_cancel_reaches_its_handler_with_the_next_renewal(engine: Watched) -> None:
    seen: list[float] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        while not ctx.is_cancelled:
            await engine.clock.sleep(0.5)
        seen.append(engine.clock.monotonic() - 5000)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(5)
        asked = await engine.manager.cancel_job(job_id, "no longer wanted")
        assert (asked.status, asked.control_action) == (JobStatus.RUNNING, "cancel")
        await engine.clock.advance(14.9)
        assert seen == []
        await engine.clock.advance(1)
    assert seen == [pytest.approx(20, abs=0.6)]
    job = await engine.get(job_id)
    assert (job.status, job.error and job.error.message) == (JobStatus.CANCELLED, "no longer wanted")
    assert [run.outcome for run in await engine.runs(job_id)] == [Outcome.CANCELLED]


async def test_a_cancel_is_seen_at_once_by_whoever_writes(engine: Watched) -> None:
    """Given a cancel that was written, when the handler flushes, then it knows; nothing was polled for it."""
    seen: list[bool] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.manager.cancel_job(ctx.job_id, "by itself")
        seen.append(ctx.is_cancelled)
        await ctx.flush()
        seen.append(ctx.is_cancelled)

    job_id = await engine.submitted("it")
    await engine.drain()
    assert seen == [False, True]
    assert (await engine.get(job_id)).status is JobStatus.CANCELLED


async def test_a_handler_that_ignores_a_cancel_is_cut_off_after_the_grace(engine: Watched) -> None:
    engine.job("it")(sleeper(engine, 1000))
    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(5)
        await engine.manager.cancel_job(job_id)
        await engine.clock.advance(24.9)
        assert (await engine.get(job_id)).status is JobStatus.RUNNING
        await engine.clock.advance(0.2)
        assert (await engine.get(job_id)).status is JobStatus.CANCELLED


async def test_a_running_job_that_nobody_cancels_costs_no_reads(engine: Watched) -> None:
    engine.job("it")(sleeper(engine, 300))
    await engine.submitted("it")
    async with engine.working(concurrency=1):
        await engine.clock.advance(1)
        before = engine.store.usage.reads
        await engine.clock.advance(290)
        assert engine.store.usage.reads == before


@pytest.mark.parametrize("waits", [True, False], ids=["checkpoint later", "checkpoint never"])
async def test_a_pause_is_obeyed_at_the_next_checkpoint(engine: Watched, waits: bool) -> None:
    seen: list[Any] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        seen.append(ctx.checkpoint)
        for number in range(ctx.checkpoint or 0, 60):
            await engine.clock.sleep(1)
            if waits:
                await ctx.save_checkpoint(number + 1)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(5.5)
        await engine.manager.pause_job(job_id)
        await engine.clock.advance(70)
        job = await engine.get(job_id)
        if not waits:
            assert job.status is JobStatus.COMPLETED
            return
        # Seen with the flush at 10 s; whether the checkpoint of that second comes before or after it is open.
        assert (job.status, job.retries_used) == (JobStatus.PAUSED, 0)
        assert job.checkpoint in (10, 11)
        paused_at = job.checkpoint
        await engine.manager.resume_job(job_id)
        await engine.clock.advance(70)
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED
    assert seen == [None, paused_at]
    assert [run.outcome for run in await engine.runs(job_id)] == [Outcome.PAUSED, Outcome.COMPLETED]


# --- handlers that will not stop ---------------------------------------------------------------------


class Stubborn:
    """A sync handler that a test lets go when it likes."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        self.begun = 0
        self.release = threading.Event()
        self.wake = asyncio.Event()
        loop = asyncio.get_running_loop()

        @engine.job("stubborn", **options)
        def handler(ctx: BlockingJobContext) -> None:
            self.begun += 1
            loop.call_soon_threadsafe(self.wake.set)
            assert self.release.wait(30)

    async def started(self) -> None:
        await self.wake.wait()
        self.wake.clear()


async def test_a_sync_handler_that_ignores_a_cancel_is_abandoned(engine: Watched) -> None:
    """Given a thread that will not stop, then its lease is shortened to 15 s and its slot is lost until it ends."""
    stubborn = Stubborn(engine)
    job_id = await engine.submitted("stubborn")
    async with engine.working(concurrency=2) as worker:
        await stubborn.started()
        await engine.manager.cancel_job(job_id, "stop it")
        # Seen with the renewal at 20 s, cut off 10 s later, and given up after a moment for its last words.
        await engine.clock.advance(20 + 10 + CUT_SECONDS - 0.1)
        assert worker.executor.leaked == 0
        await engine.clock.advance(0.2)
        job = await engine.get(job_id)
        assert (worker.executor.leaked, job.status, worker.is_ready) == (1, JobStatus.RUNNING, True)
        assert job.lease_expires_at is not None
        assert (job.lease_expires_at - engine.clock.now()).total_seconds() == pytest.approx(15, abs=0.2)
        assert (await engine.manager.run_watchdog()).recovered == 0
        await engine.clock.advance(16)
        assert (await engine.manager.run_watchdog()).recovered == 1
        job = await engine.get(job_id)
        assert (job.status, job.error and job.error.message) == (JobStatus.CANCELLED, "stop it")
        assert (job.retries_used, job.lease_losses) == (0, 0)
        stubborn.release.set()
        await until(lambda: worker.executor.leaked == 0)
    (run,) = await engine.runs(job_id)
    assert run.counted is False


async def test_a_sync_handler_over_its_timeout_counts_as_a_retry(engine: Watched) -> None:
    stubborn = Stubborn(engine, timeout_seconds=30, max_retries=0)
    job_id = await engine.submitted("stubborn")
    async with engine.working(concurrency=1):
        await stubborn.started()
        await engine.clock.advance(30 + CUT_SECONDS + 16)
        assert (await engine.manager.run_watchdog()).recovered == 1
        job = await engine.get(job_id)
        assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "TIMEOUT")
        assert (job.retries_used, job.lease_losses) == (1, 0)
        stubborn.release.set()
    (run,) = await engine.runs(job_id)
    assert (run.outcome, run.status, run.counted) == (Outcome.FAILED, JobStatus.FAILED, True)


async def test_a_sync_handler_over_its_duration_limit_is_not_run_for_ever(engine: Watched) -> None:
    """Given a thread that will not stop at its duration limit, when its lease runs out, then the job is CANCELLED."""
    stubborn = Stubborn(engine, max_duration=30)
    job_id = await engine.submitted("stubborn")
    async with engine.working(concurrency=3):
        await stubborn.started()
        await engine.clock.advance(30 + 10 + CUT_SECONDS + 16)
        await engine.manager.run_watchdog()
        await engine.clock.advance(10)
        job = await engine.get(job_id)
        assert (job.status, job.error and job.error.message) == (JobStatus.CANCELLED, "Duration limit reached")
        stubborn.release.set()
    assert stubborn.begun == 1


async def test_a_handler_that_was_given_up_can_write_nothing_more(engine: Watched) -> None:
    """Given a thread that was abandoned, when it goes on recording, then its lease runs out all the same."""
    go_on, refused = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @engine.job("it", timeout_seconds=30)
    def handler(ctx: BlockingJobContext) -> None:
        assert go_on.wait(30)
        for verb in (
            ctx.flush,
            lambda: ctx.log("still here"),
            lambda: ctx.report_progress(1),
            lambda: ctx.save_result(1),
        ):
            with pytest.raises(LeaseLost, match="would not stop"):
                verb()
        loop.call_soon_threadsafe(refused.set)

    job_id = await engine.submitted("it")
    async with engine.working(concurrency=2):
        await engine.clock.advance(30 + CUT_SECONDS + 0.1)
        shortened = (await engine.get(job_id)).lease_expires_at
        go_on.set()
        await refused.wait()
        assert (await engine.get(job_id)).lease_expires_at == shortened


async def test_a_worker_whose_slots_have_all_leaked_is_unready_and_ends(engine: Watched) -> None:
    stubborn = Stubborn(engine, timeout_seconds=30)
    for _ in range(2):
        await engine.submitted("stubborn")
    from app.jobs import Worker

    worker = Worker(engine.runtime, concurrency=2)
    task = asyncio.ensure_future(worker.run())
    await until(lambda: stubborn.begun == 2)
    await engine.clock.advance(30 + CUT_SECONDS + 0.1)
    assert (worker.executor.leaked, worker.is_ready) == (2, False)
    await engine.clock.advance(engine.runtime.options.shutdown_seconds + 5)
    report = await task
    assert (report.claimed, report.settled) == (2, 0)
    stubborn.release.set()


async def test_an_async_handler_that_swallows_its_cancellation_is_abandoned_too(engine: Watched) -> None:
    release = asyncio.Event()

    @engine.job("it", timeout_seconds=30)
    async def handler(ctx: JobContext) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    job_id = await engine.submitted("it")
    async with engine.working(concurrency=2) as worker:
        await engine.clock.advance(30 + CUT_SECONDS + 0.1)
        assert worker.executor.leaked == 1
        release.set()
        await engine.clock.advance(0)
        assert worker.executor.leaked == 0
        assert (await engine.get(job_id)).status is JobStatus.RUNNING
        await engine.clock.advance(16)
        await engine.manager.run_watchdog()
        await engine.clock.advance(1)
        job = await engine.get(job_id)
        assert (job.status, job.attempt, job.retries_used) == (JobStatus.COMPLETED, 2, 1)


# --- leases that end ---------------------------------------------------------------------------------


async def test_a_holder_whose_lease_ran_out_is_stopped_and_changes_nothing(engine: Watched) -> None:
    """Given a process that was stopped for longer than its lease, when it goes on, then its handler is cut off."""
    ended: list[str] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        try:
            await engine.clock.sleep(1000)
        except asyncio.CancelledError:
            ended.append("cut off")
            raise

    job_id = await engine.submitted("it")
    async with engine.working(concurrency=1) as worker:
        await engine.clock.advance(10)
        engine.clock.jump(61)
        await engine.manager.run_watchdog()
        await engine.clock.advance(1)
        assert (ended, worker.report.lost) == (["cut off"], 1)
        job = await engine.get(job_id)
        assert (job.lease_losses, job.attempt) == (1, 2), "the same worker took it again"
    runs = await engine.runs(job_id)
    assert [(run.attempt, run.outcome) for run in runs[:1]] == [(1, Outcome.LEASE_LOST)]


async def test_a_lost_lease_goes_before_every_other_reason_to_stop(engine: Watched) -> None:
    """Given a handler in its time of grace after a cancel, when its lease is lost, then it is cut off at once."""
    cut_at: list[float] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.manager.cancel_job(ctx.job_id)
        await ctx.flush()
        try:
            await engine.clock.sleep(1000)
        finally:
            cut_at.append(engine.clock.monotonic())

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(1)
        engine.clock.jump(61)
        await engine.manager.run_watchdog()
        begun = engine.clock.monotonic()
        await engine.clock.advance(0.1)
        assert cut_at == [pytest.approx(begun, abs=0.1)]
    job = await engine.get(job_id)
    assert (job.status, job.attempt) == (JobStatus.CANCELLED, 1)
