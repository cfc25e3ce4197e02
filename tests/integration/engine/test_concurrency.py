"""`max_concurrent` over the whole fleet: never more at once, nothing hidden, and what is free is used."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import JobResult, JobStatus, Watchdog
from app.jobs.events import Complete
from app.jobs.permits import LIFE
from app.stores.faults import Operation
from tests.support.site import LEASE_SECONDS, Peer, Site, pass_time

DONE = Complete(JobResult(success=True))


class Gauge:
    """A limited type whose handler counts how many of it run at once."""

    def __init__(self, site: Site, at_once: int, *, gated: bool = False) -> None:
        self.now = self.most = self.ended = 0
        self.begun: list[str] = []
        self.has_begun = asyncio.Event()
        self.gate = asyncio.Event()
        if not gated:
            self.gate.set()

        @site.job("narrow", max_concurrent=at_once)
        async def narrow(name: str = "") -> None:
            self.now += 1
            self.begun.append(name)
            self.has_begun.set()
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            await self.gate.wait()
            self.now -= 1
            self.ended += 1

        @site.job("wide")
        async def wide(name: str = "") -> None:
            self.begun.append(name)


async def statuses(peer: Peer, job_ids: list[str]) -> set[JobStatus]:
    return {(await peer.get(job_id)).status for job_id in job_ids}


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_run_at_once_than_may_whoever_claims(site: Site, at_once: int) -> None:
    gauge = Gauge(site, at_once)
    peers = [await site.peer(f"worker-{number}") for number in range(3)]
    jobs = [await peers[0].submitted("narrow") for _ in range(12)]
    await asyncio.gather(*(peer.drain(concurrency=4) for peer in peers))
    await peers[0].drain()
    assert gauge.most <= at_once
    assert await statuses(peers[0], jobs) == {JobStatus.COMPLETED}
    # The last permit has been given back, so that nothing is left behind.
    assert await peers[0].runtime.limits.permits.free_count("narrow") == at_once


async def test_jobs_over_the_limit_hide_no_other_and_go_on_by_priority(site: Site) -> None:
    gauge = Gauge(site, 1, gated=True)
    peer = await site.peer()
    for number in range(6):
        await peer.submitted("narrow", {"name": f"low {number}"}, priority="low")
        peer.clock.jump(0.001)
    await peer.submitted("narrow", {"name": "first"}, priority="high")
    draining = asyncio.create_task(peer.drain(concurrency=3))
    await gauge.has_begun.wait()
    await peer.submitted("wide", {"name": "another type"}, priority="low")
    while len(gauge.begun) < 2:
        await pass_time(0.5, peer)
    gauge.gate.set()
    await draining
    assert gauge.begun == ["first", "another type", *(f"low {number}" for number in range(6))]
    assert gauge.most == 1


async def test_a_job_over_the_limit_is_written_once_more_than_another(site: Site) -> None:
    gauge = Gauge(site, 1)
    peer = await site.peer()
    jobs = [await peer.submitted("narrow") for _ in range(8)]
    await peer.drain(concurrency=4)
    assert gauge.ended == 8
    # Created, parked, claimed and settled; never let go and parked again.
    assert {(await peer.get(job_id)).revision for job_id in jobs} == {3, 4}
    assert {(await peer.get(job_id)).attempt for job_id in jobs} == {1}


async def test_the_place_of_a_crashed_worker_is_free_when_its_permit_has_run_out(site: Site) -> None:
    gauge = Gauge(site, 1)
    crashed, other = await site.peer("crashed"), await site.peer("other")
    first = await other.submitted("narrow")
    other.clock.jump(0.001)
    second = await other.submitted("narrow")
    await crashed.claimed()  # and never heard of again
    await other.drain()
    assert (await other.get(second)).parked_on == "limit:narrow"

    other.clock.jump(LEASE_SECONDS + 1)
    report = await Watchdog(other.runtime).run()
    assert (report.recovered, report.unparked) == (1, 0)
    await other.drain()
    assert gauge.ended == 0  # the permit outlives every lease that was taken under it

    other.clock.jump(LEASE_SECONDS * (LIFE - 1))
    await other.drain()
    assert gauge.ended == 2
    assert await statuses(other, [first, second]) == {JobStatus.COMPLETED}


async def test_the_watchdog_lets_go_on_what_a_crash_left_parked(site: Site) -> None:
    Gauge(site, 2)
    crashed, watchdog = await site.peer("crashed"), await site.peer("watchdog")
    jobs = [await crashed.submitted("narrow") for _ in range(4)]
    await crashed.claimed(2)
    assert (await crashed.runtime.queue.claim("crashed", ["default"], 2))[0] == []
    places = [(await watchdog.get(job_id)).parked_on for job_id in jobs]
    assert sorted(map(str, places)) == ["None", "None", "limit:narrow", "limit:narrow"]
    watchdog.clock.jump(LEASE_SECONDS * LIFE)
    report = await Watchdog(watchdog.runtime).run()
    assert (report.recovered, report.unparked) == (2, 2)


async def test_a_permit_given_back_between_a_claim_and_its_parking_is_found(site: Site) -> None:
    """The claim that found the type full parks its job after the last look of whoever gave the permit back."""
    gauge = Gauge(site, 1)
    holder, other = await site.peer("holder"), await site.peer("other")
    await holder.submitted("narrow")
    (lease,) = await holder.claimed()
    job_id = await other.submitted("narrow")
    # The first claim finds out that the type is full, the second parks the job.
    hold = other.plan.hold(Operation.CLAIM, skip=1)
    draining = asyncio.create_task(other.drain())
    await hold.reached()
    await lease.settle(DONE)
    await holder.drain()  # its permit is idle, nobody waits, and it is given back
    hold.release()
    await draining
    assert (await other.get(job_id)).status is JobStatus.COMPLETED
    assert gauge.begun == [""]


async def test_a_zombies_permit_is_refused_and_its_job_stops(site: Site) -> None:
    gauge = Gauge(site, 1, gated=True)
    zombie, other = await site.peer("zombie"), await site.peer("other")
    first, second = await zombie.submitted("narrow", {"name": "a"}), await zombie.submitted("narrow", {"name": "b"})
    working = asyncio.create_task(zombie.drain(concurrency=1))  # it has no room for more
    await gauge.has_begun.wait()
    other.clock.jump(LEASE_SECONDS * LIFE)
    await Watchdog(other.runtime).run()
    (lease,) = await other.claimed()
    while not working.done():
        await pass_time(1.0, zombie)  # its renewals meet what others wrote
    await working
    assert zombie.runtime.limits.permits.held == []
    assert (await other.get(lease.job.id)).status is JobStatus.RUNNING
    assert gauge.ended == 0
    assert {first, second} == {lease.job.id, *({first, second} - {lease.job.id})}
    assert await other.runtime.limits.permits.free_count("narrow") == 0


async def test_an_idle_permit_is_given_back_and_the_next_job_is_offered_to_others(site: Site) -> None:
    Gauge(site, 1)
    peer, other = await site.peer("one"), await site.peer("other")
    await peer.submitted("narrow")
    (lease,) = await peer.claimed()
    waiting = await other.submitted("narrow")
    await other.drain()
    assert (await other.get(waiting)).parked_on == "limit:narrow"
    permits = peer.runtime.limits.permits
    await permits.close()
    assert len(permits.held) == 1  # it is in use
    await lease.settle(DONE)
    await permits.close()
    assert list(permits.held) == []
    assert (await other.get(waiting)).ready_at is not None
