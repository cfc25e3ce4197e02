"""A worker that is told to stop gives every lease back, uncounted, whatever it was doing."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import ContinueLater, JobContext, JobStatus
from app.stores.faults import Operation
from tests.support.clock import settle
from tests.support.site import OPTIONS, Peer, Site


class Started:
    """Handlers of several manners, and how often each job was begun."""

    def __init__(self, site: Site) -> None:
        self.jobs: list[str] = []
        self.at_work = asyncio.Semaphore(0)

        @site.job("long")
        async def long(ctx: JobContext) -> None:
            await self._begin(ctx)
            if ctx.worker_id == "stopping":
                await asyncio.Event().wait()

        @site.job("heedful")
        async def heedful(ctx: JobContext) -> None:
            await self._begin(ctx)
            while ctx.worker_id == "stopping":
                await asyncio.sleep(0.001)
                if ctx.is_stopping:
                    raise ContinueLater(checkpoint={"at": 7})
            assert ctx.checkpoint == ({"at": 7} if ctx.attempt == 2 else None)

    async def _begin(self, ctx: JobContext) -> None:
        self.jobs.append(ctx.job_id)
        self.at_work.release()


async def stopped(peer: Peer, working: asyncio.Task[object], *, hanging: int = 0) -> None:
    """Let the worker end, in the time that it has for that on its own clock; so many calls are never answered."""
    began = peer.clock.monotonic()
    while not working.done():
        await asyncio.wait({working}, timeout=0.01)
        # Servers answer in their own time: no other goes by meanwhile.
        if peer.store.under_way <= hanging and peer.clock.monotonic() - began < OPTIONS.shutdown_seconds:
            await peer.clock.advance(0.1)
    await working


async def assert_given_back(peer: Peer, job_id: str, outcome: str) -> None:
    job = await peer.get(job_id)
    assert (job.status, job.retries_used, job.lease_losses, job.worker_id) == (JobStatus.QUEUED, 0, 0, None)
    (run,) = await peer.runs(job_id)
    assert (run.attempt, str(run.outcome), run.counted) == (1, outcome, False)


@pytest.mark.parametrize(("job_type", "outcome"), [("long", "released"), ("heedful", "sliced")])
async def test_a_stopped_worker_gives_its_leases_back(site: Site, job_type: str, outcome: str) -> None:
    peer, others, started = await site.peer("stopping"), await site.peer("others"), Started(site)
    job_ids = [await peer.submitted(job_type) for _ in range(5)]
    worker = peer.worker(concurrency=3)
    working: asyncio.Task[object] = asyncio.create_task(worker.run())
    for _ in range(3):
        await started.at_work.acquire()
    worker.stop()
    await stopped(peer, working)

    begun = started.jobs.copy()
    assert len(begun) == 3
    for job_id in begun:
        await assert_given_back(others, job_id, outcome)
    for job_id in set(job_ids) - set(begun):
        job = await others.get(job_id)
        assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    assert (await others.drain()).completed == 5
    for job_id in begun:
        assert await others.outcomes(job_id) == [("1", outcome), ("2", "completed")]


async def test_a_job_whose_data_is_still_being_read_is_given_back_too(site: Site) -> None:
    peer, others, started = await site.peer("stopping"), await site.peer("others"), Started(site)
    job_id = await peer.submitted("long", settings={"large": "x" * 300_000})
    reading = peer.plan.hold(Operation.GET)
    worker = peer.worker(concurrency=1)
    working: asyncio.Task[object] = asyncio.create_task(worker.run())
    await reading.reached()
    worker.stop()
    await settle()  # the worker has heard it
    reading.release()
    await stopped(peer, working)

    assert started.jobs == []
    await assert_given_back(others, job_id, "released")


async def test_a_claim_that_is_answered_during_the_shutdown_is_given_back_too(site: Site) -> None:
    """Its jobs are leased, but nobody has begun them: nothing may be started then, and nothing left to run out."""
    peer, others, started = await site.peer("stopping"), await site.peer("others"), Started(site)
    job_ids = [await peer.submitted("long") for _ in range(3)]
    answering = peer.plan.hold(Operation.CLAIM, applied=True)
    worker = peer.worker()
    working: asyncio.Task[object] = asyncio.create_task(worker.run())
    await answering.reached()
    assert {job.status for job in await others.manager.list_jobs()} == {JobStatus.RUNNING}
    worker.stop()
    answering.release()
    await stopped(peer, working)

    assert started.jobs == []
    for job_id in job_ids:
        await assert_given_back(others, job_id, "released")


@pytest.mark.parametrize("applied", [False, True], ids=["not sent", "not answered"])
async def test_a_claim_that_nobody_answers_keeps_no_lease_from_being_given_back(site: Site, applied: bool) -> None:
    """A worker asks for more while it works; a store that hangs then must not cost the time for shutting down."""
    peer, others, started = await site.peer("stopping"), await site.peer("others"), Started(site)
    job_id = await peer.submitted("long")
    asking = peer.plan.hold(Operation.CLAIM, applied=applied, skip=1, times=2)
    worker = peer.worker(concurrency=2)
    working: asyncio.Task[object] = asyncio.create_task(worker.run())
    await started.at_work.acquire()
    await asking.reached()
    worker.stop()
    await stopped(peer, working, hanging=1)

    await assert_given_back(others, job_id, "released")
    asking.release()
