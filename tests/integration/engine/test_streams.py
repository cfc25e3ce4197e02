"""What a job adds is followed from another process, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from app.jobs import JobContext, JobStatus, SystemClock
from app.jobs.events import BeWatched, Complete
from app.jobs.models import JobResult
from tests.support.clock import NOON
from tests.support.site import Site

T = TypeVar("T")
PARTS = 3
PATIENCE_SECONDS = 60.0


class Ear:
    """What one subscriber has heard."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self._grown = asyncio.Event()

    def hear(self, what: object) -> None:
        self.heard.append(what)
        self._grown.set()

    async def has(self, number: int) -> None:
        """Wait until so much has been heard."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.heard) < number:
                self._grown.clear()
                await self._grown.wait()


async def listen(feed: AsyncIterator[T], ear: Ear, *names: str) -> None:
    async for each in feed:
        ear.hear(tuple(getattr(each, name) for name in names))


async def test_log_results_and_progress_are_followed_while_the_job_runs_elsewhere(site: Site) -> None:
    here = await site.peer("here", clock=SystemClock())
    there = await site.peer("there", clock=SystemClock())
    log, results, progress = Ear(), Ear(), Ear()

    @site.job("talk")
    async def talk(ctx: JobContext) -> None:
        for part in range(1, PARTS + 1):
            await ctx.log(f"part {part}")
            await ctx.report_progress(part, PARTS)
            await ctx.save_result(part)
            # Nobody hears the next part before this one: so it is heard while the job runs.
            await asyncio.gather(*(ear.has(part) for ear in (log, results, progress)))

    job_id = await here.submitted("talk")
    listening = [
        asyncio.create_task(listen(here.manager.subscribe_logs(job_id), log, "number", "message")),
        asyncio.create_task(listen(here.manager.subscribe_results(job_id), results, "number", "data")),
        asyncio.create_task(listen(here.manager.subscribe_progress(job_id), progress, "current")),
    ]
    report = await there.drain()
    await asyncio.wait_for(asyncio.gather(*listening), PATIENCE_SECONDS)

    assert report.completed == 1
    assert log.heard == [(number, f"part {number}") for number in range(1, PARTS + 1)]
    assert results.heard == [(number, number) for number in range(1, PARTS + 1)]
    assert progress.heard == [(float(number),) for number in range(1, PARTS + 1)]
    # It is stored, so it can be taken up again anywhere, by anybody.
    later = Ear()
    await listen(there.manager.subscribe_logs(job_id, after=2), later, "number")
    assert later.heard == [(3,)]


async def test_a_holder_is_not_disturbed_by_being_told_that_it_is_watched(site: Site) -> None:
    holder, follower = await site.peer("holder"), await site.peer("follower")

    @site.job("quiet")
    async def quiet(ctx: JobContext) -> None:
        raise AssertionError("nobody runs it")

    job_id = await holder.submitted("quiet")
    (lease,) = await holder.claimed()
    lease.add_log("INFO", "before")
    job = await follower.get(job_id)
    await follower.runtime.queue.change(job, BeWatched(NOON))
    await lease.flush()  # meets what the follower wrote, and is written again
    assert lease.job.watched_until == NOON

    job = await follower.get(job_id)
    await follower.runtime.queue.change(job, BeWatched(NOON.replace(hour=13)))
    lease.add_log("INFO", "after")
    ended = await lease.settle(Complete(JobResult(success=True)))

    assert (ended.status, await holder.log(job_id)) == (JobStatus.COMPLETED, ["before", "after"])
    assert await holder.outcomes(job_id) == [("1", "completed")]
