"""Functions on the bound engine: a loop of one's own over poll, lease, and complete, fail or retry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import JobContext, JobStatus, LeaseLost, Outcome
from app.jobs.binding import bind
from app.jobs.errors import BadInput
from app.jobs.functions import (
    complete_job,
    create_job,
    fail_job,
    lease_job,
    poll_job,
    recover_stuck_jobs,
    release_job,
    retry_job,
)
from app.jobs.lease import Lease
from tests.support.clock import NOON
from tests.support.engine import Engine

Q, R, C, F = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED


@pytest.fixture
async def bound(engine: Engine) -> AsyncIterator[Engine]:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None: ...

    bind(engine.manager)
    yield engine
    bind(None)


async def polled_name() -> str | None:
    job = await poll_job()
    return None if job is None else job.name


async def leased(**options: Any) -> Lease:
    """A lease of a new job."""
    lease = await lease_job(await create_job("it", **options), "w")
    assert lease is not None
    return lease


async def test_a_loop_of_ones_own_runs_everything_in_order(bound: Engine) -> None:
    for name, queue, priority in [
        ("m-critical", "maintenance", "critical"),
        ("p-low", "priority", "low"),
        ("p-high", "priority", "high"),
        ("p-low-2", "priority", "low"),
    ]:
        await create_job("it", name=name, queue=queue, priority=priority)
        bound.clock.jump(1)
    order = []
    while (job := await poll_job()) is not None:
        lease = await lease_job(job)
        assert lease is not None
        order.append(job.name)
        await complete_job(lease, {"done": job.name})
    assert order == ["p-high", "p-low", "p-low-2", "m-critical"]
    assert await bound.manager.count_jobs(status="completed") == 4


async def test_polling_takes_nothing(bound: Engine) -> None:
    created = await create_job("it")
    writes = bound.store.usage.writes
    assert [(await poll_job() or created).id for _ in range(3)] == [created.id] * 3
    assert bound.store.usage.writes == writes


async def test_the_oldest_of_many_is_polled_first(bound: Engine) -> None:
    for number in range(250):
        await create_job("it", name=str(number))
        bound.clock.jump(0.001)
    assert await polled_name() == "0"


async def test_one_that_became_ready_earlier_goes_before_one_that_was_created_earlier(bound: Engine) -> None:
    held = await bound.manager.create_job("it", name="created first")
    bound.clock.jump(1)
    await create_job("it", name="ready first")
    bound.clock.jump(1)
    await bound.manager.start_job(held.id)
    assert await polled_name() == "ready first"


async def test_a_delayed_job_is_polled_when_it_is_due(bound: Engine) -> None:
    await create_job("it", name="delayed", delay=10)
    assert await polled_name() is None
    bound.clock.jump(10)
    assert await polled_name() == "delayed"
    await create_job("it", name="urgent", priority="high")
    assert await polled_name() == "urgent"
    job = await poll_job()
    assert job is not None
    assert await lease_job(job) is not None


@pytest.mark.parametrize("number", [20, 300])
async def test_jobs_that_cannot_run_never_hide_one_that_can(bound: Engine, number: int) -> None:
    for _ in range(number):
        await create_job("it", name="delayed", priority="critical", delay=1000)
    await create_job("it", name="due", priority="low")
    assert await polled_name() == "due"


async def test_only_one_gets_a_polled_job(bound: Engine) -> None:
    job = await create_job("it")
    assert await lease_job(job, "first") is not None
    assert await lease_job(job, "second") is None
    assert await poll_job() is None


async def test_complete(bound: Engine) -> None:
    lease = await leased()
    job = await complete_job(lease, [1])
    assert (job.status, job.result and job.result.data) == (C, [1])
    with pytest.raises(LeaseLost):
        await complete_job(lease)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [("it broke", "FAILED", "it broke"), (KeyError("x"), "KeyError", "'x'")],
    ids=["text", "exception"],
)
async def test_fail(bound: Engine, error: Any, code: str, message: str) -> None:
    job = await fail_job(await leased(), error)
    assert job.error is not None
    assert (job.status, job.retries_used, job.error.code, job.error.message) == (F, 0, code, message)


@pytest.mark.parametrize(("after", "delay"), [(None, 20.0), (5.0, 5.0), (0.0, None)])
async def test_retry_and_be_polled_again(bound: Engine, after: float | None, delay: float | None) -> None:
    lease = await leased(retry_delay_seconds=20)
    job = await retry_job(lease, "again", after)
    assert (job.status, job.retries_used) == (Q, 1)
    assert job.wake_at == (None if delay is None else NOON + timedelta(seconds=delay))
    bound.clock.jump(delay or 0)
    again = await poll_job()
    assert again is not None
    second = await lease_job(again)
    assert second is not None
    assert second.attempt == 2


async def test_a_retry_too_many_fails(bound: Engine) -> None:
    job = await retry_job(await leased(max_retries=0), "again")
    assert (job.status, job.error and job.error.message) == (F, "again")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
async def test_a_delay_nobody_can_keep_is_refused(bound: Engine, seconds: float) -> None:
    lease = await leased()
    with pytest.raises(BadInput, match=r"^after_seconds: "):
        await retry_job(lease, "again", seconds)
    assert (await complete_job(lease)).status is C


async def test_release_counts_as_nothing(bound: Engine) -> None:
    lease = await leased()
    job = await release_job(lease)
    assert (job.status, job.outcome, job.retries_used, job.lease_losses) == (Q, Outcome.RELEASED, 0, 0)


async def test_stuck_jobs_are_recovered(bound: Engine) -> None:
    lease = await leased()
    assert await recover_stuck_jobs() == 0
    bound.clock.jump(61)
    assert await recover_stuck_jobs() == 1
    with pytest.raises(LeaseLost):
        await complete_job(lease)
    assert [run.id for run in await bound.runs(lease.job.id)] == [f"{lease.job.id}-1", f"{lease.job.id}-1-late"]


async def test_who_waits_for_a_job_or_its_turn_goes_on_at_its_end(bound: Engine) -> None:
    """Given a loop of one's own, when it ends a job, then nobody who waits for it has to wait for the watchdog too."""
    lease = await leased(concurrency_key="one")
    dependent = await create_job("it", dependencies=[lease.job.id])
    parked = await create_job("it", concurrency_key="one")
    assert ((await bound.get(dependent.id)).status, parked.ready_at) == (JobStatus.PENDING, None)
    await complete_job(lease)
    assert (await bound.get(dependent.id)).status is Q
    assert (await bound.get(parked.id)).holds_turn is True
