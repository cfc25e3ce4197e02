"""A store that cannot be reached for a while: survived while the lease lives, and after that another goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.jobs import Cancel, JobContext, JobResult, JobStatus, LeaseLost, ReviewNeeded
from app.jobs.context import StopFlag
from app.jobs.events import Complete
from app.jobs.lease import Lease
from app.stores.faults import Operation
from tests.support.site import LEASE_SECONDS, HurryingClock, Peer, Site, differences, snapshot

DONE = Complete(JobResult(success=True, data="holder"))
FOR_EVER = 1_000_000


async def held(site: Site) -> tuple[Peer, Lease]:
    """A lease, and the process that has it; whenever that waits, time goes by."""

    @site.job("work")
    async def work(ctx: JobContext) -> str:
        return "others"

    holder = await site.peer("holder", clock=HurryingClock())
    await holder.submitted("work")
    (lease,) = await holder.claimed()
    return holder, lease


async def test_a_renewal_outlives_a_short_outage(site: Site) -> None:
    holder, lease = await held(site)
    context = JobContext(lease, StopFlag())
    await context.log("before")
    began = holder.clock.monotonic()
    holder.plan.refuse(Operation.COMMIT_EACH, times=5)
    await context.flush()

    assert holder.plan.calls[Operation.COMMIT_EACH] == 2 + 5  # with the create
    waited = holder.clock.monotonic() - began
    assert 0 < waited < LEASE_SECONDS / 3
    assert lease.remaining_seconds == LEASE_SECONDS
    await lease.settle(DONE)
    assert await holder.log(lease.job.id) == ["before"]
    assert await holder.outcomes(lease.job.id) == [("1", "completed")]


async def test_a_settle_outlives_a_short_outage(site: Site) -> None:
    holder, lease = await held(site)
    holder.plan.refuse(Operation.COMMIT_EACH, times=5)
    await lease.settle(DONE)

    assert (await holder.get(lease.job.id)).status is JobStatus.COMPLETED
    assert await holder.outcomes(lease.job.id) == [("1", "completed")]


async def test_a_settle_outlives_a_lost_answer_in_an_outage(site: Site) -> None:
    holder, lease = await held(site)
    holder.plan.refuse(Operation.COMMIT_EACH, times=2)
    holder.plan.lose(Operation.COMMIT_EACH, applied=False, skip=2)
    holder.plan.refuse(Operation.GET, times=3)
    holder.plan.refuse(Operation.COMMIT_EACH, skip=3, times=2)
    await lease.settle(DONE)

    assert (await holder.get(lease.job.id)).status is JobStatus.COMPLETED
    assert await holder.outcomes(lease.job.id) == [("1", "completed")]


@pytest.mark.parametrize("verb", ["renewal", "settle", "reading back"])
async def test_after_an_outage_longer_than_the_lease_the_job_runs_elsewhere(site: Site, verb: str) -> None:
    holder, lease = await held(site)
    job_id = lease.job.id
    context = JobContext(lease, StopFlag())
    await context.log("gathered in vain")
    if verb == "reading back":
        holder.plan.lose(Operation.COMMIT_EACH, applied=False)
        holder.plan.refuse(Operation.GET, times=FOR_EVER)
    holder.plan.refuse(Operation.COMMIT_EACH, times=FOR_EVER)
    before = await snapshot(holder.store.inner)

    with pytest.raises(LeaseLost):
        await (lease.settle(DONE) if verb == "settle" else context.flush())

    assert lease.remaining_seconds == 0
    assert differences(before, await snapshot(holder.store.inner)) == {}
    # It gave up by itself no later than its lease ran out for the others, who then go on.
    others = await site.peer("others")
    others.clock.jump(LEASE_SECONDS + 1)
    assert await others.recovered() == 1
    assert (await others.drain()).completed == 1
    job = await others.get(job_id)
    assert (job.status, job.attempt, job.lease_losses, job.retries_used) == (JobStatus.COMPLETED, 2, 1, 0)
    assert job.result == JobResult(success=True, data="others")
    assert await others.outcomes(job_id) == [("1", "lease_lost"), ("2", "completed")]
    assert await others.log(job_id) == []


async def test_the_holder_gives_up_before_its_lease_ends_for_the_others(site: Site) -> None:
    """The lease is counted from before it was asked for, so the holder's end never comes after the stored one."""
    holder, lease = await held(site)
    holder.plan.refuse(Operation.COMMIT_EACH, times=FOR_EVER)
    with pytest.raises(LeaseLost):
        await lease.flush()
    stored = await (await site.peer("others")).get(lease.job.id)
    assert stored.lease_expires_at is not None
    # Between two tries it waits 2 s at most, and then it looks at its clock.
    assert (holder.clock.now() - stored.lease_expires_at).total_seconds() <= 2.0


