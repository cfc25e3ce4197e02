"""The queue's verbs: create once per key, claim in batches, change by hand against others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.jobs import EngineOptions, IdempotencyConflict, JobContext, JobNotFound, JobStatus, LeaseLost
from app.jobs.errors import IllegalTransition
from app.jobs.events import Complete, Release, RequestCancel, Start
from app.jobs.models import JobResult
from app.jobs.queue import job_id_of_key
from app.jobs.request import request_of
from app.stores.base import PreconditionFailed
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.engine import Engine

P, Q, R, C, X = (
    JobStatus.PENDING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.CANCELLED,
)


@pytest.fixture
async def faulty() -> tuple[Engine, FaultPlan]:
    """An engine whose store fails as a test says."""
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    await engine.store.open()
    engine.job("it")(lambda: None)
    return engine, plan


# --- idempotency -------------------------------------------------------------------------------------


async def test_a_key_names_one_job(engine: Engine) -> None:
    first = await engine.manager.create_job(payload={"a": 1}, idempotency_key="order 7")
    again = await engine.manager.create_job(payload={"a": 1}, idempotency_key="order 7")
    other = await engine.manager.create_job(payload={"a": 1}, idempotency_key="order 8")
    assert (first.existing, again.existing, other.existing) == (False, True, False)
    assert (first.id == again.id, first.id == other.id) == (True, False)
    assert (first.id, first.idempotency_key) == (job_id_of_key("order 7"), "order 7")
    assert (await engine.records())["jobs"] == 2


@pytest.mark.parametrize("way", [[], ["start"], ["start", "run"], ["cancel"]], ids=str)
async def test_it_answers_with_that_job_in_any_state(engine: Engine, way: list[str]) -> None:
    engine.job("it")(lambda: 1)
    job = await engine.manager.create_job("it", idempotency_key="k", tags=["first"])
    if "start" in way:
        await engine.manager.start_job(job.id)
    if "run" in way:
        await engine.drain()
    if "cancel" in way:
        await engine.manager.cancel_job(job.id)
    expected = await engine.get(job.id)
    again = await engine.manager.submit("it", idempotency_key="k", tags=["second"], priority="high")
    assert again.existing
    assert again.model_copy(update={"existing": False}) == expected


@pytest.mark.parametrize(
    ("second", "differs"),
    [
        ({"payload": {"a": 2}}, "payload"),
        ({"payload": {"a": True}}, "payload"),
        ({"payload": {"a": 1.0}}, "payload"),
        ({"payload": {}}, "payload"),
        ({"job_type": "it", "payload": {"a": 1}}, "type"),
    ],
    ids=str,
)
async def test_another_payload_or_type_under_a_key_is_a_conflict(
    engine: Engine, second: dict[str, Any], differs: str
) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext, **payload: Any) -> None: ...

    first = await engine.manager.create_job(payload={"a": 1}, idempotency_key="k")
    with pytest.raises(IdempotencyConflict) as refused:
        await engine.manager.create_job(**second, idempotency_key="k")
    assert str(refused.value) == (
        f"idempotency_key: 'k' belongs to job {first.id}, whose {differs} differs; "
        "use another key, or create the job with the same arguments"
    )
    assert refused.value.job_id == first.id
    assert (await engine.records())["jobs"] == 1


async def test_a_payload_is_the_same_however_it_was_written(engine: Engine) -> None:
    await engine.manager.create_job(payload={"a": [1, 2], "b": {"c": 1, "d": 2}}, idempotency_key="k")
    again = await engine.manager.create_job(payload={"b": {"d": 2, "c": 1}, "a": (1, 2)}, idempotency_key="k")
    assert again.existing


async def test_a_key_used_twice_in_one_batch_makes_one_job(engine: Engine) -> None:
    jobs = await asyncio.gather(*(engine.manager.create_job(payload={"a": 1}, idempotency_key="k") for _ in range(10)))
    assert (len({job.id for job in jobs}), sorted(job.existing for job in jobs)) == (1, [False] + [True] * 9)


async def test_a_key_lives_as_long_as_its_job(engine: Engine) -> None:
    """Given a keyed job that was deleted, when the key is used again, then that is a new job, which runs to its end."""
    engine.job("it")(lambda n: n)
    for n in range(3):
        job = await engine.manager.submit("it", {"n": n}, idempotency_key="k")
        assert not job.existing
        await engine.drain()
        ended = await engine.get(job.id)
        assert (ended.status, ended.result and ended.result.data) == (C, n)
        await engine.manager.delete_job(job.id)


async def test_a_keyed_job_that_was_created_again_is_taken_back_too(engine: Engine) -> None:
    engine.job("it")(lambda: 1)
    first = await engine.manager.submit("it", idempotency_key="k")
    await engine.drain()
    await engine.manager.delete_job(first.id)
    await engine.manager.submit("it", idempotency_key="k")
    await engine.runtime.queue.claim("gone", ["default"], 1)
    engine.clock.jump(61)
    assert (await engine.manager.run_watchdog()).recovered == 1
    assert (await engine.get(first.id)).status is Q


# --- create ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("key", ["k", None])
async def test_a_create_whose_answer_was_lost_makes_one_job(
    faulty: tuple[Engine, FaultPlan], applied: bool, key: str | None
) -> None:
    engine, plan = faulty
    plan.lose(Operation.COMMIT_EACH, applied=applied)
    job = await engine.manager.submit("it", idempotency_key=key)
    assert not job.existing
    assert (await engine.get(job.id)).version == job.version
    assert await engine.manager.count_jobs() == 1


async def test_many_are_created_in_few_round_trips(engine: Engine) -> None:
    engine.job("it")(lambda: None)
    before = engine.store.usage.rpcs
    jobs = await engine.manager.create_jobs([request_of({"type": "it"}) for _ in range(100)], auto_start=True)
    assert len({job.id for job in jobs}) == 100
    assert engine.store.usage.rpcs - before <= 3


async def test_shards_are_spread_by_chance() -> None:
    engine = Engine(options=EngineOptions(shards=4))
    await engine.store.open()
    engine.job("it")(lambda: None)
    shards = []
    for number in range(8):
        engine.chance.fraction = number / 8
        shards.append((await engine.manager.submit("it")).shard)
    assert shards == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (await engine.drain()).completed == 8


# --- claim -------------------------------------------------------------------------------------------


async def test_a_claim_whose_answer_was_lost_is_read_back(faulty: tuple[Engine, FaultPlan]) -> None:
    """Given a claim that was applied and never heard of, then its jobs are run, not left until their leases end."""
    engine, plan = faulty
    for _ in range(5):
        await engine.submitted("it")
    plan.lose(Operation.CLAIM, applied=True)
    report = await engine.drain()
    assert report.completed == 5
    assert {job.attempt for job in await engine.manager.list_jobs()} == {1}


async def test_one_job_is_claimed_by_its_id(engine: Engine) -> None:
    engine.job("it")(lambda: None)
    first, second = await engine.submitted("it"), await engine.submitted("it", delay=60)
    held = (await engine.manager.create_job("it")).id
    queue = engine.runtime.queue
    lease = await queue.claim_job("w", first)
    assert lease is not None
    assert (lease.job.id, lease.attempt, lease.job.worker_id) == (first, 1, "w")
    assert [await queue.claim_job("w", job_id) for job_id in (first, second, held)] == [None, None, None]
    engine.clock.jump(60)
    assert await queue.claim_job("w", second) is not None
    with pytest.raises(JobNotFound, match="there is no job 'nobody'"):
        await queue.claim_job("w", "nobody")


@pytest.mark.parametrize("applied", [True, False])
async def test_a_claim_of_one_job_whose_answer_was_lost(faulty: tuple[Engine, FaultPlan], applied: bool) -> None:
    """Given a claim never heard of, then the lease is ours if it was applied, and anybody's if it was not."""
    engine, plan = faulty
    job_id = await engine.submitted("it")
    plan.lose(Operation.COMMIT_EACH, applied=applied)
    lease = await engine.runtime.queue.claim_job("w", job_id)
    assert (lease is not None) is applied
    if lease is None:
        lease = await engine.runtime.queue.claim_job("w", job_id)
    assert lease is not None
    assert (await lease.settle(Complete(JobResult(success=True)))).status is C
    assert (await engine.get(job_id)).attempt == 1


