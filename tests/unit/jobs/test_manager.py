"""The manager's verbs: create, steer, wait, delete, clean up, resume; and its own life."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import (
    AsyncJobManager,
    EngineOptions,
    ExecutionContext,
    JobContext,
    JobProgress,
    JobRequest,
    JobResult,
    JobStatus,
    NoEngine,
    PayloadInvalid,
    Registry,
    ReviewNeeded,
    Runtime,
    WaitTimeout,
)
from app.jobs import job as job_decorator
from app.jobs.binding import current_manager
from app.jobs.openagents import OpenAgentsApp
from app.jobs.ramp import Ramp
from app.stores.base import NotJoinable, StoreUnavailable
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.clock import NOON, FakeClock, settle, until
from tests.support.engine import Engine, FakeChance

P, Q, R, H, C, F, X, N = (
    JobStatus.PENDING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.PAUSED,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
    JobStatus.NEEDS_REVIEW,
)


@pytest.fixture(autouse=True)
def handlers(engine: Engine) -> None:
    """Type `it` ends as its payload says."""

    @engine.job("it", description="Does as it is told.")
    async def handler(ctx: JobContext, **payload: Any) -> Any:
        if payload.get("fail"):
            raise ValueError("as told")
        if payload.get("review"):
            raise ReviewNeeded("as told", {"options": [1, 2]})
        return payload.get("returns")


# --- create ------------------------------------------------------------------------------------------


async def test_a_job_is_created_held_and_what_it_says_is_what_is_stored(engine: Engine) -> None:
    job = await engine.manager.create_job("it", {"a": 1})
    assert (job.status, job.revision, job.created_at, job.updated_at) == (P, 1, NOON, NOON)
    assert (job.name, job.description, job.route, job.attempt) == ("It", "Does as it is told.", "default", 0)
    assert await engine.get(job.id) == job


async def test_everything_that_can_be_said_about_a_job(engine: Engine) -> None:
    parent = await engine.manager.create_job("it")
    job = await engine.manager.create_job(
        "it",
        {"a": 1},
        name="A name",
        description="A description",
        queue="maintenance",
        priority="critical",
        tags=["b", "a", "b"],
        mode="dry_run",
        settings={"s": [1]},
        metadata={"m": 1},
        checkpoint={"page": 3},
        idempotency_key="k",
        delay="90s",
        start_before="2026-11-02T13:00:00",
        max_retries=7,
        retry_delay=1.5,
        retry_backoff="fixed",
        timeout=30,
        max_duration="1h30m",
        parent_id=parent.id,
        batch_id="batch",
        auto_start=True,
    )
    assert (job.status, job.wake_at, job.ready_at) == (Q, NOON + timedelta(seconds=90), None)
    assert (job.queue, job.priority, job.tags, job.mode) == ("maintenance", 4, ("b", "a"), "dry_run")
    assert (job.settings, job.metadata, job.checkpoint) == ({"s": [1]}, {"m": 1}, {"page": 3})
    assert (job.max_retries, job.retry_delay_seconds, job.retry_backoff) == (7, 1.5, "fixed")
    assert (job.timeout_seconds, job.max_duration_seconds) == (30.0, 5400.0)
    assert job.start_before == NOON + timedelta(hours=1)
    assert (job.parent_id, job.depth, job.batch_id) == (parent.id, 1, "batch")
    assert await engine.get(job.id) == job


async def test_what_a_job_leaves_open_comes_from_its_type(engine: Engine) -> None:
    engine.job("own", queue="maintenance", priority="high", max_retries=1, timeout_seconds=9, max_duration="1m")(
        lambda: None
    )
    job = await engine.manager.create_job("own")
    assert (job.queue, job.priority, job.max_retries) == ("maintenance", 3, 1)
    assert (job.timeout_seconds, job.max_duration_seconds) == (9.0, 60.0)
    other = await engine.manager.create_job("own", queue="priority", max_retries=0)
    assert (other.queue, other.max_retries) == ("priority", 0)


async def test_a_job_without_a_type_is_custom_and_can_be_held_only(engine: Engine) -> None:
    job = await engine.manager.create_job(payload={"anything": [1]})
    assert (job.type, job.status) == ("custom", P)

    async def custom(context: ExecutionContext) -> JobResult:
        return JobResult(success=True, data=context.payload)

    engine.manager.register_handler("custom", custom)
    await engine.manager.start_job(job.id)
    await engine.drain()
    assert (await engine.get(job.id)).status is C


async def test_a_store_that_cannot_join_a_transaction_says_so(engine: Engine) -> None:
    with pytest.raises(NotJoinable):
        await engine.manager.create_job("it", transaction=object())
    assert (await engine.records())["jobs"] == 0


# --- steer -------------------------------------------------------------------------------------------


async def job_in(engine: Engine, status: JobStatus) -> str:
    """The id of a job that came to this status by the manager's verbs."""
    payload = {F: {"fail": True}, N: {"review": True}}.get(status, {})
    job = await engine.manager.create_job("it", payload, max_retries=0)
    if status in (Q, R, C, F, N):
        await engine.manager.start_job(job.id)
    if status in (C, F, N):
        await engine.drain()
    if status is R:
        assert await engine.runtime.queue.claim_job("w", job.id) is not None
    if status is H:
        await engine.manager.pause_job(job.id)
    if status is X:
        await engine.manager.cancel_job(job.id)
    assert await engine.manager.get_job_status(job.id) is status
    return job.id


