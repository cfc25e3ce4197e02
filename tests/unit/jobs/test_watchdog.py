"""The watchdog: heals what crashed, in bounded pages, twice at once if need be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import EngineOptions, JobContext, JobStatus, Outcome, Watchdog, WatchdogReport
from app.jobs.watchdog import PAGE
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.clock import settle
from tests.support.engine import Engine
from tests.unit.jobs.test_codec import Scrambled

P, Q, R, C, F, X, N = (
    JobStatus.PENDING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
    JobStatus.NEEDS_REVIEW,
)
OPTIONS = EngineOptions(keep_jobs=timedelta(days=30), keep_runs=timedelta(days=90))


async def crashed(engine: Engine, number: int = 1, **options: Any) -> list[str]:
    """Jobs whose holder took them and was never heard of again."""
    engine.job("crash", **options)(lambda: None)
    ids = [await engine.submitted("crash") for _ in range(number)]
    while len((await engine.runtime.queue.claim("gone", ["default"], 20))[0]) == 20:
        pass
    return ids


async def statuses(engine: Engine, ids: Sequence[str]) -> list[JobStatus]:
    return [(await engine.get(job_id)).status for job_id in ids]


# --- stuck jobs --------------------------------------------------------------------------------------


async def test_a_lease_is_taken_back_when_it_has_run_out_and_not_before(engine: Engine) -> None:
    (job_id,) = await crashed(engine)
    engine.clock.jump(59.9)
    assert (await engine.manager.run_watchdog()).recovered == 0
    assert await statuses(engine, [job_id]) == [R]
    engine.clock.jump(0.2)
    assert (await engine.manager.run_watchdog()).recovered == 1
    job = await engine.get(job_id)
    assert (job.status, job.lease_losses, job.retries_used) == (Q, 1, 0)
    assert [note["what"] for note in job.metadata["recovery_history"]] == ["lease expired"]
    (run,) = await engine.runs(job_id)
    assert (run.outcome, run.counted, run.worker_id) == (Outcome.LEASE_LOST, True, "gone")


async def test_a_job_that_kills_its_workers_ends(engine: Engine) -> None:
    """Given a poison job, when its leases keep running out, then after four it FAILED with LEASE_EXPIRED."""
    engine.job("it")(lambda: None)
    job_id = await engine.submitted("it")
    for losses in range(1, 5):
        (lease,), _ = await engine.runtime.queue.claim("gone", ["default"], 20)
        assert lease.attempt == losses
        engine.clock.jump(61)
        await engine.manager.run_watchdog()
    job = await engine.get(job_id)
    assert (job.status, job.lease_losses, job.error and job.error.code) == (F, 4, "LEASE_EXPIRED")
    assert job.result is not None
    assert "4 leases expired without a word" in str(job.result.error)
    assert job.expire_at == engine.clock.now() + timedelta(days=30)
    assert len(await engine.runs(job_id)) == 4


async def test_a_job_that_must_not_run_twice_waits_for_a_person(engine: Engine) -> None:
    (job_id,) = await crashed(engine, idempotent=False)
    engine.clock.jump(61)
    await engine.manager.run_watchdog()
    assert await statuses(engine, [job_id]) == [N]
    assert (await engine.manager.review(job_id, "approve", by="ann")).status is Q


async def test_what_was_asked_of_the_vanished_holder_is_obeyed(engine: Engine) -> None:
    cancelled, paused = await crashed(engine, 2)
    await engine.manager.cancel_job(cancelled, "never mind")
    await engine.manager.pause_job(paused)
    engine.clock.jump(61)
    assert (await engine.manager.run_watchdog()).recovered == 2
    assert await statuses(engine, [cancelled, paused]) == [X, JobStatus.PAUSED]


async def test_a_round_takes_a_page_and_the_next_the_rest(engine: Engine) -> None:
    await crashed(engine, PAGE + 30)
    engine.clock.jump(61)
    assert [(await engine.manager.run_watchdog()).recovered for _ in range(3)] == [PAGE, 30, 0]
    assert await engine.manager.count_jobs(status="queued") == PAGE + 30


async def test_one_job_that_cannot_be_read_stops_nobody_else(engine: Engine) -> None:
    """Given a stuck job written under another key, then it is taken back like every other."""
    ids = await crashed(engine, 2)
    other = Engine(store=engine.store, text_codec=Scrambled(), clock=engine.clock)
    engine.clock.jump(61)
    assert (await other.manager.run_watchdog()).recovered == 2
    assert await statuses(engine, ids) == [Q, Q]


async def test_an_answer_that_was_lost_is_looked_up() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    await engine.store.open()
    ids = await crashed(engine, 3)
    engine.clock.jump(61)
    plan.lose(Operation.COMMIT_EACH, applied=True)
    await engine.manager.run_watchdog()
    await engine.manager.run_watchdog()
    assert await statuses(engine, ids) == [Q, Q, Q]
    assert [len(await engine.runs(job_id)) for job_id in ids] == [1, 1, 1]


# --- jobs not begun in time --------------------------------------------------------------------------


@pytest.mark.parametrize("started", [True, False], ids=["queued", "pending"])
async def test_a_job_not_begun_in_time_is_cancelled(engine: Engine, started: bool) -> None:
    engine.job("it")(lambda: None)
    until = engine.clock.now() + timedelta(seconds=30)
    job = await engine.manager.create_job("it", auto_start=started, start_before=until)
    delayed = await engine.manager.create_job("it", auto_start=True, start_before=until, delay=1000)
    engine.clock.jump(30)
    assert (await engine.manager.run_watchdog()).expired == 0
    engine.clock.jump(0.001)
    assert (await engine.manager.run_watchdog()).expired == 2
    for job_id in (job.id, delayed.id):
        ended = await engine.get(job_id)
        assert (ended.status, ended.error and ended.error.code) == (X, "EXPIRED")


async def test_a_lost_answer_keeps_no_other_job_from_being_ended() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    await engine.store.open()
    engine.job("it")(lambda: None)
    until = engine.clock.now() + timedelta(seconds=30)
    ids = [await engine.submitted("it", start_before=until) for _ in range(3)]
    engine.clock.jump(31)
    plan.lose(Operation.COMMIT_EACH, applied=False)

    assert [(await engine.manager.run_watchdog()).expired for _ in range(2)] == [2, 1]

    assert await statuses(engine, ids) == [X] * 3
    await engine.store.close()


async def test_a_job_that_has_begun_is_left_alone(engine: Engine) -> None:
    @engine.job("it", retry_delay_seconds=1000)
    async def handler(ctx: JobContext) -> None:
        raise ValueError("again")

    job_id = await engine.submitted("it", start_before=engine.clock.now() + timedelta(seconds=30))
    await engine.drain()
    engine.clock.jump(60)
    assert (await engine.manager.run_watchdog()).expired == 0
    assert await statuses(engine, [job_id]) == [Q]


# --- retention ---------------------------------------------------------------------------------------


@pytest.fixture
async def kept() -> Engine:
    """An engine that keeps jobs for 30 days and summaries for 90, with one job of each kind."""
    engine = Engine(options=OPTIONS)
    await engine.store.open()

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext, how: str) -> None:
        await ctx.log("a line")
        await ctx.save_result("x" * 300 * 1024)
        if how == "fail":
            raise ValueError(how)

    for how in ("complete", "fail"):
        await engine.submitted("it", {"how": how})
    await engine.drain()
    await engine.manager.cancel_job(await engine.submitted("it", {"how": "cancel"}))
    await engine.submitted("it", {"how": "waits"}, delay=86400 * 365)
    await engine.manager.create_job("it", {"how": "held"})
    return engine


async def test_ended_jobs_go_after_their_time_with_all_that_is_theirs(kept: Engine) -> None:
    kept.clock.jump(30 * 86400)
    assert (await kept.manager.run_watchdog()).deleted_jobs == 0
    kept.clock.jump(1)
    report = await kept.manager.run_watchdog()
    assert (report.deleted_jobs, report.deleted_runs) == (3, 0)
    records = await kept.records()
    assert (records["jobs"], records["logs"], records["results"], records["chunks"], records["runs"]) == (2, 0, 0, 0, 2)
    assert {job.payload["how"] for job in await kept.manager.list_jobs()} == {"waits", "held"}


async def test_summaries_outlive_their_jobs_and_go_after_their_own_time(kept: Engine) -> None:
    kept.clock.jump(90 * 86400 + 1)
    assert (await kept.manager.run_watchdog()).deleted_runs == 2
    assert (await kept.records())["runs"] == 0


async def test_kept_for_ever(kept: Engine) -> None:
    runtime = kept.runtime.with_options(replace(OPTIONS, keep_jobs=None, keep_runs=None))
    kept.clock.jump(10_000 * 86400)
    report = await Watchdog(runtime).run()
    assert (report.deleted_jobs, report.deleted_runs) == (0, 0)


async def test_a_job_with_much_of_its_own_is_deleted_in_pages(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        for number in range(1100):
            await ctx.save_result(number)

    await engine.submitted("it")
    await engine.drain()
    assert await engine.manager.cleanup_old_jobs(days=0) == 1
    left = {name: number for name, number in (await engine.records()).items() if number}
    assert left == {"runs": 1}


# --- roll-ups, and all of it -------------------------------------------------------------------------


async def test_closed_hours_are_rolled_up_once(engine: Engine) -> None:
    engine.job("it")(lambda: None)
    await engine.submitted("it")
    await engine.drain()
    engine.clock.jump(2 * 3600)
    first = await engine.manager.run_watchdog()
    assert first.rolled_up > 0
    assert (await engine.manager.run_watchdog()).rolled_up == 0
    assert (await engine.manager.get_daily_summary()).runs == 1


async def test_a_dry_run_tells_and_does_nothing(kept: Engine) -> None:
    await crashed(kept, 3)
    kept.job("late")(lambda: None)
    await kept.submitted("late", start_before=kept.clock.now() + timedelta(seconds=1))
    kept.clock.jump(90 * 86400 + 1)
    before = (await kept.records(), kept.store.usage.writes, kept.store.usage.deletes)
    told = await kept.manager.run_watchdog(dry_run=True)
    assert (await kept.records(), kept.store.usage.writes, kept.store.usage.deletes) == before
    assert {name: count for name, count in told.as_dict().items() if count} == {
        "recovered": 3,
        "expired": 1,
        "deleted_jobs": 3,
        "deleted_runs": 2,
        "rolled_up": told.rolled_up,
        "dry_run": True,
    }
    done = await kept.manager.run_watchdog()
    assert replace(told, dry_run=False) == done


async def test_two_at_once_do_everything_once(kept: Engine) -> None:
    """Given two watchdogs over the same store, when both run at once, then together they do what one would."""
    await crashed(kept, 30)
    kept.clock.jump(90 * 86400 + 1)
    reports = await asyncio.gather(*(kept.manager.run_watchdog() for _ in range(3)))
    assert sum(report.recovered for report in reports) == 30
    assert sum(report.deleted_jobs for report in reports) == 3
    assert await kept.manager.count_jobs(status="queued") == 31
    for job in await kept.manager.list_jobs(type="crash"):
        assert len(await kept.runs(job.id)) == 1


async def test_it_may_be_killed_anywhere_and_run_again(kept: Engine) -> None:
    """Given a round that is killed after each number of steps in turn, then the next one finishes the work."""
    await crashed(kept, 5)
    kept.clock.jump(90 * 86400 + 1)
    for steps in range(0, 60, 3):
        task = asyncio.ensure_future(kept.manager.run_watchdog())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settle()
    report = await kept.manager.run_watchdog()
    assert report == WatchdogReport(rolled_up=report.rolled_up)
    assert await kept.manager.count_jobs(status="running") == 0
    assert (await kept.records())["jobs"] == 2 + 5
    assert (await kept.records())["runs"] == 5


async def test_an_idle_round_costs_little(engine: Engine) -> None:
    await engine.manager.run_watchdog()
    before = replace(engine.store.usage)
    await engine.manager.run_watchdog()
    after = engine.store.usage
    assert (after.writes - before.writes, after.deletes - before.deletes) == (0, 0)
    assert after.reads - before.reads <= 45


async def test_jobs_that_have_begun_do_not_hide_one_that_has_not(engine: Engine) -> None:
    """Given more begun jobs past their time than fit a page, then one behind them that never began is cancelled."""

    @engine.job("it", retry_delay_seconds=80_000)
    async def handler(ctx: JobContext) -> None:
        raise ValueError("again")

    until = engine.clock.now() + timedelta(seconds=10)
    for _ in range(PAGE + 20):
        await engine.submitted("it", start_before=until)
    await engine.drain(concurrency=100)
    job_id = await engine.submitted("it", delay=50_000, start_before=until + timedelta(seconds=1))
    engine.clock.jump(100)
    assert (await engine.manager.run_watchdog()).expired == 1
    assert await statuses(engine, [job_id]) == [X]


async def test_a_job_in_chunks_is_left_to_the_watchdog_when_it_fails_by_lost_leases(engine: Engine) -> None:
    """Given a payload in chunks, then no store may delete the job by itself: it would leave the chunks behind."""
    engine.job("it")(lambda **payload: None)
    job = await engine.manager.submit("it", {"a": "x" * 300 * 1024})
    for _ in range(4):
        await engine.runtime.queue.claim("gone", ["default"], 1)
        engine.clock.jump(61)
        await engine.manager.run_watchdog()
    ended = await engine.get(job.id)
    assert (ended.status, ended.expire_at) == (F, None)
    assert ended.chunks.keys() == {"payload"}
