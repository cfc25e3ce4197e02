"""Handlers that wait for time, events and people, while nobody holds their jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from app.jobs import (
    BadInput,
    BlockingJobContext,
    IdempotencyConflict,
    IllegalTransition,
    JobContext,
    JobExecutor,
    JobNotFound,
    JobResult,
    JobStatus,
    NoEngine,
    RetryLater,
    Watchdog,
)
from app.jobs.errors import EventTimeout
from app.jobs.models import Job
from tests.support.clock import FakeClock
from tests.support.engine import Engine

DAY = 86400.0


async def completed(engine: Engine, job_id: str) -> Any:
    """What the handler of a job returned, which must have come to its end without a retry."""
    job = await engine.get(job_id)
    assert job.status is JobStatus.COMPLETED, (job.status, job.error)
    assert (job.retries_used, job.lease_losses) == (0, 0)
    assert job.result is not None
    return job.result.data


# --- time --------------------------------------------------------------------------------------------


async def test_a_sleeping_job_is_held_by_nobody_and_goes_on_behind_its_sleep(engine: Engine) -> None:
    ran: list[str] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> int:
        await ctx.step("before", ran.append, "before")
        await ctx.sleep(3 * DAY)
        await ctx.step("after", ran.append, "after")
        return ctx.attempt

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.worker_id, job.steps) == (JobStatus.QUEUED, None, 2)
    assert job.wake_at is not None
    assert (job.wake_at - engine.clock.now()).total_seconds() == 3 * DAY
    engine.clock.jump(3 * DAY - 60)
    await engine.drain()
    assert ran == ["before"]
    engine.clock.jump(60)
    await engine.drain()
    assert await completed(engine, job_id) == 2
    assert ran == ["before", "after"]
    assert [(run.outcome, run.counted) for run in await engine.runs(job_id)] == [
        ("suspended", False),
        ("completed", True),
    ]


async def test_a_short_sleep_is_slept_where_it_is(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> float:
        began = engine.clock.monotonic()
        await ctx.sleep(2)
        await ctx.sleep(0)
        return engine.clock.monotonic() - began

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(3)
    assert await completed(engine, job_id) == 2
    assert (await engine.get(job_id)).steps == 0


async def test_a_handler_that_catches_everything_sleeps_all_the_same(engine: Engine) -> None:
    passed: list[str] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        try:
            await ctx.sleep(60)
        except Exception:  # noqa: BLE001 - what such a handler does
            passed.append("an exception")
        except BaseException:  # noqa: BLE001 - what such a handler does
            return "did not sleep"
        return "slept"

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).wake_at is not None
    engine.clock.jump(60)
    await engine.drain()
    assert (await completed(engine, job_id), passed) == ("slept", [])


async def test_sleeps_one_after_the_other_each_count(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> int:
        for _ in range(3):
            await ctx.sleep(60)
        return ctx.attempt

    job_id = await engine.submitted("it")
    for _ in range(4):
        await engine.drain()
        engine.clock.jump(60)
    assert await completed(engine, job_id) == 4


async def test_a_sync_handler_sleeps_too(engine: Engine) -> None:
    @engine.job("it")
    def handler(ctx: BlockingJobContext) -> int:
        ctx.sleep(60)
        return ctx.attempt

    job_id = await engine.submitted("it")
    await engine.drain()
    engine.clock.jump(60)
    await engine.drain()
    assert await completed(engine, job_id) == 2


async def test_a_sleeping_job_can_be_cancelled_and_paused(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.sleep(60)

    cancelled, paused = await engine.submitted("it"), await engine.submitted("it")
    await engine.drain()
    await engine.manager.cancel_job(cancelled)
    await engine.manager.pause_job(paused)
    engine.clock.jump(60)
    await engine.drain()
    assert (await engine.get(cancelled)).status is JobStatus.CANCELLED
    assert (await engine.get(paused)).status is JobStatus.PAUSED
    await engine.manager.resume_job(paused)
    await engine.drain()
    await completed(engine, paused)


async def test_without_a_store_a_sleep_is_slept_where_it_is() -> None:
    clock = FakeClock()
    executor = JobExecutor(clock=clock)

    async def handler(ctx: Any) -> JobResult:
        await ctx.sleep(60)
        with pytest.raises(NoEngine):
            await ctx.wait_for_event("paid")
        return JobResult(success=True)

    executor.register_handler("it", handler)
    running = asyncio.ensure_future(executor.execute(Job(type="it")))
    await clock.advance(60)
    assert (await running).success
    await executor.close()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
async def test_a_time_that_is_none_is_refused(engine: Engine, seconds: float) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        with pytest.raises(BadInput, match="seconds"):
            await ctx.sleep(seconds)
        with pytest.raises(BadInput, match="timeout_seconds"):
            await ctx.wait_for_event("paid", seconds)
        with pytest.raises(BadInput, match="expires_seconds"):
            await ctx.request_review("well?", expires_seconds=seconds)

    job_id = await engine.submitted("it")
    await engine.drain()
    await completed(engine, job_id)


# --- events ------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(engine: Engine) -> Callable[..., Any]:
    """Registers a job type that waits for some events in turn, and returns their data."""

    @engine.job("waits")
    async def handler(ctx: JobContext, names: list[str], timeout: float | None = None) -> list[Any]:
        return [await ctx.wait_for_event(name, timeout) for name in names]

    async def submitted(*names: str, timeout: float | None = None) -> str:
        return await engine.submitted("waits", {"names": list(names), "timeout": timeout})

    return submitted


@pytest.mark.parametrize("for_one", [True, False], ids=["for this job", "for anybody"])
@pytest.mark.parametrize("timeout", [None, 60.0], ids=["for ever", "for a minute"])
async def test_a_waiting_job_goes_on_with_what_came(
    engine: Engine, waiting: Callable[..., Any], for_one: bool, timeout: float | None
) -> None:
    job_id = await waiting("paid", timeout=timeout)
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.waiting_for, job.worker_id) == (JobStatus.QUEUED, "event:paid", None)
    assert (job.parked_on, job.wake_at is None) == (("event:paid", True) if timeout is None else (None, False))
    await engine.manager.send_event("shipped", 0)
    assert (await engine.drain()).claimed == 0
    await engine.manager.send_event("paid", {"amount": 3}, job_id=job_id if for_one else None, by="till")
    await engine.drain()
    assert await completed(engine, job_id) == [{"amount": 3}]


@pytest.mark.parametrize("for_one", [True, False], ids=["for this job", "for anybody"])
async def test_an_event_that_was_sent_before_is_received(
    engine: Engine, waiting: Callable[..., Any], for_one: bool
) -> None:
    await engine.manager.send_event("paid", "too early")
    engine.clock.jump(1)
    job_id = await waiting("paid")
    await engine.manager.send_event("paid", "in time", job_id=job_id if for_one else None)
    await engine.drain()
    assert await completed(engine, job_id) == ["in time"]


async def test_events_are_received_once_each_and_in_the_order_of_their_times(
    engine: Engine, waiting: Callable[..., Any]
) -> None:
    job_id = await waiting("n", "n", "n", "n")
    for number in range(4):
        engine.clock.jump(0.001)
        await engine.manager.send_event("n", number, job_id=job_id if number % 2 else None)
    await engine.drain()
    assert await completed(engine, job_id) == [0, 1, 2, 3]
    # What is for whoever waits is there for others, what was for this job is not.
    assert [event.data for event in await engine.manager.list_events("n")] == [2, 0]


async def test_an_event_for_anybody_reaches_all_that_wait(engine: Engine, waiting: Callable[..., Any]) -> None:
    ids = [await waiting("go") for _ in range(250)]
    await engine.drain(concurrency=50)
    await engine.manager.send_event("go", 1)
    assert (await engine.drain(concurrency=50)).completed == 250
    for job_id in ids[::50]:
        assert await completed(engine, job_id) == [1]


async def test_a_wait_ends_at_its_time(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        try:
            return str(await ctx.wait_for_event("paid", 60))
        except EventTimeout as error:
            await ctx.sleep(60)  # the later attempt hears the same
            return str(error)

    job_id = await engine.submitted("it")
    await engine.drain()
    engine.clock.jump(60)
    await engine.drain()
    await engine.manager.send_event("paid", "too late", job_id=job_id)
    engine.clock.jump(60)
    await engine.drain()
    assert "no event 'paid' came in time" in await completed(engine, job_id)


async def test_a_timeout_that_nobody_catches_fails_the_job_without_a_retry(
    engine: Engine, waiting: Callable[..., Any]
) -> None:
    job_id = await waiting("paid", timeout=60)
    await engine.drain()
    engine.clock.jump(60)
    await engine.drain()
    job = await engine.get(job_id)
    assert job.error is not None
    assert (job.status, job.error.code, job.retries_used) == (JobStatus.FAILED, "EVENT_TIMEOUT", 0)


async def test_a_short_wait_is_waited_where_it_is(engine: Engine, waiting: Callable[..., Any]) -> None:
    job_id = await waiting("paid", timeout=2)
    async with engine.working():
        await engine.manager.send_event("paid", 1, job_id=job_id)
        await engine.clock.advance(2)
    assert await completed(engine, job_id) == [1]
    assert (await engine.get(job_id)).attempt == 1


async def test_a_paused_job_hears_of_what_came_when_it_is_resumed(engine: Engine, waiting: Callable[..., Any]) -> None:
    job_id = await waiting("paid")
    await engine.drain()
    await engine.manager.pause_job(job_id)
    await engine.manager.send_event("paid", 1)
    assert (await engine.get(job_id)).status is JobStatus.PAUSED
    await engine.manager.resume_job(job_id)
    await engine.drain()
    assert await completed(engine, job_id) == [1]


async def test_a_worker_that_dies_before_it_looked_once_more_loses_nothing(
    engine: Engine, waiting: Callable[..., Any]
) -> None:
    """Given an event that comes between the look and the suspension, and a crash before the second look."""
    engine.runtime.followups.clear()
    job_id = await waiting("paid")
    await engine.drain()
    assert (await engine.get(job_id)).parked_on is None
    await engine.manager.send_event("other", 1)
    engine.clock.jump(15)
    engine.runtime.followups.append(engine.runtime.arrivals.look_again)
    await engine.drain()
    assert (await engine.get(job_id)).parked_on == "event:paid"
    await engine.manager.send_event("paid", 1)
    await engine.drain()
    assert await completed(engine, job_id) == [1]


async def test_sending_again_under_an_id_changes_nothing(engine: Engine, waiting: Callable[..., Any]) -> None:
    job_id = await waiting("n", "n", timeout=60)
    for _ in range(2):
        sent = await engine.manager.send_event("n", "first", event_id="e-1")
        assert (sent.id, sent.data) == ("e-1", "first")
    await engine.drain()
    assert (await engine.manager.send_event("n", "first", event_id="e-1")).data == "first"
    await engine.drain()
    assert (await engine.get(job_id)).waiting_for == "event:n"
    assert [event.id for event in await engine.manager.list_events()] == ["e-1"]


async def test_an_event_that_its_job_has_received_is_not_delivered_again(
    engine: Engine, waiting: Callable[..., Any]
) -> None:
    job_id = await waiting("n", "n")
    send = partial(engine.manager.send_event, "n", {"a": 1}, job_id=job_id, event_id="e-1")
    await engine.drain()
    await send()
    await engine.drain()
    sent = await send()
    assert (sent.job_id, sent.data) == (job_id, {"a": 1})
    await engine.drain()
    assert (await engine.get(job_id)).waiting_for == "event:n"
    assert await engine.manager.list_events() == [], "it is not listed any more"
    await engine.manager.send_event("n", 2, job_id=job_id)
    await engine.drain()
    assert await completed(engine, job_id) == [{"a": 1}, 2]
    assert (await send()).id == "e-1", "the sender's retry is answered after the job's end as well"


@pytest.mark.parametrize("for_one", [True, False], ids=["for one job", "for anybody"])
@pytest.mark.parametrize("received", [True, False], ids=["received", "waiting"])
async def test_an_id_of_another_event_is_refused(
    engine: Engine, waiting: Callable[..., Any], for_one: bool, received: bool
) -> None:
    job_id, other = await waiting("n", "n"), await waiting("other")
    good = {"name": "n", "data": {"a": 1}, "job_id": job_id if for_one else None, "event_id": "e-1"}
    await engine.manager.send_event(**good)
    if received:
        await engine.drain()
    changes: list[tuple[str, dict[str, Any]]] = [
        ("name", {"name": "other"}),
        ("job", {"job_id": other}),
        ("data", {"data": {"a": True}}),
    ]
    for differs, change in changes:
        with pytest.raises(IdempotencyConflict, match=rf"'e-1' belongs to event e-1, whose {differs} differs"):
            await engine.manager.send_event(**(good | change))


@pytest.mark.parametrize("seconds", [0.5, 10, 250])
async def test_a_job_that_waits_hears_of_an_event_though_the_clock_of_its_creator_is_ahead(
    engine: Engine, waiting: Callable[..., Any], seconds: float
) -> None:
    engine.clock.jump(seconds)
    job_id = await waiting("go", "go")
    engine.clock.jump(-seconds)
    await engine.drain()
    await engine.manager.send_event("go", 1)
    await engine.drain()
    assert (await engine.get(job_id)).steps == 1
    await engine.manager.send_event("go", 2)
    await engine.drain()
    assert await completed(engine, job_id) == [1, 2]


async def test_what_cannot_be_sent_is_refused(engine: Engine, waiting: Callable[..., Any]) -> None:
    send = engine.manager.send_event
    for name in ("", "a\x00b", "x" * 151):
        with pytest.raises(BadInput, match="name"):
            await send(name)
    with pytest.raises(BadInput, match="data"):
        await send("a", object())
    with pytest.raises(BadInput, match="data"):
        await send("a", "x" * 300_000)
    with pytest.raises(BadInput, match="event_id"):
        await send("a", event_id="a/b")
    with pytest.raises(BadInput, match="by"):
        await send("a", by="\x00")
    with pytest.raises(JobNotFound):
        await send("a", job_id="nobody")
    with pytest.raises(BadInput, match="limit"):
        await engine.manager.list_events(limit=0)
    job_id = await waiting("paid")
    await engine.manager.cancel_job(job_id)
    with pytest.raises(IllegalTransition, match="receive an event"):
        await send("paid", job_id=job_id)
    assert await engine.manager.list_events() == []


# --- people ------------------------------------------------------------------------------------------


async def test_a_handler_asks_a_person_and_goes_on_with_the_decision(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext, amount: int) -> list[Any]:
        first = await ctx.request_review("Pay this?", {"amount": amount})
        second = await ctx.request_review("Really?")
        return [amount, first.decision, first.by, first.comment, first.data, second.decision, second.data]

    job_id = await engine.submitted("it", {"amount": 3})
    await engine.drain()
    job = await engine.get(job_id)
    assert job.status is JobStatus.NEEDS_REVIEW
    assert (job.review["reason"], job.review["request"]) == ("Pay this?", {"amount": 3})
    await engine.manager.review(job_id, "edit", by="ann", comment="too much", payload={"amount": 2}, data="half")
    await engine.drain()
    assert (await engine.get(job_id)).review["reason"] == "Really?"
    await engine.manager.review(job_id, "approve", by="bob")
    await engine.drain()
    assert await completed(engine, job_id) == [2, "edit", "ann", "too much", "half", "approve", None]
    trail = (await engine.get(job_id)).review
    assert [each["by"] for each in (*trail["history"], trail)] == ["ann", "bob"]


async def test_a_request_that_was_rejected_ends_its_job(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        return (await ctx.request_review("Pay this?")).by

    job_id = await engine.submitted("it")
    await engine.drain()
    await engine.manager.review(job_id, "reject", by="ann")
    assert (await engine.get(job_id)).status is JobStatus.CANCELLED
    # Run again all the same, it asks again.
    await engine.manager.retry_job(job_id)
    await engine.drain()
    await engine.manager.review(job_id, "approve", by="bob")
    await engine.drain()
    assert await completed(engine, job_id) == "bob"


async def test_a_request_that_nobody_decides_expires(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.request_review("Pay this?", expires_seconds=DAY)

    job_id = await engine.submitted("it")
    await engine.drain()
    engine.clock.jump(DAY - 1)
    assert (await engine.manager.run_watchdog()).reviews_expired == 0
    engine.clock.jump(2)
    assert (await engine.manager.run_watchdog(dry_run=True)).reviews_expired == 1
    assert (await engine.manager.run_watchdog()).reviews_expired == 1
    job = await engine.get(job_id)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.CANCELLED, "REVIEW_EXPIRED")
    assert job.review["decision"] == "expired"


async def test_what_waits_for_a_person_is_listed(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext, n: int) -> None:
        await ctx.request_review(f"number {n}?", n, expires_seconds=DAY if n else None)

    for n in range(3):
        engine.clock.jump(1)
        await engine.submitted("it", {"n": n})
    await engine.drain()
    found = await engine.manager.list_reviews()
    assert [(each.question, each.data, each.expires_at is None) for each in found] == [
        ("number 2?", 2, False),
        ("number 1?", 1, False),
        ("number 0?", 0, True),
    ]
    assert [each.question for each in await engine.manager.list_reviews(type="other")] == []
    assert len(await engine.manager.list_reviews(limit=2)) == 2


# --- retention ---------------------------------------------------------------------------------------


async def test_old_events_are_deleted_without_looking_for_them_all_the_time(engine: Engine) -> None:
    keep = engine.runtime.options.keep_runs
    assert keep is not None
    for n in range(150):
        await engine.manager.send_event("n", n)
    engine.clock.jump(keep.total_seconds() / 2)
    await engine.manager.send_event("n", "newer")
    watchdog = Watchdog(engine.runtime)
    assert await watchdog.delete_old_events() == 0
    engine.clock.jump(keep.total_seconds() / 2 + 1)
    assert await watchdog.delete_old_events(dry_run=True) == 100
    assert [await watchdog.delete_old_events() for _ in range(3)] == [100, 50, 0]
    reads = engine.store.usage.reads
    assert await watchdog.delete_old_events() == 0
    assert engine.store.usage.reads == reads
    assert [event.data for event in await engine.manager.list_events()] == ["newer"]
    engine.clock.jump(keep.total_seconds())
    assert await watchdog.delete_old_events() == 1


# --- costs -------------------------------------------------------------------------------------------


async def test_what_waiting_costs(engine: Engine) -> None:
    """As the table of docs/costs.md says: reads and writes beside those of a plain job."""

    @engine.job("plain")
    async def plain(ctx: JobContext) -> None:
        return None

    @engine.job("steps")
    async def steps(ctx: JobContext) -> None:
        for n in range(5):
            await ctx.step(f"s{n}", str)

    @engine.job("again", retry_delay_seconds=0)
    async def again(ctx: JobContext) -> None:
        await steps(ctx)
        if ctx.attempt == 1:
            raise RetryLater(0)

    @engine.job("retried", retry_delay_seconds=0)
    async def retried(ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise RetryLater(0)

    @engine.job("once")
    async def once(ctx: JobContext) -> None:
        await ctx.once("k", str)

    @engine.job("sleeps")
    async def sleeps(ctx: JobContext) -> None:
        await ctx.sleep(60)

    @engine.job("waits")
    async def waits(ctx: JobContext) -> None:
        await ctx.wait_for_event("paid")

    async def cost(job_type: str, event: str | None = None) -> tuple[int, int]:
        before = replace(engine.store.usage)
        await engine.submitted(job_type)
        await engine.drain()
        if event is not None:
            await engine.manager.send_event(event)
        if event is not None or job_type == "sleeps":
            engine.clock.jump(60)
            await engine.drain()
        after = engine.store.usage
        return after.reads - before.reads, after.writes - before.writes

    await cost("plain")  # the first looks for what pauses jobs
    plain_reads, plain_writes = await cost("plain")
    retried_reads, retried_writes = await cost("retried")
    assert await cost("steps") == (plain_reads, plain_writes + 2 * 5)
    assert await cost("again") == (retried_reads + 5, retried_writes + 2 * 5)
    assert await cost("once") == (plain_reads + 3, plain_writes + 4)
    assert await cost("once") == (plain_reads + 1, plain_writes)
    assert (await cost("sleeps"))[1] == plain_writes + 5
    assert (await cost("waits", "paid"))[1] == plain_writes + 9
