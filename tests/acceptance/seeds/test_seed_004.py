"""Seed 004 has no code, but diagrams of calls: they run in the order that is drawn, under the names that it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name

import pytest

from app import jobs
from app.jobs import (
    JobContext,
    JobQueue,
    JobStatus,
    LeaseLost,
    NoEngine,
    Outcome,
    Repair,
    RepairableError,
    cleanup_expired_locks,
    cleanup_idempotency_records,
    clear_current_job_context,
    complete_job,
    create_job,
    execute_with_repair_loop,
    fail_job,
    get_current_job_context,
    get_daily_summary,
    get_run_history,
    lease_job,
    poll_job,
    recover_stuck_jobs,
    retry_job,
    set_current_job_context,
)
from app.jobs.context import StopFlag
from tests.support.clock import settle
from tests.support.engine import Engine

ELSEWHERE = {
    "execute": "app.jobs:JobExecutor.execute",
    "heuristic_score_exercise": "app.catalog.reviewer.quality_scanner:heuristic_score_exercise",
}
"""Functions of seed 004 that are not functions of `app.jobs`."""
CLASSES = {"Job", "JobContext", "JobType", "JobQueue", "JobStatus", "AttemptLog"}
NOT_SHIPPED = {"JobPayload"}
"""Settled otherwise: each job type has a payload model of its own."""


def test_every_function_and_class_that_the_seed_names_is_there(seeds: dict[str, Path]) -> None:
    text = seeds["004"].read_text(encoding="utf-8")
    called = set(re.findall(r"\b([a-z_]+)\(", text)) | set(re.findall(r"`([a-z]+_job)`", text))
    for name in called:
        assert callable(resolve_name(ELSEWHERE.get(name, f"app.jobs:{name}"))), name
    assert called >= {"poll_job", "create_job", "cleanup_expired_locks", "cleanup_idempotency_records"}
    named = set(re.findall(r"`(Job[A-Za-z]*|AttemptLog)`", text))
    assert named == CLASSES | NOT_SHIPPED
    assert all(hasattr(jobs, name) for name in CLASSES)
    assert not any(hasattr(jobs, name) for name in NOT_SHIPPED)


def test_shell_agents_find_the_same_context() -> None:
    for name in ("JobContext", "set_current_job_context", "get_current_job_context", "clear_current_job_context"):
        assert resolve_name(f"app.shell.context:{name}") is resolve_name(f"app.jobs.context:{name}")


# --- poll, lease, context, execute, settle ---


def curate(engine: Engine) -> None:
    """Register a type of each queue."""

    @engine.job("exercise_add", queue="priority")
    async def exercise_add(slug: str) -> None:
        return None

    @engine.job("maintenance_scan", queue="maintenance")
    async def maintenance_scan() -> None:
        return None


async def test_jobs_are_polled_priority_queue_first_leased_and_settled(engine: Engine) -> None:
    curate(engine)
    async with engine.manager:
        scan = await create_job("maintenance_scan", priority="critical")
        add = await create_job("exercise_add", {"slug": "bench-press"}, priority="low")
        polled = await poll_job()
        assert polled is not None
        assert (polled.id, polled.queue) == (add.id, JobQueue.PRIORITY)
        assert polled.status is JobStatus.QUEUED, "polling takes nothing"

        lease = await lease_job(polled, "catalog-worker")
        assert lease is not None
        assert await lease_job(polled, "another-worker") is None
        held = await engine.get(add.id)
        assert (held.status, held.worker_id) == (JobStatus.RUNNING, "catalog-worker")
        assert held.lease_expires_at is not None
        assert (held.lease_expires_at - engine.clock.now()).total_seconds() == engine.runtime.options.lease_seconds

        assert get_current_job_context() is None
        set_current_job_context(JobContext(lease, StopFlag()))
        context = get_current_job_context()
        assert context is not None
        assert (context.job_id, context.payload) == (add.id, {"slug": "bench-press"})
        done = await complete_job(lease, {"added": 1})
        clear_current_job_context()
        assert get_current_job_context() is None
        assert (done.status, done.result.data if done.result else None) == (JobStatus.COMPLETED, {"added": 1})

        polled = await poll_job()
        assert polled is not None
        assert polled.id == scan.id, "maintenance is polled when the priority queue is empty"
        lease = await lease_job(polled)
        assert lease is not None
        engine.clock.jump(1)
        failed = await fail_job(lease, ValueError("no family"))
        assert (failed.status, failed.error.message if failed.error else None) == (JobStatus.FAILED, "no family")
        assert await poll_job() is None

        history = await get_run_history()
        assert [(run.job_id, run.outcome) for run in history] == [
            (scan.id, Outcome.FAILED),
            (add.id, Outcome.COMPLETED),
        ]
        summary = await get_daily_summary()
        assert summary.by_outcome == {"completed": 1, "failed": 1}


async def test_a_retried_job_is_polled_again_when_its_delay_is_over(engine: Engine) -> None:
    curate(engine)
    async with engine.manager:
        job = await create_job("maintenance_scan")
        lease = await lease_job(job)
        assert lease is not None
        waiting = await retry_job(lease, "the model did not answer", after_seconds=30)
        assert (waiting.status, waiting.retries_used) == (JobStatus.QUEUED, 1)
        assert await lease_job(waiting) is None
        engine.clock.jump(30)
        assert await lease_job(waiting) is not None


async def test_the_watchdog_requeues_what_a_crashed_worker_held(engine: Engine) -> None:
    curate(engine)
    async with engine.manager:
        job = await create_job("maintenance_scan")
        lease = await lease_job(job)
        assert lease is not None
        assert await recover_stuck_jobs() == 0
        engine.clock.jump(engine.runtime.options.lease_seconds + 1)
        assert await recover_stuck_jobs() == 1
        recovered = await engine.get(job.id)
        assert (recovered.status, recovered.lease_losses) == (JobStatus.QUEUED, 1)
        assert len(recovered.metadata["recovery_history"]) == 1
        with pytest.raises(LeaseLost):
            await complete_job(lease, "too late")


async def test_the_watchdog_cleans_up_what_nobody_holds_any_more(engine: Engine) -> None:
    curate(engine)
    async with engine.manager:
        job = await engine.manager.submit("maintenance_scan", unique="while_active")
        lease = await lease_job(job)
        assert lease is not None
        assert await engine.runtime.limits.locks.take(lease, "catalog") is not None
        assert (await cleanup_expired_locks(), await cleanup_idempotency_records()) == (0, 0)
        engine.clock.jump(engine.runtime.options.lease_seconds * 3)
        assert await recover_stuck_jobs() == 1
        await engine.manager.cancel_job(job.id)
        engine.clock.jump(86400)
        assert (await cleanup_expired_locks(), await cleanup_idempotency_records()) == (1, 1)
        assert (await cleanup_expired_locks(), await cleanup_idempotency_records()) == (0, 0)


async def test_functions_say_that_no_engine_is_bound() -> None:
    for call in (
        create_job("custom"),
        poll_job(),
        recover_stuck_jobs(),
        cleanup_expired_locks(),
        cleanup_idempotency_records(),
        get_run_history(),
        get_daily_summary(),
    ):
        with pytest.raises(NoEngine, match="use_engine"):
            await call


# --- the repair loop ---


@dataclass
class Mender:
    """Proposes a plan that is a little better each time."""

    asked: list[int] = field(default_factory=list)

    async def repair(self, work: int | None, error: RepairableError, repairs_left: int) -> Repair[int]:
        self.asked.append(repairs_left)
        return Repair(can_repair=True, analysis=f"plan {work or 0} lacks something", work=(work or 0) + 1)


@pytest.mark.parametrize(("good_enough", "status"), [(3, JobStatus.COMPLETED), (4, JobStatus.NEEDS_REVIEW)])
async def test_the_repair_loop_repairs_three_times_and_then_asks_a_person(
    engine: Engine, good_enough: int, status: JobStatus
) -> None:
    mender = Mender()

    @engine.job("family_normalize")
    async def normalize(context: JobContext) -> int:
        async def execute(work: int | None) -> int:
            if (work or 0) < good_enough:
                raise RepairableError("the plan is not valid", work)
            return work or 0

        return await execute_with_repair_loop(execute, mender)

    async with engine.manager:
        job = await create_job("family_normalize")
        await engine.drain()
        await settle()
        ended = await engine.get(job.id)
    assert ended.status is status
    assert mender.asked == [3, 2, 1]
    if status is JobStatus.COMPLETED:
        assert ended.result is not None
        assert ended.result.data == 3
    else:
        assert ended.review["reason"] == "REPAIR_LOOP_EXHAUSTED"