@pytest.mark.parametrize(
    ("verb", "status", "after"),
    [
        ("start_job", P, Q),
        ("start_job", Q, Q),
        ("start_job", R, R),
        ("cancel_job", P, X),
        ("cancel_job", Q, X),
        ("cancel_job", R, R),
        ("cancel_job", H, X),
        ("cancel_job", N, X),
        ("cancel_job", X, X),
        ("cancel", Q, X),
        ("stop_job", Q, X),
        ("pause_job", P, H),
        ("pause_job", Q, H),
        ("pause_job", R, R),
        ("pause_job", H, H),
        ("resume_job", H, P),
        ("resume_job", R, R),
        ("retry_job", F, Q),
        ("retry_job", X, Q),
        ("retry_job", N, Q),
    ],
)
async def test_what_each_verb_does(engine: Engine, verb: str, status: JobStatus, after: JobStatus) -> None:
    job_id = await job_in(engine, status)
    answer = await getattr(engine.manager, verb)(job_id)
    assert answer.status is after
    stored = await engine.get(job_id)
    assert (stored.status, stored.version) == (after, answer.version)
    assert not after.is_terminal or stored.expire_at is not None


async def test_a_second_cancel_does_not_change_the_first(engine: Engine) -> None:
    job_id = await job_in(engine, Q)
    await engine.manager.cancel_job(job_id, "first")
    again = await engine.manager.cancel_job(job_id, "second")
    assert again.error is not None
    assert again.error.message == "first"


async def test_every_cancel_of_a_running_job_has_an_id_of_its_own(engine: Engine) -> None:
    """Given a cancel that was set already, then a repeated one is still noticed by whoever watches the version."""
    job_id = await job_in(engine, R)
    first = await engine.manager.cancel_job(job_id)
    second = await engine.manager.cancel_job(job_id)
    assert first.control_id != second.control_id
    assert first.version != second.version


async def test_a_retry_runs_a_failed_job_again_with_its_counters_at_zero(engine: Engine) -> None:
    job_id = await job_in(engine, F)
    again = await engine.manager.retry_job(job_id, keep_checkpoint=False)
    assert (again.retries_used, again.result, again.error, again.finished_at) == (0, None, None, None)
    await engine.drain()
    assert (await engine.get(job_id)).attempt == 2
    assert len(await engine.runs(job_id)) == 2


@pytest.mark.parametrize(
    ("decision", "payload", "status"), [("approve", None, Q), ("edit", {"returns": 5}, Q), ("reject", None, X)]
)
async def test_a_review_is_decided(
    engine: Engine, decision: str, payload: dict[str, Any] | None, status: JobStatus
) -> None:
    job_id = await job_in(engine, N)
    assert (await engine.get(job_id)).review["request"] == {"options": [1, 2]}
    after = await engine.manager.review(job_id, decision, by="ann", comment="why not", payload=payload)
    assert after.status is status
    if decision == "edit":
        await engine.drain()
        job = await engine.get(job_id)
        assert (job.status, job.result and job.result.data) == (C, 5)


