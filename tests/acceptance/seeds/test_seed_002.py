"""Seed 002: the context of a running module, and the scheduler that starts, resumes and stops runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
from typing import Any

import pytest

from app.jobs import BadInput, IllegalTransition, JobContext, JobNotFound, JobScheduler, JobStatus, LogEntry, Worker
from tests.acceptance.seeds.sample import stored_samples
from tests.support.clock import settle
from tests.support.engine import Engine

SIGNATURES = {name: source for name, source in stored_samples().items() if name.startswith("002_")}
"""This document's samples show signatures, without bodies."""


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_the_document_declares_is_there_as_it_is_declared(name: str) -> None:
    (declared,) = ast.parse(SIGNATURES[name].rstrip() + ": ...").body
    assert isinstance(declared, ast.FunctionDef | ast.AsyncFunctionDef)
    owner = JobContext if "_context_" in name else JobScheduler
    found = inspect.getattr_static(owner, declared.name)
    assert isinstance(found, property) is bool(declared.decorator_list)
    function: Any = found.fget if isinstance(found, property) else found
    assert inspect.iscoroutinefunction(function) is isinstance(declared, ast.AsyncFunctionDef)
    written = declared.args
    required = len(written.args) - len(written.defaults)
    defaults = [inspect.Parameter.empty] * required + [ast.literal_eval(each) for each in written.defaults]
    arguments = [(each.name, each.default) for each in inspect.signature(function).parameters.values()]
    assert arguments == list(zip([each.arg for each in written.args], defaults, strict=True))


@pytest.fixture
async def scheduler(engine: Engine) -> JobScheduler:
    """A scheduler of modules that note what they are given."""
    await engine.store.open()

    @engine.job("crawl")
    async def crawl(ctx: JobContext, pages: int = 3) -> int:
        done = ctx.checkpoint["done"] if ctx.checkpoint else 0
        while done < pages and not ctx.is_cancelled:
            done += 1
            await ctx.log(f"page {done} of {pages} for {ctx.settings.get('user')}")
            await ctx.save_result({"page": done})
            await ctx.save_checkpoint({"done": done})
            await engine.clock.sleep(60)
        return done

    @engine.job("break", max_retries=0)
    async def fall_over(ctx: JobContext) -> None:
        raise ValueError("no such page")

    return JobScheduler(engine.manager)


async def test_a_run_is_started_followed_and_completed(engine: Engine, scheduler: JobScheduler) -> None:
    job_id = await scheduler.start_job("crawl", {"pages": 3}, settings={"user": "ann"})
    assert isinstance(job_id, str)
    queue = scheduler.subscribe_logs(job_id)
    other = scheduler.subscribe_logs(job_id)
    assert isinstance(queue, asyncio.Queue)
    async with engine.working():
        await engine.clock.advance(90)
        status = await scheduler.get_status()
        assert (status["running_jobs"], status["jobs"]["running"]) == (1, 1)
        assert (status["module_count"], status["uptime"], scheduler.uptime) == (
            len(engine.registry),
            "1m 30s",
            "1m 30s",
        )
        first = queue.get_nowait()
        assert first is not None
        assert (first.number, first.message, first.level) == (1, "page 1 of 3 for ann", "INFO")
        scheduler.unsubscribe_logs(job_id, other)
        waiting = other.qsize()
        await engine.clock.advance(200)
    assert [entry and entry.number for entry in drained(queue)] == [2, 3, None]
    assert other.qsize() == waiting
    scheduler.unsubscribe_logs(job_id, queue)
    assert (await scheduler.get_job(job_id))["status"] == "completed"
    results = await engine.manager.get_job_results(job_id)
    assert results is not None
    assert (results.result, results.saved) == (3, [{"page": 1}, {"page": 2}, {"page": 3}])


