"""Batches on the memory store: whole graphs, all or nothing, whatever crashes on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from app.jobs import (
    BadInput,
    BatchNotFound,
    BatchStatus,
    DependencyCycle,
    IdempotencyConflict,
    Job,
    JobContext,
    JobStatus,
    Watchdog,
)
from app.stores.base import Store, StoreLimits, StoreUnavailable
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.dying_store import DyingStore
from tests.support.engine import Engine

P, Q, C = JobStatus.PENDING, JobStatus.QUEUED, JobStatus.COMPLETED
COMMIT = 12
"""Writes of one commit on the small store."""


class SmallStore(MemoryJobStore):
    """Takes so little in one commit that most batches have to be written down first."""

    def limits(self) -> StoreLimits:
        return replace(super().limits(), writes_per_commit=COMMIT)


def register(engine: Engine) -> list[str]:
    """Type `it` notes its name; gives the notes."""
    ran: list[str] = []

    @engine.job("it")
    async def it(ctx: JobContext, **payload: Any) -> None:
        ran.append(ctx.job.name)
        if payload.get("fail"):
            raise ValueError("as told")

    return ran


def sharing(engine: Engine, store: Store) -> Engine:
    """Another process on the same database."""
    process = Engine(store=store, clock=engine.clock)
    process.runtime.chance = engine.runtime.chance  # no id twice
    register(process)
    return process


@pytest.fixture
async def small() -> AsyncIterator[Engine]:
    engine = Engine(store=SmallStore())
    await engine.store.open()
    yield engine
    await engine.store.close()


def items(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "it", "name": f"{n}", **fields} for n in range(number)]


def funnel(number: int, *outside: str) -> list[dict[str, Any]]:
    """One job, many that depend on it, and one that depends on all of those."""
    jobs = items(number + 2)
    jobs[0]["dependencies"] = list(outside)
    for job in jobs[1:-1]:
        job["dependencies"] = [0]
    jobs[-1]["dependencies"] = list(range(1, number + 1))
    return jobs


async def states(engine: Engine, jobs: list[Job]) -> set[JobStatus]:
    return {(await engine.get(job.id)).status for job in jobs}


@pytest.mark.parametrize("size", [3, 60])
async def test_a_batch_runs_in_its_order_in_one_commit_or_in_many(small: Engine, size: int) -> None:
    ran = register(small)
    told: list[tuple[int, int]] = []
    batch = await small.manager.create_job_batch(
        funnel(size), name="funnel", on_progress=lambda done, total: told.append((done, total))
    )
    batch_id, jobs = batch
    assert (batch_id, len(batch.jobs), jobs) == (batch.id, size + 2, batch.jobs)
    assert told[-1] == (size + 2, size + 2)
    assert len(told) == 1 if size == 3 else len(told) > 5
    assert told == sorted(told)
    await small.drain()
    assert (ran[0], sorted(ran[1:-1], key=int), ran[-1]) == ("0", [f"{n}" for n in range(1, size + 1)], f"{size + 1}")
    assert [job.id for job in await small.manager.get_batch_jobs(batch.id)] == [job.id for job in batch.jobs]
    info = await small.manager.get_batch(batch.id)
    assert (info.name, info.status, info.total, info.counts) == (
        "funnel",
        BatchStatus.OPEN,
        size + 2,
        {"completed": size + 2},
    )
    assert (info.progress, info.is_done) == (100.0, True)
    records = await small.records()
    assert (records["batches"], records["manifests"], records["gates"]) == (1, 0, 0)


async def test_a_held_batch_starts_job_by_job(engine: Engine) -> None:
    ran = register(engine)
    batch = await engine.manager.create_job_batch(funnel(2), auto_start=False)
    assert {job.status for job in batch.jobs} == {P}
    for job in batch.jobs:
        await engine.manager.start_job(job.id)
    await engine.drain()
    assert len(ran) == 4


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([], "jobs: 0 jobs; give 1 to"),
        ([{"type": "it"}, {"type": "nothing"}], "no job type is called 'nothing'"),
        ([{"type": "it"}, 7], r"jobs\[1\]: is a int; give the arguments"),
        ([{"type": "it"}, {"type": "it", "colour": 1}], r"jobs\[1\].colour: is not an argument"),
        ([{"type": "it", "priority": "urgent"}], r"jobs\[0\].priority"),
        ([{"type": "it", "dependencies": [1]}], r"jobs\[0\].dependencies: 1 is no place in this batch; give 0 to 0"),
        ([{"type": "it", "dependencies": ["nobody"]}], "there is no job 'nobody'"),
        ([{"type": "it", "batch_id": "b"}], r"jobs\[0\].batch_id: is the whole batch's own"),
        ([{"type": "it", "idempotency_key": "k"}], r"jobs\[0\].idempotency_key: is the whole batch's own"),
        ([{"type": "it", "payload": {"a": object()}}], "payload"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
async def test_what_is_wrong_with_one_job_keeps_all_from_being_written(
    engine: Engine, jobs: list[Any], message: str
) -> None:
    register(engine)
    with pytest.raises(BadInput, match=message):
        await engine.manager.create_job_batch(jobs)
    assert engine.store.usage.writes == 0


async def test_a_cycle_is_named_by_places(engine: Engine) -> None:
    register(engine)
    jobs = items(3)
    for number, job in enumerate(jobs):
        job["dependencies"] = [(number + 1) % 3]
    with pytest.raises(DependencyCycle, match=r"jobs\[0\] -> jobs\[1\] -> jobs\[2\] -> jobs\[0\]"):
        await engine.manager.create_job_batch(jobs)


async def test_one_key_makes_one_batch(engine: Engine) -> None:
    register(engine)
    first = await engine.manager.create_job_batch(funnel(2), idempotency_key="k", on_complete={"type": "it"})
    again = await engine.manager.create_job_batch(funnel(2), idempotency_key="k", on_complete={"type": "it"})
    assert (again.existing, again.id, {job.id for job in again.jobs}) == (
        True,
        first.id,
        {job.id for job in first.jobs},
    )
    assert first.on_complete is not None
    assert again.on_complete is not None
    assert again.on_complete.id == first.on_complete.id
    with pytest.raises(IdempotencyConflict, match=r"belongs to job batch-.*, whose jobs differs"):
        await engine.manager.create_job_batch(funnel(3), idempotency_key="k")
    assert await engine.manager.count_jobs() == 5


async def test_of_a_type_in_the_batch_the_last_one_before_is_waited_for(engine: Engine) -> None:
    register(engine)

    @engine.job("after", dependencies=["it"])
    async def after() -> None:
        return None

    batch = await engine.manager.create_job_batch([*items(2), {"type": "after"}])
    assert batch.jobs[2].depends_on == (batch.jobs[1].id,)


# --- on_complete -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 70])
async def test_the_last_job_runs_once_however_the_others_ended(small: Engine, size: int) -> None:
    ran = register(small)
    jobs = items(size, max_retries=0)
    jobs[1] |= {"payload": {"fail": True}}
    jobs[2] |= {"dependencies": [1]}
    batch = await small.manager.create_job_batch(jobs, on_complete={"type": "it", "name": "last"})
    await small.drain()
    assert (ran.count("last"), ran[-1], "2" in ran) == (1, "last", False)
    last = batch.on_complete
    assert last is not None
    assert (last.metadata, last.batch_id) == ({"batch_id": batch.id}, None)
    info = await small.manager.get_batch(batch.id)
    assert info.counts == {"completed": size - 2, "failed": 1, "cancelled": 1}
    assert (info.on_complete, info.total, info.is_done) == (last.id, size, True)


@pytest.mark.parametrize("bad", [{"type": "it", "dependencies": [0]}, {"type": "it", "batch_id": "b"}])
async def test_the_last_job_is_checked_too(engine: Engine, bad: dict[str, Any]) -> None:
    register(engine)
    with pytest.raises(BadInput, match=r"on_complete."):
        await engine.manager.create_job_batch(items(1), on_complete=bad)


# --- cancel, list, keep ------------------------------------------------------------------------------


async def test_a_batch_is_cancelled_and_its_last_job_runs(engine: Engine) -> None:
    ran = register(engine)
    batch = await engine.manager.create_job_batch(funnel(5), on_complete={"type": "it", "name": "last"})
    lease = await engine.runtime.queue.claim_job("w", batch.jobs[0].id)
    assert lease is not None
    assert await engine.manager.cancel_batch(batch.id, "enough") == 7
    assert (await engine.manager.get_batch(batch.id)).counts == {"running": 1, "cancelled": 6}
    await lease.flush()
    assert lease.job.control_action == "cancel"
    engine.clock.jump(61)
    await engine.manager.run_watchdog()
    await engine.drain()
    assert ran == ["last"]
    assert await engine.manager.cancel_batch(batch.id) == 0


async def test_what_is_no_batch(engine: Engine) -> None:
    register(engine)
    for unknown in ("nothing", "x\x00", ""):
        with pytest.raises(BatchNotFound):
            await engine.manager.get_batch(unknown)
        with pytest.raises(BatchNotFound):
            await engine.manager.get_batch_jobs(unknown)
        with pytest.raises(BatchNotFound):
            await engine.manager.cancel_batch(unknown)
    job = await engine.manager.submit("it", batch_id="my own")
    info = await engine.manager.get_batch("my own")
    assert (info.total, info.counts, info.created_at) == (1, {"queued": 1}, None)
    assert [each.id for each in await engine.manager.get_batch_jobs("my own")] == [job.id]
    assert await engine.manager.cancel_batch("my own") == 1


@pytest.mark.parametrize("ended", [False, True])
async def test_no_further_job_is_put_into_a_batch(engine: Engine, ended: bool) -> None:
    """What is counted, and what runs when all have ended, holds for the jobs that the batch was created with."""
    register(engine)
    batch = await engine.manager.create_job_batch(items(2))
    if ended:
        await engine.drain()
    with pytest.raises(BadInput, match=r"batch_id: .* has all of its jobs already; create another .*create_job_batch"):
        await engine.manager.create_job("it", batch_id=batch.id)
    assert len(await engine.manager.list_jobs()) == 2


async def test_batches_are_listed_newest_first_and_go_with_their_last_job(engine: Engine) -> None:
    register(engine)
    made = []
    for _ in range(3):
        made.append((await engine.manager.create_job_batch(items(2))).id)
        engine.clock.jump(1)
    await engine.drain()
    assert [batch.id for batch in await engine.manager.list_batches()] == made[::-1]
    assert [batch.id for batch in await engine.manager.list_batches(1)] == made[2:]
    with pytest.raises(BadInput):
        await engine.manager.list_batches(0)
    engine.clock.jump(31 * 86400)
    watchdog = Watchdog(engine.runtime)
    for _ in range(2):
        await watchdog.run()
        engine.clock.jump(3601)
    assert await engine.manager.list_batches() == []


# --- what meets what ---------------------------------------------------------------------------------


async def test_a_job_outside_that_settles_while_the_batch_is_written_is_read_again(engine: Engine) -> None:
    """Given a batch about to be committed, when the job that it waits for settles first, then nothing waits for it."""
    ran = register(engine)
    outside = await engine.submitted("it")
    plan = FaultPlan()
    process = sharing(engine, FaultyStore(engine.memory, plan))
    writing = plan.hold(Operation.COMMIT)
    creating = asyncio.ensure_future(process.manager.create_job_batch(funnel(2, outside)))
    await writing.reached()
    await engine.drain()
    writing.release()
    batch = await creating
    assert [job.status for job in batch.jobs] == [Q, P, P, P]
    await engine.drain()
    assert (len(ran), await states(engine, batch.jobs)) == (5, {C})


@pytest.mark.parametrize("ends", [False, True], ids=["it waits", "it ends meanwhile"])
async def test_creating_a_large_batch_may_be_cut_off_at_every_call_of_the_store(ends: bool) -> None:
    """Given a process that dies after each number of calls in turn, then there is nothing of the batch or all."""
    nothing = whole = calls = 0
    while True:
        engine = Engine(store=SmallStore())
        await engine.store.open()
        ran = register(engine)
        outside = await engine.manager.create_job("it", name="outside")
        dying = DyingStore(engine.store, calls)
        process = sharing(engine, dying)
        with suppress(StoreUnavailable):
            await process.manager.create_job_batch(funnel(30, outside.id), on_complete={"type": "it", "name": "last"})
        finished = dying.made < calls
        if ends:
            await engine.manager.start_job(outside.id)
            await engine.drain()
        engine.clock.jump(3700)
        for _ in range(2):
            await engine.manager.run_watchdog()
            engine.clock.jump(31)
        if not ends:
            await engine.manager.start_job(outside.id)
        await engine.drain()
        batches = await engine.manager.list_batches()
        if batches:
            whole += 1
            assert batches[0].status is BatchStatus.OPEN, calls
            assert (len(ran), ran[0], ran[1], ran[-2:]) == (34, "outside", "0", ["31", "last"]), calls
        else:
            nothing += 1
            assert ran == ["outside"], calls
            assert await engine.manager.count_jobs() == 1
        engine.clock.jump(8 * 86400)
        await engine.runtime.batches.tidy(None, 100)
        records = await engine.records()
        assert (records["manifests"], records["gates"]) == (0, 0), calls
        if finished:
            break
        calls += 1
        assert calls < 200
    assert nothing > 1
    assert whole > 5
