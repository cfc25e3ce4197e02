"""What an application does around jobs: when it is asked, in which order, and that its failures touch no job."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar

import pytest

from app.jobs import (
    BadInput,
    Job,
    JobContext,
    JobRequest,
    JobStatus,
    LoggingMiddleware,
    Middleware,
    Runtime,
    Worker,
)
from app.jobs import middleware as module
from app.jobs.events import Event, Release
from tests.support.engine import Engine

Told = list[tuple[str, ...]]
span: ContextVar[str] = ContextVar("span", default="none")


class Notes(Middleware):
    """Notes everything."""

    def __init__(self, name: str, told: Told) -> None:
        self.name = name
        self.told = told

    async def before_create(self, job: Job) -> None:
        job.metadata["trace"] = self.name
        self.told.append((self.name, "before_create", job.type))

    async def after_create(self, job: Job) -> None:
        self.told.append((self.name, "after_create", job.id))

    async def before_run(self, context: JobContext) -> None:
        span.set(f"{span.get()}/{self.name}")
        self.told.append((self.name, "before_run", context.job_id))

    async def after_run(self, context: JobContext, event: Event | None) -> None:
        self.told.append((self.name, "after_run", type(event).__name__))

    async def before_settle(self, job: Job, event: Event) -> None:
        self.told.append((self.name, "before_settle", job.status, type(event).__name__))

    async def after_settle(self, job: Job) -> None:
        self.told.append((self.name, "after_settle", job.status))


@pytest.fixture
def told(engine: Engine) -> Told:
    told: Told = []
    engine.runtime.hooks.add([Notes("outer", told), Notes("inner", told)])

    @engine.job("work")
    async def work(ctx: JobContext) -> str:
        return span.get()

    return told


async def test_each_is_asked_in_order_before_and_in_the_opposite_order_after(engine: Engine, told: Told) -> None:
    job = await engine.manager.create_job("work")
    assert told == [
        ("outer", "before_create", "work"),
        ("inner", "before_create", "work"),
        ("inner", "after_create", job.id),
        ("outer", "after_create", job.id),
    ]
    told.clear()
    await engine.manager.start_job(job.id)
    await engine.drain()
    assert told == [
        ("outer", "before_run", job.id),
        ("inner", "before_run", job.id),
        ("inner", "after_run", "Complete"),
        ("outer", "after_run", "Complete"),
        ("outer", "before_settle", "running", "Complete"),
        ("inner", "before_settle", "running", "Complete"),
        ("inner", "after_settle", "completed"),
        ("outer", "after_settle", "completed"),
    ]
    ended = await engine.get(job.id)
    assert ended.metadata == {"trace": "inner"}
    assert ended.result is not None
    assert ended.result.data == "none/outer/inner", "the handler sees what was set before it"
    assert span.get() == "none"


async def test_a_job_that_is_there_already_is_not_told_as_created(engine: Engine, told: Told) -> None:
    await engine.manager.create_job("work", idempotency_key="once")
    told.clear()
    assert (await engine.manager.create_job("work", idempotency_key="once")).existing
    assert [point for _, point, _ in told] == ["before_create", "before_create"]


async def test_jobs_of_batches_and_schedules_are_told_too(engine: Engine, told: Told) -> None:
    batch = await engine.manager.create_job_batch([{"type": "work"}] * 2)
    expected = [("inner", "after_create", each.id) for each in batch.jobs]
    assert [each for each in told if each[:2] == ("inner", "after_create")] == expected
    told.clear()
    await engine.manager.create_schedule("often", "work", interval_seconds=60)
    await engine.clock.advance(61)
    await engine.manager.tick()
    points = [point for name, point, _ in told if name == "inner"]
    assert points.count("before_create") == points.count("after_create") >= 1


async def test_ends_by_hand_are_told_too(engine: Engine, told: Told) -> None:
    job = await engine.manager.create_job("work")
    told.clear()
    await engine.manager.cancel_job(job.id)
    assert told == [("inner", "after_settle", "cancelled"), ("outer", "after_settle", "cancelled")]


class Refuses(Middleware):
    async def before_create(self, job: Job) -> None:
        if job.payload.get("evil"):
            raise BadInput("payload.evil", "is true", "be good")


async def test_one_may_refuse_a_job_and_then_nothing_of_the_call_is_written(engine: Engine, told: Told) -> None:
    engine.runtime.hooks.add([Refuses()])

    @engine.job("deed")
    async def deed(ctx: JobContext, evil: bool = False) -> None:
        return None

    requests = [JobRequest(type="deed"), JobRequest(type="deed", payload={"evil": True})]
    with pytest.raises(BadInput, match="be good"):
        await engine.manager.create_jobs(requests)
    assert await engine.manager.count_jobs() == 0
    assert {point for _, point, _ in told} == {"before_create"}


ELSEWHERE = {"after_loss", "after_round"}
"""Points that no job comes to on its way: see test_run_hooks.py."""
POINTS = [name for name in vars(Middleware) if not name.startswith("_") and name not in ELSEWHERE]


@pytest.mark.parametrize("point", POINTS)
async def test_one_that_fails_is_logged_and_touches_no_job(
    engine: Engine, caplog: pytest.LogCaptureFixture, point: str
) -> None:
    async def fail(self: Middleware, *given: object) -> None:
        raise OSError("the collector is away")

    told: Told = []
    broken = type("Broken", (Middleware,), {point: fail})()
    engine.runtime.hooks.add([broken, Notes("after it", told)])

    @engine.job("work")
    async def work(ctx: JobContext) -> int:
        return 1

    job_id = await engine.submitted("work")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.attempt, job.retries_used) == (JobStatus.COMPLETED, 1, 0)
    assert [name for _, name, *_ in told] == [
        "before_create",
        "after_create",
        "before_run",
        "after_run",
        "before_settle",
        "after_settle",
    ]
    (record,) = [record for record in caplog.records if record.name == "app.jobs.middleware"]
    assert f"{point} of Broken failed" in record.message
    assert record.exc_info is not None


async def test_one_that_hangs_is_given_up(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hangs(Middleware):
        async def after_create(self, job: Job) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(module, "HOOK_SECONDS", 0.01)
    engine.runtime.hooks.add([Hangs()])
    await engine.manager.create_job()
    assert "Hangs failed; the job goes on" in caplog.text


async def test_a_job_that_is_given_back_before_it_began_is_told_so(engine: Engine, told: Told) -> None:
    worker = Worker(engine.runtime)

    class Stops(Middleware):
        async def before_run(self, context: JobContext) -> None:
            worker.stop()

    engine.runtime.hooks.add([Stops()])
    job_id = await engine.submitted("work")
    told.clear()
    await worker.run(drain=True)
    assert (await engine.get(job_id)).status is JobStatus.QUEUED
    assert ("outer", "after_run", Release.__name__) in told
    assert ("outer", "after_settle", "queued") in told


async def test_another_set_of_options_keeps_them(engine: Engine, told: Told) -> None:
    again = engine.runtime.with_options(engine.runtime.options)
    assert again.hooks.middleware == engine.runtime.hooks.middleware


async def test_the_log_says_what_happens_to_jobs_with_their_fields(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(
        engine.store,
        registry=engine.registry,
        clock=engine.clock,
        chance=engine.chance.chance(),
        middleware=[LoggingMiddleware()],
    )

    @engine.job("fragile", max_retries=0)
    async def fragile(ctx: JobContext) -> None:
        raise ValueError("broken")

    job_id = await engine.submitted("fragile")
    with caplog.at_level(logging.INFO, "app.jobs.middleware"):
        await Worker(runtime).run(drain=True)
        await runtime.hooks.after_create([await engine.get(job_id)])
    told = [record for record in caplog.records if record.name == "app.jobs.middleware"]
    assert [record.getMessage() for record in told] == [
        f"job {job_id} begins: fragile, attempt 1",
        f"job {job_id}: attempt 1 failed",
        f"job {job_id} is failed: ValueError: broken",
        f"job {job_id} created: fragile",
    ]
    assert {(r.__dict__["job_id"], r.__dict__["job_type"], r.__dict__["job_attempt"]) for r in told} == {
        (job_id, "fragile", 1)
    }