async def test_an_edited_payload_is_checked_like_a_new_one(engine: Engine) -> None:
    @engine.job("typed")
    async def typed(ctx: JobContext, n: int) -> None:
        raise ReviewNeeded("?")

    job_id = await engine.submitted("typed", {"n": 1})
    await engine.drain()
    with pytest.raises(PayloadInvalid, match=r"^payload\.n: "):
        await engine.manager.review(job_id, "edit", by="ann", payload={"n": "many"})
    assert (await engine.get(job_id)).status is N


async def test_a_resumed_job_goes_on_from_its_checkpoint(engine: Engine) -> None:
    job = await engine.manager.submit("it", checkpoint={"page": 2})
    await engine.manager.pause_job(job.id)
    resumed = await engine.manager.resume_job(job.id)
    assert (resumed.status, resumed.checkpoint) == (Q, {"page": 2})


async def test_a_pause_neither_starts_a_held_job_nor_ends_a_delay(engine: Engine) -> None:
    held = await engine.manager.create_job("it")
    delayed = await engine.manager.submit("it", delay=3600)
    for job in (held, delayed):
        await engine.manager.pause_job(job.id)
        await engine.manager.resume_job(job.id)
    assert (await engine.get(held.id)).status is JobStatus.PENDING
    assert (await engine.get(delayed.id)).wake_at == delayed.wake_at


# --- results -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("returns", [None, 0, [], {"a": [1]}])
async def test_results_after_the_end_and_not_before(engine: Engine, returns: Any) -> None:
    job_id = await engine.submitted("it", {"returns": returns})
    assert await engine.manager.get_job_results(job_id) is None
    await engine.drain()
    results = await engine.manager.get_job_results(job_id)
    assert results is not None
    assert (results.result, results.saved) == (returns, [])


async def test_saved_results_are_in_order_over_all_attempts(engine: Engine) -> None:
    @engine.job("saving", retry_delay_seconds=60)
    async def saving(ctx: JobContext) -> None:
        for number in range(3):
            await ctx.save_result([ctx.attempt, number])
        if ctx.attempt == 1:
            raise ValueError("again")

    job_id = await engine.submitted("saving")
    async with engine.working():
        await engine.clock.advance(61)
    results = await engine.manager.get_job_results(job_id)
    assert results is not None
    assert results.saved == [[attempt, number] for attempt in (1, 2) for number in range(3)]


# --- wait --------------------------------------------------------------------------------------------


async def test_wait_returns_when_the_job_ends(engine: Engine) -> None:
    @engine.job("slow")
    async def slow(ctx: JobContext) -> str:
        await engine.clock.sleep(30)
        return "done"

    job_id = await engine.submitted("slow")
    waiting = asyncio.ensure_future(engine.manager.wait(job_id, timeout=60))
    async with engine.working():
        await engine.clock.advance(29)
        assert not waiting.done()
        await engine.clock.advance(1)
        job = await waiting
    assert (job.status, job.result and job.result.data) == (C, "done")
    assert (await engine.manager.wait(job_id)).status is C


async def test_wait_gives_up_in_time(engine: Engine) -> None:
    job_id = await job_in(engine, P)
    waiting = asyncio.ensure_future(engine.manager.wait(job_id, timeout=30))
    await engine.clock.advance(29.9)
    assert not waiting.done()
    await engine.clock.advance(0.2)
    with pytest.raises(WaitTimeout, match=f"job {job_id} is still pending after 30 s") as refused:
        await waiting
    assert isinstance(refused.value, TimeoutError)


async def test_wait_for_no_time_looks_once(engine: Engine) -> None:
    job_id = await job_in(engine, P)
    with pytest.raises(WaitTimeout):
        await engine.manager.wait(job_id, timeout=0)


async def test_whoever_waits_hears_of_a_cancel(engine: Engine) -> None:
    job_id = await job_in(engine, Q)
    waiting = asyncio.ensure_future(engine.manager.wait(job_id))
    await settle()
    await engine.manager.cancel_job(job_id)
    assert (await waiting).status is X


# --- delete and clean up -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [P, Q, H, C, F, X, N])
async def test_any_job_that_does_not_run_can_be_deleted(engine: Engine, status: JobStatus) -> None:
    job_id = await job_in(engine, status)
    await engine.manager.delete_job(job_id)
    records = await engine.records()
    assert (records["jobs"], records["logs"], records["chunks"]) == (0, 0, 0)
    assert records["runs"] == (status in (C, F, N))