async def test_only_one_of_many_gets_a_job(engine: Engine) -> None:
    engine.job("it")(lambda: None)
    job_id = await engine.submitted("it")
    leases = await asyncio.gather(*(engine.runtime.queue.claim_job(f"w{n}", job_id) for n in range(10)))
    assert sum(lease is not None for lease in leases) == 1


async def test_a_lease_ends_once(engine: Engine) -> None:
    engine.job("it")(lambda: None)
    lease = await engine.runtime.queue.claim_job("w", await engine.submitted("it"))
    assert lease is not None
    assert (await lease.settle(Complete(JobResult(success=True, data=1)))).status is C
    for verb in (lease.flush(), lease.settle(Release()), lease.save_result(1)):
        with pytest.raises(LeaseLost, match="attempt 1 has ended"):
            await verb


# --- change by hand ----------------------------------------------------------------------------------


async def test_a_change_that_met_another_is_decided_anew(engine: Engine) -> None:
    """Given ten who start one job at the same moment, then it is started once and nobody fails."""
    engine.job("it")(lambda: None)
    job = await engine.manager.create_job("it")
    answers = await asyncio.gather(*(engine.manager.start_job(job.id) for _ in range(10)))
    assert {answer.status for answer in answers} == {Q}
    assert (await engine.get(job.id)).revision == 2


async def test_a_stale_state_changes_nothing(engine: Engine) -> None:
    engine.job("it")(lambda: None)
    stale = await engine.manager.create_job("it")
    await engine.manager.start_job(stale.id)
    with pytest.raises(PreconditionFailed):
        await engine.runtime.queue.change(stale, Start())
    assert (await engine.get(stale.id)).revision == 2


async def test_what_the_table_refuses_is_refused_before_anything_is_written(engine: Engine) -> None:
    engine.job("it")(lambda: 1)
    job_id = await engine.submitted("it")
    await engine.drain()
    before = (await engine.get(job_id), engine.store.usage.writes)
    with pytest.raises(IllegalTransition, match=r"is completed and cannot cancel; from completed it can: nothing"):
        await engine.runtime.queue.apply(job_id, lambda job: RequestCancel("c", "x"))
    assert (await engine.get(job_id), engine.store.usage.writes) == before


@pytest.mark.parametrize("applied", [True, False])
async def test_a_change_whose_answer_was_lost_is_made_once(faulty: tuple[Engine, FaultPlan], applied: bool) -> None:
    engine, plan = faulty
    job = await engine.manager.create_job("it")
    plan.lose(Operation.COMMIT_EACH, applied=applied)
    assert (await engine.manager.cancel_job(job.id, "once")).status is X
    assert (await engine.get(job.id)).revision == 2
