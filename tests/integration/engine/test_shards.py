"""Jobs lie in the shard that their creator chose, and every worker finds them, whatever its own setting is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from app.jobs import Job, JobRequest
from app.jobs.options import MAX_SHARDS
from app.jobs.shards import WIDE_SECONDS
from tests.support.clock import FakeClock
from tests.support.site import OPTIONS, Peer, Site

LOOKS = 8
"""After so many a worker of one route has looked everywhere, however little it finds on the way."""


async def created(peer: Peer, count: int) -> list[Job]:
    requests = [JobRequest(type="noop") for _ in range(count)]
    return list(await peer.manager.create_jobs(requests, auto_start=True))


@pytest.mark.parametrize(("creators", "own"), [(MAX_SHARDS, 1), (MAX_SHARDS, 4), (1, 16)])
async def test_no_job_stays_in_a_shard_that_its_worker_did_not_know_of(site: Site, creators: int, own: int) -> None:
    """Given creators with one number of shards and a worker with another, every job is run, once."""
    ran: Counter[str] = Counter()
    site.job("noop")(lambda ctx: ran.update([ctx.job_id]))
    clock = FakeClock()
    creator = await site.peer("creator", clock=clock, options=replace(OPTIONS, shards=creators))
    worker = await site.peer("worker", clock=clock, options=replace(OPTIONS, shards=own))
    jobs = await created(creator, 20)
    # A worker looks a part further at a time: after so many looks it has seen everything.
    for _ in range(LOOKS):
        await worker.drain()
        clock.jump(WIDE_SECONDS)
    assert sorted(ran) == sorted(job.id for job in jobs)
    assert set(ran.values()) == {1}


async def test_what_was_found_in_a_further_shard_is_asked_from_then_on(site: Site) -> None:
    """Given a worker that ran a job of a higher shard, when more come there, then it need not wait to find them."""
    site.job("noop")(lambda: None)
    clock = FakeClock()
    creator = await site.peer("creator", clock=clock, options=replace(OPTIONS, shards=MAX_SHARDS))
    worker = await site.peer("worker", clock=clock, options=replace(OPTIONS, shards=1))
    await created(creator, 20)
    for _ in range(LOOKS):
        await worker.drain()
        clock.jump(WIDE_SECONDS)
    highest = max(job.shard for job in await creator.manager.list_jobs(limit=100))
    await worker.drain()  # the wider look of this moment is taken
    more = [job for job in await created(creator, 40) if job.shard <= highest]
    report = await worker.drain()
    assert more
    assert report.completed >= len(more)
