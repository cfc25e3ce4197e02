"""What cannot run now never hides what can, and finding that costs nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.jobs import Job, JobContext, JobError, JobPriority, JobRequest, JobStatus
from app.jobs.events import Claim, Park, Retry, Start
from app.jobs.request import job_of
from app.jobs.transitions import transition
from tests.support.clock import NOON
from tests.support.site import LEASE_SECONDS, Peer, Site

HOUR = timedelta(hours=1)
CRITICAL = JobPriority.CRITICAL


class Ran:
    """Job types of three kinds, and which of their jobs were run."""

    def __init__(self, site: Site) -> None:
        self.jobs: list[str] = []

        @site.job("here")
        async def here(ctx: JobContext) -> None:
            self.jobs.append(ctx.job_id)

        @site.job("elsewhere", pool="gpu", requires=["licence"])
        async def elsewhere(ctx: JobContext) -> None:
            raise AssertionError("nobody here serves that pool")


async def many(peer: Peer, job_type: str, number: int, **options: object) -> list[Job]:
    """So many started jobs of one kind."""
    requests = [JobRequest.model_validate({"type": job_type, **options}) for _ in range(number)]
    return await peer.manager.create_jobs(requests, auto_start=True)


async def states(peer: Peer, jobs: list[Job]) -> list[Job]:
    """Those jobs as they are now, without what a promotion changes."""
    now = await peer.runtime.records.get([job.id for job in jobs])
    return [job.model_copy(update={"version": "", "updated_at": NOON}) for job in now if job is not None]


async def park(peer: Peer, jobs: list[Job]) -> list[Job]:
    """Park jobs, as one that meets a limit is."""
    return [await peer.runtime.queue.apply(job.id, lambda job: Park("limit:printer")) for job in jobs]


async def test_twenty_unroutable_delayed_and_parked_jobs_hide_no_due_one(site: Site) -> None:
    peer, ran = await site.peer(), Ran(site)
    waiting = [
        *await many(peer, "elsewhere", 20, priority=CRITICAL),
        *await many(peer, "here", 20, priority=CRITICAL, delay_seconds=3600),
        *await park(peer, await many(peer, "here", 20, priority=CRITICAL)),
    ]
    (due,) = await many(peer, "here", 1, priority=JobPriority.LOW)
    before = await states(peer, waiting)

    # One slot: whatever stands in the way would fill it.
    report = await peer.drain(concurrency=1)

    assert (report.claimed, report.completed, ran.jobs) == (1, 1, [due.id])
    assert await states(peer, waiting) == before


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_jobs_that_became_due_for_nobody_here_hide_no_due_one(site: Site, concurrency: int) -> None:
    """They are looked at first, because they were due first: but only once."""
    peer, ran = await site.peer(), Ran(site)
    await many(peer, "elsewhere", 30, priority=CRITICAL, delay_seconds=1)
    (late,) = await many(peer, "here", 1, priority=JobPriority.LOW, delay_seconds=2)
    (ready,) = await many(peer, "here", 1, priority=JobPriority.LOW)
    peer.clock.jump(10)

    report = await peer.drain(concurrency=concurrency)

    assert (report.claimed, report.completed, sorted(ran.jobs)) == (2, 2, sorted([late.id, ready.id]))
    for job in await peer.manager.list_jobs(type="elsewhere"):
        assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)


async def test_a_thousand_backed_off_jobs_hide_no_due_one_and_cost_nothing(site: Site) -> None:
    peer, ran = await site.peer(), Ran(site)
    await peer.runtime.queue.create([backed_off(peer, number) for number in range(1000)])
    (due,) = await many(peer, "here", 1, priority=JobPriority.LOW)
    usage = peer.store.usage
    reads, writes = usage.reads, usage.writes

    (lease,) = (await peer.runtime.queue.claim("somebody", ["default"], 20))[0]

    assert lease.job.id == due.id
    # The one found, and at most one read for each question that found nothing: two queues, and what is due.
    assert usage.reads - reads <= 4
    assert usage.writes - writes == 1
    await peer.runtime.queue.apply(due.id, lambda job: None)
    peer.clock.jump(LEASE_SECONDS + 1)
    assert await peer.recovered() == 1
    assert ((await peer.drain(concurrency=5)).completed, ran.jobs) == (1, [due.id])


def backed_off(peer: Peer, number: int) -> Job:
    """A job that failed once and waits for its second try, as the transition table leaves it."""
    runtime = peer.runtime
    request = JobRequest(type="here", priority=CRITICAL)
    job = job_of(request, peer.site.registry, NOON - HOUR, runtime.chance, 1, start=False)
    job = transition(job, Start(), NOON - HOUR)
    job = transition(job, Claim("somebody", f"token-{number}", f"write-{number}", LEASE_SECONDS), NOON - HOUR)
    return transition(job, Retry(JobError(code="BROKEN", message="it broke"), NOON + HOUR), NOON)


async def test_backed_off_jobs_come_again_when_their_time_has_come(site: Site) -> None:
    peer, ran = await site.peer(), Ran(site)
    await peer.runtime.queue.create([backed_off(peer, number) for number in range(50)])
    assert (await peer.drain()).claimed == 0
    peer.clock.jump(HOUR.total_seconds())

    assert (await peer.drain()).completed == 50
    assert len(set(ran.jobs)) == 50
