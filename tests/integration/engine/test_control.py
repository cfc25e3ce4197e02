"""Cancel and pause reach a running handler at its next write, and meet a settle in either order."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import IllegalTransition, Job, JobContext, JobError, JobExecutor, JobResult, JobStatus
from app.jobs.events import Complete, Event, Release, Retry
from app.stores.faults import Call, Operation
from tests.support.clock import NOON
from tests.support.site import Peer, Site


class Gated:
    """A handler that waits in the middle, so that a test can do something meanwhile."""

    def __init__(self, site: Site) -> None:
        self.waits = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.told: list[bool] = []
        """Whether the handler knew of a cancel: before the write, and after it."""
        self.checkpoints: list[object] = []
        """What each attempt began with."""

        @site.job("gated")
        async def gated(ctx: JobContext) -> str:
            self.checkpoints.append(ctx.checkpoint)
            await ctx.save_checkpoint({"step": len(self.checkpoints)})
            self.waits.set()
            await self.goes_on.wait()
            self.told.append(ctx.is_cancelled)
            await ctx.log("going on")
            await ctx.flush()
            self.told.append(ctx.is_cancelled)
            await ctx.save_checkpoint({"step": 10 + len(self.checkpoints)})
            return "done"


async def drained_to_the_gate(worker: Peer, gate: Gated) -> asyncio.Task[object]:
    """A worker that has come to the gate with its job, and has written nothing since."""
    draining: asyncio.Task[object] = asyncio.create_task(worker.drain())
    await gate.waits.wait()
    return draining


async def ended(person: Peer, job_id: str, draining: asyncio.Task[object]) -> Job:
    """The job after its worker has gone home, read over a person's connection: the worker's reads are counted."""
    await draining
    return await person.get(job_id)


# --- between two renewals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("requests", [1, 2], ids=["once", "twice, with another id"])
async def test_a_cancel_between_two_renewals_is_seen_at_the_next_write_for_one_read(site: Site, requests: int) -> None:
    worker, person, gate = await site.peer("worker"), await site.peer("person"), Gated(site)
    job_id = await worker.submitted("gated")
    draining = await drained_to_the_gate(worker, gate)
    for number in range(requests):
        asked = await person.manager.cancel_job(job_id, f"reason {number}")
        assert (asked.status, asked.control_action) == (JobStatus.RUNNING, "cancel")
    reads = worker.plan.calls[Operation.GET]
    gate.goes_on.set()
    job = await ended(person, job_id, draining)

    assert worker.plan.calls[Operation.GET] - reads == 1
    assert gate.told == [False, True]
    assert job.error is not None
    assert (job.status, job.error.message, job.control_action) == (
        JobStatus.CANCELLED,
        f"reason {requests - 1}",
        None,
    )
    assert await person.log(job_id) == ["going on"]
    assert await person.outcomes(job_id) == [("1", "cancelled")]


async def test_a_second_cancel_after_the_first_was_seen_is_no_problem(site: Site) -> None:
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("twice")
    async def twice(ctx: JobContext) -> None:
        for number in range(2):
            await person.manager.cancel_job(ctx.job_id, f"reason {number}")
            await ctx.log(f"line {number}")
            await ctx.flush()
            assert ctx.is_cancelled

    job_id = await worker.submitted("twice")
    await worker.drain()

    job = await worker.get(job_id)
    assert job.status is JobStatus.CANCELLED
    assert await person.log(job_id) == ["line 0", "line 1"]
    assert await person.outcomes(job_id) == [("1", "cancelled")]


async def test_a_pause_between_two_renewals_is_obeyed_at_the_next_checkpoint(site: Site) -> None:
    worker, person, gate = await site.peer("worker"), await site.peer("person"), Gated(site)
    job_id = await worker.submitted("gated")
    draining = await drained_to_the_gate(worker, gate)
    asked = await person.manager.pause_job(job_id)
    assert (asked.status, asked.control_action) == (JobStatus.RUNNING, "pause")
    reads = worker.plan.calls[Operation.GET]
    gate.goes_on.set()
    job = await ended(person, job_id, draining)

    assert worker.plan.calls[Operation.GET] - reads == 1
    assert gate.told == [False, False]
    assert (job.status, job.checkpoint, job.control_action) == (JobStatus.PAUSED, {"step": 11}, None)
    assert await person.outcomes(job_id) == [("1", "paused")]
    assert (job.retries_used, job.lease_losses) == (0, 0)

    await person.manager.resume_job(job_id)
    await worker.drain()
    job = await worker.get(job_id)
    assert (job.status, job.retries_used, job.lease_losses) == (JobStatus.COMPLETED, 0, 0)
    assert gate.checkpoints == [None, {"step": 11}]
    assert await person.outcomes(job_id) == [("1", "paused"), ("2", "completed")]


async def test_a_pause_that_was_taken_back_in_time_changes_nothing(site: Site) -> None:
    worker, person, gate = await site.peer("worker"), await site.peer("person"), Gated(site)
    job_id = await worker.submitted("gated")
    draining = await drained_to_the_gate(worker, gate)
    await person.manager.pause_job(job_id)
    await person.manager.resume_job(job_id)
    gate.goes_on.set()
    job = await ended(person, job_id, draining)

    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 1)
    assert await person.outcomes(job_id) == [("1", "completed")]


async def test_a_cancel_outweighs_a_pause_in_either_order(site: Site) -> None:
    for verbs in (("pause_job", "cancel_job"), ("cancel_job", "pause_job")):
        worker, person, gate = await site.peer("worker"), await site.peer("person"), Gated(site)
        job_id = await worker.submitted("gated")
        draining = await drained_to_the_gate(worker, gate)
        for verb in verbs:
            await getattr(person.manager, verb)(job_id)
        gate.goes_on.set()
        job = await ended(person, job_id, draining)
        assert job.status is JobStatus.CANCELLED, verbs
        assert await person.outcomes(job_id) == [("1", "cancelled")]
        site.registry.remove("gated")


async def test_an_uncancelled_running_job_costs_no_read(site: Site) -> None:
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("writing")
    async def writing(ctx: JobContext) -> None:
        for number in range(5):
            await ctx.log(f"line {number}")
            await ctx.flush()

    job_id = await worker.submitted("writing")
    (lease,) = await worker.claimed()
    before = worker.plan.calls[Operation.GET]
    executor = JobExecutor(1, registry=worker.runtime.registry, records=worker.runtime.records)
    ended = await executor.run(lease)
    assert ended is not None
    assert ended.status is JobStatus.COMPLETED
    assert worker.plan.calls[Operation.GET] == before
    assert len(await person.log(job_id)) == 5


# --- against a settle ------------------------------------------------------------------------------------------


def ends_lease(call: Call) -> bool:
    """Chooses the commits that write a run summary."""
    return any(write.collection == "runs" for unit in call.units for write in unit)


WAIT_AND_TRY_AGAIN = Retry(JobError(code="BROKEN", message="it broke"), NOON)


@pytest.mark.parametrize(
    ("event", "status", "outcome"),
    [
        pytest.param(Complete(JobResult(success=True)), JobStatus.COMPLETED, "completed", id="complete"),
        pytest.param(Release(), JobStatus.CANCELLED, "cancelled", id="release"),
        pytest.param(WAIT_AND_TRY_AGAIN, JobStatus.CANCELLED, "cancelled", id="retry"),
    ],
)
async def test_a_cancel_that_comes_just_before_the_settle(
    site: Site, event: Event, status: JobStatus, outcome: str
) -> None:
    """What is done is done; a job that would go on ends instead."""
    holder, person, _ = await site.peer("holder"), await site.peer("person"), Gated(site)
    job_id = await holder.submitted("gated")
    (lease,) = await holder.claimed()
    before = holder.plan.calls[Operation.GET]
    sending = holder.plan.hold(Operation.COMMIT_EACH, when=ends_lease)
    settling = asyncio.create_task(lease.settle(event))
    await sending.reached()
    assert (await person.manager.cancel_job(job_id)).status is JobStatus.RUNNING
    sending.release()

    assert (await settling).status is status
    job = await person.get(job_id)
    assert (job.status, job.control_action, job.lease_token) == (status, None, None)
    assert await person.outcomes(job_id) == [("1", outcome)]
    assert holder.plan.calls[Operation.GET] == before + 1


async def test_a_cancel_that_comes_just_after_the_settle(site: Site) -> None:
    holder, person, _ = await site.peer("holder"), await site.peer("person"), Gated(site)
    job_id = await holder.submitted("gated")
    (lease,) = await holder.claimed()
    sending = person.plan.hold(Operation.COMMIT_EACH)
    cancelling = asyncio.create_task(person.manager.cancel_job(job_id))
    await sending.reached()  # it has read that the job runs
    await lease.settle(Complete(JobResult(success=True)))
    sending.release()

    with pytest.raises(IllegalTransition, match="completed and cannot cancel"):
        await cancelling
    job = await person.get(job_id)
    assert (job.status, job.control_action) == (JobStatus.COMPLETED, None)
    assert await person.outcomes(job_id) == [("1", "completed")]


async def test_a_cancel_that_meets_a_release_cancels_the_queued_job(site: Site) -> None:
    holder, person, _ = await site.peer("holder"), await site.peer("person"), Gated(site)
    job_id = await holder.submitted("gated")
    (lease,) = await holder.claimed()
    sending = person.plan.hold(Operation.COMMIT_EACH)
    cancelling = asyncio.create_task(person.manager.cancel_job(job_id))
    await sending.reached()
    await lease.settle(Release())
    sending.release()

    assert (await cancelling).status is JobStatus.CANCELLED
    assert await person.outcomes(job_id) == [("1", "released")]


async def test_of_a_claim_and_a_cancel_one_comes_first(site: Site) -> None:
    """Either the job never runs, or its holder is told; never is the cancel forgotten."""
    holder, person, gate = await site.peer("holder"), await site.peer("person"), Gated(site)
    job_id = await holder.submitted("gated")
    sending = person.plan.hold(Operation.COMMIT_EACH)
    cancelling = asyncio.create_task(person.manager.cancel_job(job_id))
    await sending.reached()  # it has read that the job waits
    draining = await drained_to_the_gate(holder, gate)
    sending.release()
    assert (await cancelling).status is JobStatus.RUNNING
    gate.goes_on.set()

    assert (await ended(person, job_id, draining)).status is JobStatus.CANCELLED
    assert gate.told == [False, True]
    assert await person.outcomes(job_id) == [("1", "cancelled")]