async def test_a_worker_lives_through_an_outage_of_everything(site: Site) -> None:
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("work")
    async def work(ctx: JobContext) -> str:
        for operation in (Operation.COMMIT_EACH, Operation.GET, Operation.QUERY):
            worker.plan.refuse(operation, times=2)
        worker.plan.lose(Operation.COMMIT_EACH, applied=True)
        return "done"

    job_ids = [await person.submitted("work") for _ in range(3)]
    worker.plan.refuse(Operation.CLAIM, times=2)

    await drained(worker, 3, concurrency=1)
    for job_id in job_ids:
        assert await person.outcomes(job_id) == [("1", "completed")]


async def drained(worker: Peer, completed: int, **options: int) -> None:
    """Drain while the worker's time goes by."""
    draining = asyncio.create_task(worker.drain(**options))
    while not draining.done():
        await asyncio.wait({draining}, timeout=0.01)
        if not worker.store.under_way:  # servers answer in their own time: no other goes by meanwhile
            await worker.clock.advance(0.5)
    assert (await draining).completed == completed


async def test_a_claim_outlives_an_outage_while_it_is_read_back(site: Site) -> None:
    """The jobs are leased, and only the reading tells by whom: given up, they would count as lost leases."""
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("work", idempotent=False)
    async def work(ctx: JobContext) -> None: ...

    job_ids = [await person.submitted("work") for _ in range(3)]
    worker.plan.lose(Operation.CLAIM, applied=True)
    worker.plan.refuse(Operation.GET, times=3)

    await drained(worker, 3)

    for job_id in job_ids:
        assert await person.outcomes(job_id) == [("1", "completed")]


async def test_what_was_claimed_is_run_although_asking_for_more_fails(site: Site) -> None:
    worker, person = await site.peer("worker"), await site.peer("person")
    job_ids: list[str] = []

    @site.job("first")
    async def first(ctx: JobContext) -> None:
        job_ids.append(await person.submitted("second"))
        # The next claim finds that job among the ready ones, and another asks for those that are due.
        worker.plan.refuse(Operation.CLAIM, skip=1)

    @site.job("second")
    async def second(ctx: JobContext) -> None: ...

    job_ids.append(await person.submitted("first"))
    await drained(worker, 2)

    for job_id in job_ids:
        assert await person.outcomes(job_id) == [("1", "completed")]


async def test_a_job_whose_data_cannot_be_read_now_is_not_lost_for_it(site: Site) -> None:
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("work")
    async def work(ctx: JobContext) -> None: ...

    job_id = await person.submitted("work", settings={"in chunk records": "x" * 300_000})
    worker.plan.refuse(Operation.GET, times=2)

    await drained(worker, 1)

    job = await person.get(job_id)
    assert (job.status, job.lease_losses, job.retries_used) == (JobStatus.COMPLETED, 0, 0)


@pytest.mark.parametrize("size", [3_000_000, 5_000_000], ids=["within the limit", "over it"])
async def test_a_settle_cannot_fail_for_how_much_was_gathered(site: Site, size: int) -> None:
    """Checkpoint, log and result are within their own limits, but together over what one commit takes (3.11)."""
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("work", max_retries=0)
    async def work(ctx: JobContext) -> str:
        await ctx.save_checkpoint("y" * 2_000_000)
        for _ in range(5):
            await ctx.log("z" * 100_000)
        return "x" * size

    job_id = await person.submitted("work")
    report = await worker.drain()

    job = await person.get(job_id)
    assert (report.settled, report.lost, job.attempt) == (1, 0, 1)
    assert job.checkpoint == "y" * 2_000_000
    assert len(await person.log(job_id)) == 5
    if job.status is JobStatus.FAILED:
        # Too large for the store, or for the engine's own limit: either way it is said, and the job has ended.
        assert job.error is not None
        assert job.error.code == "RESULT_INVALID"
        assert size > person.runtime.options.data.field_bytes or site.url.startswith("firestore")
        assert await person.outcomes(job_id) == [("1", "failed")]
    else:
        assert job.result == JobResult(success=True, data="x" * size)
        assert await person.outcomes(job_id) == [("1", "completed")]


TOO_LONG = "x" * 2_000_000


async def _reason(ctx: JobContext) -> JobResult:
    raise Cancel(TOO_LONG)


async def _question(ctx: JobContext) -> JobResult:
    raise ReviewNeeded(TOO_LONG, {"sure": TOO_LONG})


async def _error(ctx: JobContext) -> JobResult:
    raise ValueError(TOO_LONG)


async def _result(ctx: JobContext) -> JobResult:
    return JobResult(success=False, error=TOO_LONG)


@pytest.mark.parametrize("end", [_reason, _question, _error, _result], ids=lambda end: end.__name__[1:])
async def test_a_settle_cannot_fail_for_how_long_a_text_is(
    site: Site, end: Callable[[JobContext], Awaitable[JobResult]]
) -> None:
    worker = await site.peer("worker")

    @site.job("work", max_retries=0)
    async def work(ctx: JobContext) -> JobResult:
        return await end(ctx)

    job_id = await worker.submitted("work")
    report = await worker.drain()

    assert (report.settled, report.lost) == (1, 0)
    assert (await worker.get(job_id)).status is not JobStatus.RUNNING
    assert len(await worker.runs(job_id)) == 1