@pytest.mark.parametrize(("days", "deleted"), [(0, 5), (1, 5), (2, 3), (3, 3), (4, 1), (5, 0), (None, 0)])
async def test_ended_jobs_go_after_so_many_days(engine: Engine, days: float | None, deleted: int) -> None:
    """Given jobs that ended 1, 1, 3, 3 and 4 days ago and others that have not, then those old enough go."""
    for status, wait in ((C, 1), (F, 0), (X, 2), (C, 0), (X, 1)):
        await job_in(engine, status)
        engine.clock.jump(wait * 86400)
    for status in (N, P, Q, H, R):
        await job_in(engine, status)
    assert await engine.manager.cleanup_old_jobs(days=days) == deleted
    assert await engine.manager.count_jobs() == 10 - deleted
    assert {str(job.status) for job in await engine.manager.list_jobs()} >= {
        "pending",
        "queued",
        "paused",
        "needs_review",
        "running",
    }


async def test_many_are_cleaned_up_in_pages(engine: Engine) -> None:
    for _ in range(250):
        job = await engine.manager.create_job("it")
        await engine.manager.cancel_job(job.id)
    assert await engine.manager.cleanup_old_jobs(days=0) == 250
    assert (await engine.records())["jobs"] == 0


# --- interrupted jobs --------------------------------------------------------------------------------


async def test_interrupted_jobs_are_resumed_at_once_where_no_holder_can_live(engine: Engine) -> None:
    """Given a store of one process, when that was restarted, then every lease is of a holder that is gone."""
    ids = [await job_in(engine, R) for _ in range(3)]
    assert await engine.manager.resume_interrupted_jobs() == 3
    for job_id in ids:
        job = await engine.get(job_id)
        assert (job.status, job.lease_losses, len(job.metadata["recovery_history"])) == (Q, 1, 1)


async def test_elsewhere_only_expired_leases_are_taken_back(engine: Engine) -> None:
    limits = replace(engine.memory.limits(), single_process=False)
    engine.memory.limits = lambda: limits  # type: ignore[method-assign]
    first = await job_in(engine, R)
    engine.clock.jump(61)
    second = await job_in(engine, R)
    assert await engine.manager.resume_interrupted_jobs() == 1
    assert [(await engine.get(job_id)).status for job_id in (first, second)] == [Q, R]


async def test_what_an_interrupted_job_holds_back_goes_on_when_it_ends_by_that(engine: Engine) -> None:
    """Given a job lost too often, when it is taken back, then its key is free and its dependents are told."""

    @engine.job("lost")
    async def handler(ctx: JobContext) -> None: ...

    first = await engine.submitted("lost", concurrency_key="k")
    second = await engine.submitted("lost", concurrency_key="k")
    child = await engine.submitted("lost", dependencies=[first])
    for _ in range((await engine.get(first)).max_lease_losses + 1):
        assert await engine.runtime.queue.claim_job("gone", first) is not None
        engine.clock.jump(61)
        assert await engine.manager.resume_interrupted_jobs() == 1
    assert [(await engine.get(job_id)).status for job_id in (first, child)] == [F, X]
    await engine.drain()
    assert (await engine.get(second)).status is C


# --- its own life ------------------------------------------------------------------------------------


def a_manager(store: MemoryJobStore, clock: FakeClock, registry: Registry, **options: Any) -> AsyncJobManager:
    chance = FakeChance().chance()
    return AsyncJobManager(runtime=Runtime(store, clock=clock, registry=registry, chance=chance), **options)


async def test_the_embedded_worker_runs_jobs_by_itself(engine: Engine) -> None:
    """Given a memory store, then a manager runs its jobs without any worker, and types registered later too."""
    registry = Registry()
    async with a_manager(MemoryJobStore(), engine.clock, registry) as manager:
        assert manager.is_running

        async def later(context: ExecutionContext) -> JobResult:
            return JobResult(success=True, data=context.payload)

        manager.register_handler("later", later)
        job = await manager.submit("later", {"n": 1})
        assert (await manager.wait(job.id)).status is C
    assert not manager.is_running


