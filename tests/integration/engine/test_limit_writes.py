"""What a backlog behind a narrow limit costs: a few writes for each job, however many wait and however often."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from app.jobs import JobRequest
from app.stores.base import Query
from tests.support.clock import FakeClock
from tests.support.late_store import LateStore
from tests.support.site import OPTIONS, Peer, Site
from tests.support.worker_processes import PATIENCE_SECONDS
from tests.support.written import CountingStore, Written

WORKERS = 3
JOBS = {"memory": 10_000, "sqlite": 500}
"""On a disk that takes each write for itself, one job after the other takes a hundredth of a second."""
PLAIN_WRITES = 3
"""Created, claimed and settled: what any job costs."""
EXTRA_WRITES = 2


@pytest.mark.parametrize("store_url", ["memory", "sqlite"], indirect=True)
async def test_no_job_of_a_large_backlog_behind_a_limit_of_one_is_written_often(site: Site) -> None:
    """It is the job written most often that counts, not the average: none is let go and parked again and again.

    No time goes by: a store that answers late is not to look like a worker that has nothing to do.
    """
    jobs = JOBS[site.url.partition(":")[0]]
    at_once = most = 0

    @site.job("narrow", max_concurrent=1)
    async def narrow() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1

    written: Written = Counter()
    clock = FakeClock()
    peers = [
        Peer(site, LateStore(CountingStore(await site.open_store(), written)), clock, f"{number}", OPTIONS)
        for number in range(WORKERS)
    ]
    await peers[0].manager.create_jobs([JobRequest(type="narrow") for _ in range(jobs)], auto_start=True)
    workers = [peer.worker(concurrency=10) for peer in peers]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    end = time.monotonic() + PATIENCE_SECONDS
    while await peers[0].store.count(Query("jobs.list", {"status": "completed"})) < jobs:
        assert time.monotonic() < end, "jobs are left over"
        await asyncio.sleep(0.2)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*running)

    counts = {record_id: number for (collection, record_id), number in written.items() if collection == "jobs"}
    assert len(counts) == jobs
    assert most == 1
    assert min(counts.values()) >= PLAIN_WRITES
    assert max(counts.values()) <= PLAIN_WRITES + EXTRA_WRITES