def drained(queue: asyncio.Queue[LogEntry | None]) -> list[Any]:
    """What is in a queue."""
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_a_running_job_is_stopped_and_resumed_from_its_last_checkpoint(
    engine: Engine, scheduler: JobScheduler
) -> None:
    job_id = await scheduler.start_job("crawl", {"pages": 4}, checkpoint={"done": 1})
    async with engine.working():
        await engine.clock.advance(70)
        assert await scheduler.stop_job(job_id)
        await engine.clock.advance(100)
        assert (await scheduler.get_job(job_id))["status"] == "stopped"
        assert [job["id"] for job in await scheduler.list_jobs("stopped")] == [job_id]
        assert (await scheduler.get_status())["jobs"]["stopped"] == 1
        assert (await engine.get(job_id)).checkpoint == {"done": 3}

        await scheduler.resume_job(job_id, "crawl", {"pages": 5}, {"user": "bob"}, None)
        await engine.clock.advance(200)
    assert (await scheduler.get_job(job_id))["status"] == "completed"
    assert (await engine.log(job_id))[-2:] == ["page 4 of 5 for bob", "page 5 of 5 for bob"]


async def test_a_job_is_resumed_with_the_checkpoint_and_the_limit_that_are_given(
    engine: Engine, scheduler: JobScheduler
) -> None:
    job_id = await scheduler.start_job("crawl", {"pages": 9})
    assert await scheduler.stop_job(job_id), "it had not begun"
    await scheduler.resume_job(job_id, "crawl", {"pages": 9}, {}, {"done": 7}, max_duration="90s")
    job = await engine.get(job_id)
    assert (job.status, job.checkpoint, job.max_duration_seconds) == (JobStatus.QUEUED, {"done": 7}, 90.0)
    async with engine.working():
        await engine.clock.advance(200)
    assert (await engine.log(job_id))[:2] == ["page 8 of 9 for None", "page 9 of 9 for None"]


async def test_what_cannot_be_resumed_or_stopped(engine: Engine, scheduler: JobScheduler) -> None:
    job_id = await scheduler.start_job("crawl", {"pages": 1})
    with pytest.raises(IllegalTransition):
        await scheduler.resume_job(job_id, "crawl", {"pages": 1}, {}, None)
    with pytest.raises(BadInput, match="module_id"):
        await scheduler.resume_job(job_id, "break", {}, {}, None)
    with pytest.raises(JobNotFound):
        await scheduler.resume_job("nobody", "crawl", {}, {}, None)
    with pytest.raises(BadInput, match="max_duration"):
        await scheduler.start_job("crawl", {}, max_duration="soon")
    async with engine.working():
        await engine.clock.advance(100)
    assert not await scheduler.stop_job(job_id), "it had completed"
    assert not await scheduler.stop_job("nobody")
    assert (await scheduler.get_job(job_id))["status"] == "completed"


async def test_the_duration_watchdog(engine: Engine, scheduler: JobScheduler) -> None:
    job_id = await scheduler.start_job("crawl", {"pages": 1000}, max_duration="1h")
    async with engine.working():
        await engine.clock.advance(3700)
        assert "Duration limit reached" in await engine.log(job_id)
        assert (await scheduler.get_job(job_id))["status"] == "stopped"


async def test_the_lifecycle_in_the_documents_words(engine: Engine, scheduler: JobScheduler) -> None:
    held = await engine.manager.create_job("crawl")
    assert (await scheduler.get_job(held.id))["status"] == "pending"
    failed = await scheduler.start_job("break", {})
    await engine.drain()
    assert (await scheduler.get_job(failed))["status"] == "failed"


async def test_interrupted_jobs_go_on_after_a_restart(engine: Engine, scheduler: JobScheduler) -> None:
    job_id = await scheduler.start_job("crawl", {"pages": 2})
    async with engine.working() as worker:
        await settle()
        (attempt,) = worker.executor._attempts.values()
        assert isinstance(worker, Worker)
        assert attempt.holder.job.id == job_id
        # As a daemon that was killed: nothing is given back.
        assert await scheduler.resume_interrupted_jobs() == 1
        assert (await engine.get(job_id)).status is JobStatus.QUEUED
        await engine.clock.advance(400)
    assert (await scheduler.get_job(job_id))["status"] == "completed"
    assert await scheduler.resume_interrupted_jobs() == 0


async def test_closing_ends_every_subscription_and_the_store(engine: Engine) -> None:
    engine.job("crawl")(_nothing)
    async with JobScheduler(engine.manager) as scheduler:
        queue = scheduler.subscribe_logs(await scheduler.start_job("crawl", {}))
        await settle()
    await settle()
    assert queue.empty()
    assert not scheduler._pumps


async def _nothing(ctx: JobContext) -> None:
    return None
