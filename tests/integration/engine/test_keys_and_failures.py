"""Uniqueness keys, failures' jobs and bulk requeue, alike on every store."""

from __future__ import annotations

import asyncio
from typing import Any

from app.jobs import JobContext, JobStatus, Watchdog
from tests.support.site import Site

CREATORS = 6


def register(site: Site) -> list[dict[str, Any]]:
    """A type that fails, and one that is told."""
    told: list[dict[str, Any]] = []

    @site.job("alarm")
    async def alarm(ctx: JobContext, **about: Any) -> None:
        told.append(about)

    @site.job("fails", on_failure="alarm", max_retries=0)
    async def fails(ctx: JobContext, number: int = 0) -> None:
        if ctx.attempt == 1:
            raise ValueError(f"number {number}")

    return told


async def test_of_many_that_create_at_once_with_one_key_a_single_one_does(site: Site) -> None:
    told = register(site)
    peers = [await site.peer(str(number)) for number in range(CREATORS)]
    for _ in range(2):  # the second time the key is taken over
        jobs = await asyncio.gather(*(peer.manager.submit("fails", unique="while_active") for peer in peers))
        assert len({job.id for job in jobs}) == 1
        assert sorted(job.existing for job in jobs) == [False, *[True] * (CREATORS - 1)]
        await peers[0].drain()
    assert await peers[0].manager.count_jobs(type="fails") == len(told) == 2
    for peer in peers:
        peer.clock.jump(3601)
    watched = await asyncio.gather(*(Watchdog(peer.runtime).cleanup_idempotency_records() for peer in peers[:2]))
    assert sum(watched) == 1


async def test_failures_are_followed_once_and_run_again_at_a_rate(site: Site) -> None:
    told = register(site)
    peer = await site.peer()
    ids = [await peer.submitted("fails", {"number": number}) for number in range(5)]
    await peer.drain()
    assert sorted(each["error"]["message"] for each in told) == [f"number {number}" for number in range(5)]
    assert await peer.manager.retry_jobs(type="fails", rate_per_second=0.1, limit=4) == 4
    assert (await peer.drain(concurrency=1)).completed == 1
    peer.clock.jump(30)
    await peer.drain()
    statuses = [(await peer.get(job_id)).status for job_id in ids]
    assert sorted(statuses) == [JobStatus.COMPLETED] * 4 + [JobStatus.FAILED]
    assert await peer.manager.count_jobs(type="alarm") == 5


async def test_what_takes_turns_does_so_however_it_was_created(site: Site) -> None:
    at_once = most = 0

    @site.job("turns", preserve_order=True, cron="0 * * * *", overlap=True)
    async def turns(ctx: JobContext, number: int = 0) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1

    peer = await site.peer()
    await peer.manager.sync_schedules()
    assert await peer.manager.backfill_schedule("turns", "2026-11-02T08:00") == 4
    await peer.manager.trigger_schedule("turns")
    for number in range(3):
        await peer.manager.submit("turns", {"number": number}, unique=60)
    await peer.drain()
    assert await peer.manager.count_jobs(status="completed") == 8
    assert most == 1
