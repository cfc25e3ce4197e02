"""A write whose answer was lost is resolved by reading back: done once, whatever became of it."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import JobContext, JobResult, JobStatus, LeaseLost
from app.jobs.events import Complete
from app.stores.base import Insert, PreconditionFailed, Put
from app.stores.faults import Operation
from tests.support.executions import (
    APPLIED,
    DONE,
    Executions,
    assert_ran_once,
    context_of,
    settles,
    worked,
    writes,
)
from tests.support.site import LEASE_SECONDS, HurryingClock, Site, differences, snapshot

# --- the end of a lease --------------------------------------------------------------------------------------


@APPLIED
async def test_the_answer_to_a_settle_is_lost(site: Site, applied: bool) -> None:
    peer, executions = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=settles(job_id))

    report = await peer.drain()

    assert (report.claimed, report.settled, report.completed, report.lost) == (1, 1, 1, 0)
    assert peer.plan.calls[Operation.GET] == 2  # what is paused, and the job, which was read back once
    await assert_ran_once(peer, job_id)
    assert executions.jobs.count(job_id) == 1


async def test_every_answer_to_a_settle_is_lost_until_it_landed(site: Site) -> None:
    peer, _ = await site.peer(clock=HurryingClock()), Executions(site)
    lease = await worked(peer)
    peer.plan.lose(Operation.COMMIT_EACH, applied=False, when=settles(lease.job.id), times=3)
    peer.plan.lose(Operation.COMMIT_EACH, applied=True, when=settles(lease.job.id))

    await lease.settle(DONE)

    await assert_ran_once(peer, lease.job.id)


async def test_a_settle_arrives_late_and_before_its_repetition(site: Site) -> None:
    peer, executions = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    late = peer.store.delay(Operation.COMMIT_EACH, when=settles(job_id))
    repetition = peer.plan.hold(Operation.COMMIT_EACH, when=settles(job_id))

    drained = asyncio.create_task(peer.drain())
    await repetition.reached()  # it was read back, was not there, and is sent again
    answers = await late.arrive()
    repetition.release()

    assert not any(isinstance(answer, Exception) for answer in answers)
    assert (await drained).settled == 1
    await assert_ran_once(peer, job_id)
    assert executions.jobs.count(job_id) == 1


async def test_a_settle_arrives_late_and_after_its_repetition(site: Site) -> None:
    peer, executions = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    late = peer.store.delay(Operation.COMMIT_EACH, when=settles(job_id))
    assert (await peer.drain()).settled == 1
    before = await snapshot(peer.store)

    (answer,) = await late.arrive()

    assert isinstance(answer, PreconditionFailed)
    assert differences(before, await snapshot(peer.store)) == {}
    await assert_ran_once(peer, job_id)
    assert executions.jobs.count(job_id) == 1


async def test_a_settle_that_was_not_applied_arrives_after_another_took_over(site: Site) -> None:
    holder, others, executions = await site.peer("holder"), await site.peer("others"), Executions(site)
    job_id = await holder.submitted("work")
    (lease,) = await holder.claimed()
    late = holder.store.delay(Operation.COMMIT_EACH, when=settles(job_id))
    reading_back = holder.plan.hold(Operation.GET)

    settling = asyncio.create_task(lease.settle(Complete(JobResult(success=True, data="stale"))))
    await reading_back.reached()
    others.clock.jump(LEASE_SECONDS + 1)
    assert await others.recovered() == 1
    (newer,) = await others.claimed()
    before = await snapshot(others.store)
    (answer,) = await late.arrive()
    reading_back.release()

    assert isinstance(answer, PreconditionFailed)
    with pytest.raises(LeaseLost):
        await settling
    assert differences(before, await snapshot(others.store)) == {f"runs/{job_id}-1-late": "made"}
    await newer.settle(Complete(JobResult(success=True)))
    assert await others.outcomes(job_id) == [("1", "lease_lost"), ("1-late", "completed"), ("2", "completed")]
    assert executions.jobs == []


# --- a claim -------------------------------------------------------------------------------------------------


@APPLIED
async def test_the_answer_to_a_claim_is_lost(site: Site, applied: bool) -> None:
    peer, executions = await site.peer(), Executions(site)
    job_ids = [await peer.submitted("work") for _ in range(5)]
    peer.plan.lose(Operation.CLAIM, applied=applied)

    report = await peer.drain()

    assert (report.claimed, report.settled, report.lost) == (5, 5, 0)
    assert peer.plan.calls[Operation.GET] == 2  # what is paused, and what was claimed
    for job_id in job_ids:
        await assert_ran_once(peer, job_id)
        assert executions.jobs.count(job_id) == 1


@APPLIED
async def test_a_claim_by_id_is_resolved_too(site: Site, applied: bool) -> None:
    peer, _ = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=writes(job_id))

    lease = await peer.runtime.queue.claim_job("somebody", job_id)

    assert (lease is not None) == applied
    if lease is not None:
        await lease.settle(Complete(JobResult(success=True)))
    assert (await peer.get(job_id)).attempt == int(applied)
    assert await peer.outcomes(job_id) == ([("1", "completed")] if applied else [])


async def test_a_claim_that_was_not_applied_leaves_the_job_to_others(site: Site) -> None:
    first, second, executions = await site.peer("first"), await site.peer("second"), Executions(site)
    job_id = await first.submitted("work")
    first.plan.lose(Operation.CLAIM, applied=False)
    reading_back = first.plan.hold(Operation.GET)

    draining = asyncio.create_task(first.drain())
    await reading_back.reached()
    assert (await second.drain()).completed == 1
    reading_back.release()

    assert (await draining).claimed == 0
    await assert_ran_once(first, job_id)
    assert executions.jobs.count(job_id) == 1
    assert (await first.runs(job_id))[0].worker_id == "second"


async def test_a_claim_that_arrives_late_runs_out_by_itself(site: Site) -> None:
    peer, executions = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    late = peer.store.delay(Operation.CLAIM)
    again = peer.plan.hold(Operation.CLAIM)

    draining = asyncio.create_task(peer.drain())
    await again.reached()  # it was read back, was not there, and the worker asks for work again
    assert len(await late.arrive()) == 1
    again.release()

    # Nobody knows the token of that lease, so nobody may run the job under it.
    assert (await draining).claimed == 0
    assert (await peer.get(job_id)).status is JobStatus.RUNNING
    peer.clock.jump(LEASE_SECONDS + 1)
    assert await peer.recovered() == 1
    assert (await peer.drain()).completed == 1
    assert executions.jobs == [job_id]
    assert await peer.outcomes(job_id) == [("1", "lease_lost"), ("2", "completed")]


async def test_a_late_claim_cannot_take_what_another_has_claimed(site: Site) -> None:
    first, second, executions = await site.peer("first"), await site.peer("second"), Executions(site)
    job_id = await first.submitted("work")
    late = first.store.delay(Operation.CLAIM)
    assert await first.runtime.queue.claim("first", ["default"], 1) == ([], True)
    (lease,) = await second.claimed()
    before = await snapshot(second.store)

    assert await late.arrive() == []

    assert differences(before, await snapshot(second.store)) == {}
    await lease.settle(Complete(JobResult(success=True)))
    assert await second.outcomes(job_id) == [("1", "completed")]
    assert executions.jobs == []


# --- a renewal, and what rides on it -------------------------------------------------------------------------


@APPLIED
async def test_the_answer_to_a_renewal_is_lost(site: Site, applied: bool) -> None:
    peer = await site.peer()

    @site.job("steps")
    async def steps(ctx: JobContext) -> str:
        peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=writes(ctx.job_id))
        await ctx.log("one")
        await ctx.report_progress(1, 2, "one")
        await ctx.save_checkpoint({"step": 1})
        await ctx.flush()
        await ctx.log("two")
        await ctx.report_progress(2, 2, "two")
        await ctx.flush()
        return "done"

    job_id = await peer.submitted("steps")
    report = await peer.drain()

    assert (report.claimed, report.completed) == (1, 1)
    job = await peer.get(job_id)
    assert (job.attempt, job.progress.message, job.checkpoint) == (1, "two", {"step": 1})
    assert await peer.log(job_id) == ["one", "two"]
    assert await peer.outcomes(job_id) == [("1", "completed")]


@APPLIED
async def test_the_answer_to_a_saved_result_is_lost(site: Site, applied: bool) -> None:
    peer = await site.peer()

    @site.job("saving")
    async def saving(ctx: JobContext) -> None:
        await ctx.save_result("first")
        peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=writes(ctx.job_id))
        await ctx.save_result("second " * 100_000)
        await ctx.save_result("third")

    job_id = await peer.submitted("saving")
    assert (await peer.drain()).completed == 1

    results = await peer.manager.get_job_results(job_id)
    assert results is not None
    assert results.saved == ["first", "second " * 100_000, "third"]
    assert await peer.outcomes(job_id) == [("1", "completed")]


@APPLIED
async def test_the_answer_to_an_applications_own_commit_is_lost(site: Site, applied: bool) -> None:
    peer = await site.peer()

    @site.job("applying")
    async def applying(ctx: JobContext) -> None:
        peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=writes(ctx.job_id))
        await ctx.commit([Insert("exercises", "squat", {"name": "Squat"})])
        await ctx.commit([Put("exercises", "squat", {"name": "Back squat"})])

    await peer.submitted("applying")
    assert (await peer.drain()).completed == 1
    (record,) = await peer.store.get("exercises", ["squat"])
    assert record is not None
    assert record.fields["name"] == "Back squat"


async def test_a_renewal_arrives_late_and_loses_nothing_that_came_after_it(site: Site) -> None:
    peer, _ = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    (lease,) = await peer.claimed()
    context = context_of(lease)
    late = peer.store.delay(Operation.COMMIT_EACH, when=writes(job_id))
    reading_back = peer.plan.hold(Operation.GET)
    repetition = peer.plan.hold(Operation.COMMIT_EACH, when=writes(job_id))

    await context.log("one")
    await context.report_progress(1, 2, "one")
    flushing = asyncio.create_task(context.flush())
    await reading_back.reached()
    await context.log("two")  # the handler goes on meanwhile
    await context.report_progress(2, 2, "two")
    await context.save_checkpoint({"step": 2})
    reading_back.release()
    await repetition.reached()
    await late.arrive()
    repetition.release()
    await flushing
    await context.flush()

    job = await peer.get(job_id)
    assert await peer.log(job_id) == ["one", "two"]
    assert (job.log_length, job.progress.message, job.checkpoint) == (2, "two", {"step": 2})
    await context.log("three")
    await lease.settle(Complete(JobResult(success=True)))
    assert await peer.log(job_id) == ["one", "two", "three"]
    assert await peer.outcomes(job_id) == [("1", "completed")]


async def test_a_renewal_that_landed_does_not_hide_that_the_lease_was_lost_since(site: Site) -> None:
    """The watchdog leaves the holder's write id where it is: it must not be taken for the lease."""
    holder, others, _ = await site.peer("holder"), await site.peer("others"), Executions(site)
    job_id = await holder.submitted("work")
    (lease,) = await holder.claimed()
    context = context_of(lease)
    await context.log("one")
    holder.plan.lose(Operation.COMMIT_EACH, applied=True, when=writes(job_id))
    reading_back = holder.plan.hold(Operation.GET)

    flushing = asyncio.create_task(context.flush())
    await reading_back.reached()
    others.clock.jump(LEASE_SECONDS + 1)
    assert await others.recovered() == 1
    before = await snapshot(others.store)
    reading_back.release()
    await asyncio.wait([flushing])

    with pytest.raises(LeaseLost):
        await context.save_result("stale")
    with pytest.raises(LeaseLost):
        await lease.settle(Complete(JobResult(success=True, data="stale")))
    assert differences(before, await snapshot(others.store)) == {f"runs/{job_id}-1-late": "made"}
    assert (await others.drain()).completed == 1


async def test_a_store_that_is_away_while_reading_back_is_waited_for(site: Site) -> None:
    peer, _ = await site.peer(clock=HurryingClock()), Executions(site)
    lease = await worked(peer)
    peer.plan.lose(Operation.COMMIT_EACH, applied=True, when=settles(lease.job.id))
    peer.plan.refuse(Operation.GET, times=4)

    await lease.settle(DONE)

    await assert_ran_once(peer, lease.job.id)
