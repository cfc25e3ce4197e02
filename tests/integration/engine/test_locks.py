"""`ctx.lock`: one holder at a time, freed by its end and by its death, and never a zombie's."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from app.jobs import BlockingJobContext, JobContext, JobStatus, LockTaken, Watchdog
from app.jobs.limits import Limit, limit_name
from app.jobs.locks import EPOCH_SECONDS
from app.stores.faults import Operation
from tests.support.site import LEASE_SECONDS, Peer, Site, pass_time


class Ledger:
    """Handlers that need one lock, and note what they did with it."""

    def __init__(self, site: Site) -> None:
        self.entries: list[str] = []
        self.epochs: list[int] = []
        self.now = self.most = 0
        self.inside = asyncio.Event()
        self.gate = asyncio.Event()

        @site.job("book")
        async def book(ctx: JobContext, name: str, gated: bool = False, wait: float = 0.0) -> None:
            async with ctx.lock("ledger / main", wait_seconds=wait) as lock:
                self.now += 1
                self.most = max(self.most, self.now)
                self.epochs.append(lock.epoch)
                self.inside.set()
                if gated:
                    await self.gate.wait()
                await asyncio.sleep(0)
                self.entries.append(name)
                self.now -= 1

        @site.job("try")
        async def tried(ctx: JobContext) -> str:
            try:
                async with ctx.lock("ledger / main", park=False):
                    return "mine"
            except LockTaken as taken:
                return taken.name

        @site.job("sync")
        def sync(ctx: BlockingJobContext, name: str) -> int:
            with ctx.lock("ledger / main") as lock:
                self.entries.append(f"{name} in a thread: {threading.current_thread() is not threading.main_thread()}")
                return lock.epoch


async def book(peer: Peer, name: str, **payload: Any) -> str:
    peer.clock.jump(0.001)
    return await peer.submitted("book", {"name": name, **payload})


async def test_one_job_at_a_time_has_a_lock_and_none_is_forgotten(site: Site) -> None:
    ledger = Ledger(site)
    peer, other = await site.peer(), await site.peer("other")
    jobs = [await book(peer, f"{number}") for number in range(6)]
    await asyncio.gather(peer.drain(concurrency=3), other.drain(concurrency=3))
    await peer.drain()
    assert ledger.most == 1
    assert sorted(ledger.entries) == [f"{number}" for number in range(6)]
    assert ledger.epochs == sorted(set(ledger.epochs))
    for job_id in jobs:
        job = await peer.get(job_id)
        assert (job.status, job.retries_used, job.lease_losses) == (JobStatus.COMPLETED, 0, 0)
    assert (await Watchdog(peer.runtime).run()).deleted_locks == 0


async def test_who_meets_a_held_lock_is_parked_uncounted_and_goes_on_when_it_is_free(site: Site) -> None:
    ledger = Ledger(site)
    holder, other = await site.peer("holder"), await site.peer("other")
    await book(holder, "first", gated=True)
    holding = asyncio.create_task(holder.drain(concurrency=1))
    await ledger.inside.wait()
    second = await book(other, "second")
    asked = await other.submitted("try")
    await other.drain()
    job = await other.get(second)
    assert job.parked_on is not None
    assert job.parked_on.startswith("lock:")
    assert (job.retries_used, job.lease_losses) == (0, 0)
    assert await other.outcomes(second) == [("1", "parked")]
    result = (await other.get(asked)).result
    assert result is not None
    assert result.data == "ledger / main"
    assert (await Watchdog(other.runtime).run()).unparked == 0

    ledger.gate.set()
    await holding
    await other.drain()
    assert ledger.entries == ["first", "second"]


async def test_a_job_can_wait_in_place(site: Site) -> None:
    ledger = Ledger(site)
    peer = await site.peer()
    await book(peer, "first", gated=True)
    waiting = asyncio.create_task(peer.drain(concurrency=2))
    await ledger.inside.wait()
    second = await book(peer, "second", wait=30.0)
    while (await peer.get(second)).status is not JobStatus.RUNNING:
        await pass_time(0.1, peer)
    ledger.gate.set()
    while not waiting.done():
        await pass_time(0.5, peer)
    assert ledger.entries == ["first", "second"]
    assert (await peer.get(second)).attempt == 1


async def test_a_sync_handler_has_locks_too(site: Site) -> None:
    ledger = Ledger(site)
    peer = await site.peer()
    job_id = await peer.submitted("sync", {"name": "sync"})
    await peer.drain()
    assert ledger.entries == ["sync in a thread: True"]
    assert (await peer.get(job_id)).status is JobStatus.COMPLETED


async def test_a_dead_holders_lock_is_free_and_a_zombie_cannot_use_its_own(site: Site) -> None:
    ledger = Ledger(site)
    zombie, other = await site.peer("zombie"), await site.peer("other")
    await book(zombie, "zombie", gated=True)
    holding = asyncio.create_task(zombie.drain(concurrency=1))
    await ledger.inside.wait()
    await book(other, "second")
    await other.drain()

    other.clock.jump(LEASE_SECONDS + 1)
    report = await Watchdog(other.runtime).run()
    assert (report.recovered, report.unparked) == (1, 1)
    (first_epoch,) = ledger.epochs
    lease = (await other.claimed(2))[0]
    locks = other.runtime.limits.locks
    held = await locks.take(lease, "ledger / main")
    assert held is not None
    assert held.epoch > first_epoch

    ledger.gate.set()  # the zombie comes back, and wants to give back what is not its own any more
    await holding
    (record,) = await other.store.get("limits", [held.name])
    assert record is not None
    assert (record.fields["epoch"], record.fields["holder"]) == (held.epoch, lease.token)
    assert ledger.entries == ["zombie"]  # what a lock cannot keep a zombie from: the epoch is for that


async def test_a_lock_given_back_between_the_try_and_the_parking_is_found(site: Site) -> None:
    ledger = Ledger(site)
    holder, other = await site.peer("holder"), await site.peer("other")
    await book(holder, "first", gated=True)
    holding = asyncio.create_task(holder.drain(concurrency=1))
    await ledger.inside.wait()
    second = await book(other, "second")
    hold = other.plan.hold(Operation.COMMIT_EACH, when=lambda call: call.touches("jobs", second))
    draining = asyncio.create_task(other.drain())
    await hold.reached()  # it is about to be parked
    ledger.gate.set()
    await holding  # the lock is given back, and nobody waits
    hold.release()
    await draining
    assert ledger.entries == ["first", "second"]


async def test_locks_of_dead_holders_are_cleaned_up_and_those_of_living_ones_are_not(site: Site) -> None:
    ledger = Ledger(site)
    crashed, other = await site.peer("crashed"), await site.peer("other")
    await book(crashed, "first")
    (lease,) = await crashed.claimed()
    assert await crashed.runtime.limits.locks.take(lease, "ledger / main") is not None
    for peer in (crashed, other):
        peer.clock.jump(LEASE_SECONDS * 0.6)
    await lease.flush()
    other.clock.jump(LEASE_SECONDS * 0.6)
    watchdog = Watchdog(other.runtime)
    assert await watchdog.cleanup_expired_locks() == 0
    other.clock.jump(LEASE_SECONDS * 2)
    assert await watchdog.recover_stuck_jobs() == 1
    assert await watchdog.cleanup_expired_locks(dry_run=True) == 1
    assert await watchdog.cleanup_expired_locks() == 1
    assert await watchdog.cleanup_expired_locks() == 0
    other.clock.jump(EPOCH_SECONDS + 1)
    assert await watchdog.cleanup_expired_locks() == 1
    assert await other.store.get("limits", [limit_name(Limit.LOCK, "ledger / main")]) == [None]
    assert ledger.entries == []
