"""`rate_limit`: jobs of a type begin evenly over the whole fleet, and hide no others meanwhile."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from app.jobs import EngineOptions, JobStatus, Watchdog
from app.jobs.rates import AHEAD_SECONDS, LATE
from tests.support.clock import FakeClock
from tests.support.site import Peer, Site, pass_time

SECOND = timedelta(seconds=1)
PATIENT = EngineOptions(lease_seconds=600.0)
"""Jobs of these tests wait for minutes."""
ROUNDS = 200
"""So often workers come back at most: several times as often as the rates here ask for."""


async def work(peers: list[Peer]) -> None:
    """Let each work until there is nothing more to do soon."""
    drains = [asyncio.create_task(peer.drain(concurrency=10)) for peer in peers]
    while not all(drain.done() for drain in drains):
        await pass_time(0.05, *peers)
    for drain in drains:
        drain.result()


class Begins:
    """A type with a rate, whose handler notes when it began; and one without."""

    def __init__(self, site: Site, rate: str) -> None:
        self.times: list[datetime] = []
        self.wide = 0

        @site.job("slow", rate_limit=rate)
        async def slow() -> None:
            self.times.append(self.peers[0].clock.now())

        @site.job("wide")
        async def wide() -> None:
            self.wide += 1

        self.peers: list[Peer] = []

    async def until(self, number: int, seconds: float) -> None:
        """Let the peers work, and be away for so many seconds in between, until so many have begun."""
        for _ in range(ROUNDS):
            if len(self.times) >= number:
                break
            self.peers[0].clock.jump(seconds)
            await work(self.peers)
        assert len(self.times) == number


async def test_jobs_begin_no_more_often_than_the_rate_says_on_all_workers_together(site: Site) -> None:
    begins, clock = Begins(site, "1/10s"), FakeClock()
    begins.peers = [await site.peer(name, clock=clock, options=PATIENT) for name in ("one", "two")]
    jobs = [await begins.peers[0].submitted("slow") for _ in range(4)]
    await begins.peers[0].submitted("wide", priority="low")
    await work(begins.peers)
    assert begins.wide == 1
    await begins.until(4, 2.0)
    assert (begins.times[-1] - begins.times[0]) >= 30 * SECOND - LATE
    for job_id in jobs:
        job = await begins.peers[0].get(job_id)
        assert (job.status, job.attempt, job.allowed_at) == (JobStatus.COMPLETED, 1, None)


async def test_what_is_too_far_ahead_is_parked_and_goes_on_in_time_without_the_watchdog(site: Site) -> None:
    begins, clock = Begins(site, "1/30s"), FakeClock()
    peer = await site.peer(clock=clock, options=PATIENT)
    begins.peers = [peer]
    jobs = [await peer.submitted("slow") for _ in range(6)]
    await peer.drain(concurrency=10)
    waits = [await peer.get(job_id) for job_id in jobs]
    parked = [job for job in waits if job.parked_on == "rate:slow"]
    assert len(parked) == 6 - 1 - int(AHEAD_SECONDS // 30)
    await begins.until(6, 10.0)
    assert (begins.times[-1] - begins.times[0]) >= 150 * SECOND - LATE


async def test_the_watchdog_gives_a_parked_job_its_time_which_wakes_a_worker_for_the_others(site: Site) -> None:
    begins, clock = Begins(site, "1/30s"), FakeClock()
    peer, other = await site.peer(clock=clock, options=PATIENT), await site.peer("other")
    begins.peers = [peer]
    for _ in range(5):
        await peer.submitted("slow")
    await peer.drain(concurrency=10)
    other.clock.jump(60)
    assert [(await Watchdog(other.runtime).run()).unparked for _ in range(3)] == [1, 1, 0]
