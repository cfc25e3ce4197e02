"""`on_failure`: one further job for each end as FAILED or in review, in the very same commit."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs import BadInput, EngineOptions, Job, JobContext, JobStatus, Registry, ReviewNeeded, Watchdog, job
from app.stores import MemoryJobStore
from app.stores.faults import FaultPlan, FaultyStore, Operation
from tests.support.engine import Engine


class Told:
    """What failures' jobs were told."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []

    def register(self, engine: Engine, **options: Any) -> None:
        """A hook, and types that use it."""

        @engine.job("alarm", queue="maintenance", priority="high", timeout_seconds=9)
        async def alarm(ctx: JobContext, **told: Any) -> None:
            self.payloads.append(told)

        @engine.job("fails", on_failure="alarm", **({"max_retries": 1, "retry_delay_seconds": 0} | options))
        async def fails(ctx: JobContext, how: str = "raise") -> None:
            if how == "review":
                raise ReviewNeeded("is this right?")
            if how == "raise":
                raise ValueError("no ink")


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def told(engine: Engine) -> Told:
    told = Told()
    told.register(engine)
    return told


async def alarms(engine: Engine) -> list[Job]:
    return await engine.manager.list_jobs(type="alarm", sort_order="asc")


async def test_a_job_that_fails_for_good_is_followed_by_one_that_is_told(engine: Engine, told: Told) -> None:
    job_id = await engine.submitted("fails")
    await engine.drain()
    assert told.payloads == [
        {
            "job_id": job_id,
            "type": "fails",
            "status": "failed",
            "error": {"code": "ValueError", "message": "no ink"},
            "attempt": 2,
        }
    ]
    (alarm,) = await alarms(engine)
    assert (alarm.parent_id, alarm.depth, alarm.queue, alarm.priority.name) == (job_id, 1, "maintenance", "HIGH")
    assert (alarm.timeout_seconds, alarm.status) == (9, JobStatus.COMPLETED)


async def test_what_does_not_fail_is_followed_by_nothing(engine: Engine, told: Told) -> None:
    await engine.submitted("fails", {"how": "not"})
    cancelled = await engine.submitted("fails")
    await engine.manager.cancel_job(cancelled)
    await engine.drain()
    assert told.payloads == []


async def test_each_end_has_its_own(engine: Engine, told: Told) -> None:
    job_id = await engine.submitted("fails")
    await engine.drain()
    await engine.manager.retry_job(job_id)
    await engine.drain()
    assert [each["attempt"] for each in told.payloads] == [2, 4]
    review = await engine.submitted("fails", {"how": "review"})
    await engine.drain()
    assert (told.payloads[2]["job_id"], told.payloads[2]["status"]) == (review, "needs_review")
    await engine.manager.review(review, "approve", "ann")
    await engine.drain()
    assert len(told.payloads) == 4


async def test_a_lost_lease_that_ends_a_job_is_told_by_a_watchdog_that_knows_no_type(
    engine: Engine, told: Told
) -> None:
    job_id = (await engine.manager.submit("fails")).id
    watching = Engine(store=engine.store, clock=engine.clock)
    for _ in range(4):
        leases, _ = await engine.runtime.queue.claim("w", ["default"], 1)
        assert len(leases) == 1
        engine.clock.jump(61)
        await Watchdog(watching.runtime).run()
    assert (await engine.get(job_id)).status is JobStatus.FAILED
    (alarm,) = await alarms(engine)
    assert (alarm.payload["error"]["code"], alarm.queue) == ("LEASE_EXPIRED", "priority")
    await engine.drain()
    assert len(told.payloads) == 1


@pytest.mark.parametrize("applied", [True, False])
async def test_a_settle_whose_answer_is_lost_is_followed_by_one(applied: bool) -> None:
    plan = FaultPlan()
    engine, told = Engine(store=FaultyStore(MemoryJobStore(), plan)), Told()
    told.register(engine, max_retries=0)
    await engine.submitted("fails")
    plan.lose(
        Operation.COMMIT_EACH,
        applied=applied,
        when=lambda call: any(write.collection == "runs" for unit in call.units for write in unit),
    )
    await engine.drain()
    assert len(told.payloads) == len(await alarms(engine)) == 1


async def test_a_job_of_a_key_that_was_deleted_and_made_anew_fails_anew(engine: Engine, told: Told) -> None:
    for number in (1, 2):
        job = await engine.manager.submit("fails", idempotency_key="one", max_retries=0)
        await engine.drain()
        assert (await engine.get(job.id)).status is JobStatus.FAILED
        assert len(told.payloads) == number
        await engine.manager.delete_job(job.id)
        engine.clock.jump(1)


async def test_functions_and_decorated_handlers_are_taken_and_jobs_may_name_their_own(engine: Engine) -> None:
    seen: list[str] = []

    async def note(ctx: JobContext, job_id: str, **rest: Any) -> None:
        seen.append(f"note {rest['type']}")

    @engine.job("page")
    async def page(ctx: JobContext, **told: Any) -> None:
        seen.append(f"page {told['type']}")

    @engine.job("one", on_failure=note, max_retries=0)
    async def one(ctx: JobContext) -> None:
        raise ValueError

    @engine.job("two", on_failure=page, max_retries=0)
    async def two(ctx: JobContext) -> None:
        raise ValueError

    for job_type, options in (("one", {}), ("two", {}), ("one", {"on_failure": "page"})):
        await engine.submitted(job_type, **options)
        await engine.drain()
    assert seen == ["note one", "page two", "page one"]
    assert engine.registry.find("one.on_failure") is not None


async def test_what_cannot_be_told_is_refused(engine: Engine) -> None:
    async def narrow(ctx: JobContext, job_id: str) -> None: ...

    async def two(ctx: JobContext) -> None: ...

    with pytest.raises(BadInput, match="let it take job_id, type, status, error, attempt"):
        job("two", registry=Registry(), on_failure=narrow)(two)

    @engine.job("three", on_failure="nobody")
    async def three(ctx: JobContext) -> None: ...

    with pytest.raises(BadInput) as refused:
        await engine.manager.submit("three")
    assert refused.value.field == "on_failure"
    assert await engine.manager.count_jobs() == 0


async def test_failures_of_failures_come_to_an_end(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(options=EngineOptions(max_depth=3))

    @engine.job("again", on_failure="again", max_retries=0)
    async def again(ctx: JobContext, **told: Any) -> None:
        raise ValueError("again")

    await engine.submitted("again")
    await engine.drain()
    assert await engine.manager.count_jobs(status="failed") == 4
    assert "no again was created" in caplog.text