async def test_without_a_worker_it_says_once_that_somebody_has_to_run_them(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        await engine.submitted("it")
    assert caplog.text.count("run `torpor worker`") == 1
    assert not engine.manager.is_running


async def test_closing_gives_running_jobs_back_and_opening_again_runs_them(engine: Engine) -> None:
    store, registry = MemoryJobStore(), Registry()
    begun: list[int] = []

    @job_decorator("slow", registry=registry)
    async def slow(ctx: JobContext) -> None:
        begun.append(ctx.attempt)
        if ctx.attempt == 1:
            await engine.clock.sleep(1000)

    manager = a_manager(store, engine.clock, registry)
    submitted = await manager.submit("slow")
    await until(lambda: begun == [1])
    closing = asyncio.ensure_future(manager.close())
    await engine.clock.advance(10)
    await closing
    async with manager:
        ended = await manager.wait(submitted.id)
    assert (ended.status, begun, ended.lease_losses, ended.retries_used) == (C, [1, 2], 0, 0)


async def test_inside_its_block_it_is_the_engine_of_the_context(engine: Engine) -> None:
    with pytest.raises(NoEngine):
        current_manager()
    outer, inner = (a_manager(MemoryJobStore(), engine.clock, Registry(), worker=False) for _ in range(2))
    async with outer:
        assert current_manager() is outer
        async with inner:
            assert current_manager() is inner
        assert current_manager() is outer
    with pytest.raises(NoEngine):
        current_manager()


async def test_uptime_status_and_metrics(engine: Engine) -> None:
    for status in (C, F, N, Q):
        await job_in(engine, status)
    engine.clock.jump(8100)
    status = await engine.manager.get_status()
    assert (status["uptime"], engine.manager.uptime) == ("2h 15m", "2h 15m")
    assert (status["job_types"], status["running_jobs"]) == (1, 0)
    ones = {"completed": 1, "failed": 1, "queued": 1, "needs_review": 1}
    assert status["jobs"] == dict.fromkeys(map(str, JobStatus), 0) | ones
    metrics = await engine.manager.get_job_metrics()
    assert (metrics["by_type"], metrics["success_rate"]) == ({"it": 3}, 0.5)
    assert metrics["store"]["writes"] == engine.store.usage.writes
    assert metrics["store_cost_usd"] is None, "nobody is billed for memory"


async def test_health() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    engine.job("it")(lambda: None)
    assert (await engine.manager.get_system_health())["status"] == "healthy"
    await engine.submitted("it", delay=10)
    await engine.submitted("it")
    engine.clock.jump(299)
    health = await engine.manager.get_system_health()
    assert (health["status"], health["oldest_waiting_seconds"]) == ("healthy", 299.0)
    engine.clock.jump(2)
    health = await engine.manager.get_system_health()
    assert health["status"] == "degraded"
    assert "a job has waited 5m 1s; is a worker running" in health["problems"][0]
    for _ in range(60):
        await engine.submitted("it")  # however many came later
    health = await engine.manager.get_system_health()
    assert (health["status"], health["oldest_waiting_seconds"]) == ("degraded", 301.0)
    plan.refuse(Operation.COUNT)
    health = await engine.manager.get_system_health()
    assert (health["status"], len(health["problems"])) == ("unreachable", 1)


async def test_health_sees_a_delayed_job_whose_time_has_come_and_nobody_looked(engine: Engine) -> None:
    await engine.submitted("it", delay=60)
    assert (await engine.manager.get_system_health())["oldest_waiting_seconds"] is None
    engine.clock.jump(60 + 301)
    health = await engine.manager.get_system_health()
    assert (health["status"], health["oldest_waiting_seconds"]) == ("degraded", 301.0)


async def test_a_closed_manager_opens_again_at_the_next_verb(engine: Engine) -> None:
    job = await engine.manager.create_job("it")
    await engine.manager.close()
    with pytest.raises(StoreUnavailable):
        await engine.store.get("jobs", [job.id])
    assert (await engine.manager.get_job(job.id)).id == job.id


async def test_retention_can_be_said_in_days(engine: Engine) -> None:
    runtime = Runtime(engine.store, registry=engine.registry, clock=engine.clock, options=EngineOptions(shards=3))
    manager = AsyncJobManager(runtime=runtime, retention_days=2, worker=False)
    assert (manager.runtime.options.keep_jobs, manager.runtime.options.shards) == (timedelta(days=2), 3)
    job = await manager.create_job("it")
    assert (await manager.cancel_job(job.id)).expire_at == NOON + timedelta(days=2)


# --- the facade of an application --------------------------------------------------------------------


async def test_the_application_answers_in_dicts(engine: Engine) -> None:
    app = OpenAgentsApp(engine.manager)
    created = await app.create_job(job_type="it", payload={"returns": 3})
    assert (created["job_id"], created["status"]) == (created["id"], "pending")
    assert created["created_at"] == "2026-11-02T12:00:00Z"
    await app.start_job(created["job_id"])
    assert await app.get_job_results(created["job_id"]) is None
    await engine.drain()
    assert await app.get_job_status(created["job_id"]) == "completed"
    assert await app.get_job_results(created["job_id"]) == {"result": 3, "saved": []}
    assert [job["job_id"] for job in await app.list_jobs(status="completed")] == [created["job_id"]]
    assert (await app.get_job(created["job_id"]))["result"]["data"] == 3
    second = await app.create_job(job_type="it")
    assert (await app.cancel_job(second["id"]))["status"] == "cancelled"
    await app.close()


# --- progress ----------------------------------------------------------------------------------------


async def test_progress_is_heard_until_the_end(engine: Engine) -> None:
    @engine.job("reporting")
    async def reporting(ctx: JobContext) -> None:
        for number in range(1, 4):
            await ctx.report_progress(number, 3, f"step {number}")
            await engine.clock.sleep(1)

    job_id = await engine.submitted("reporting")
    heard: list[JobProgress] = []

    async def listen() -> None:
        heard.extend([progress async for progress in engine.manager.subscribe_progress(job_id)])

    listening = asyncio.ensure_future(listen())
    await settle()
    async with engine.working():
        await engine.clock.advance(5)
    await listening
    assert [progress.message for progress in heard] == ["step 1", "step 2", "step 3"]
    assert [round(progress.percentage) for progress in heard] == [33, 67, 100]


async def test_progress_of_another_process_is_read_from_the_store(engine: Engine) -> None:
    """Given a job that another process runs, then what that process stores is heard here."""
    other = Engine(store=engine.store, clock=engine.clock)

    async def reporting(ctx: JobContext) -> None:
        for number in range(1, 4):
            await ctx.report_progress(number, 3)
            await ctx.flush()
            await engine.clock.sleep(5)

    engine.job("reporting")(reporting)
    other.job("reporting")(reporting)
    job_id = await engine.submitted("reporting")
    heard: list[float] = []

    async def listen() -> None:
        heard.extend([progress.current async for progress in engine.manager.subscribe_progress(job_id)])

    listening = asyncio.ensure_future(listen())
    async with other.working():
        await engine.clock.advance(20)
    await listening
    assert heard == [1.0, 2.0, 3.0]


async def test_an_ended_job_has_its_last_progress_and_no_more(engine: Engine) -> None:
    @engine.job("reporting")
    async def reporting(ctx: JobContext) -> None:
        await ctx.report_progress(1, 1, "the end")

    job_id = await engine.submitted("reporting")
    await engine.drain()
    heard = [progress.message async for progress in engine.manager.subscribe_progress(job_id)]
    assert heard == ["the end"]


@pytest.mark.parametrize("limit", [None, 500.0])
async def test_many_jobs_are_created_at_the_pace_that_the_store_takes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    """Given a store that grows with what is written, when 1,000 jobs are created, then that takes its two seconds."""

    async def hurry(seconds: float) -> None:
        engine.clock.jump(seconds)

    monkeypatch.setattr(engine.clock, "sleep", hurry)
    monkeypatch.setattr(engine.runtime, "ramp", Ramp(engine.clock, limit))
    told: list[tuple[int, int]] = []
    first = await engine.manager.create_job("it")
    requests = [JobRequest(type="it", name=str(n)) for n in range(998)]
    requests.append(JobRequest(type="it", dependencies=(first.id,)))
    requests.append(JobRequest(type="it", unique_key="only"))
    began = engine.clock.monotonic()
    jobs = await engine.manager.create_jobs(requests, on_progress=lambda *far: told.append(far))
    assert [job.name for job in jobs[:998]] == [request.name for request in requests[:998]]
    assert (told[0], told[-1], len(told)) == ((100, 1000), (1000, 1000), 12)
    assert engine.clock.monotonic() - began == pytest.approx(0.0 if limit is None else 2.0, abs=0.25)
