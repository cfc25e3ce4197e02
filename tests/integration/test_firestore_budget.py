"""What the whole engine asks of Firestore: manager, queue, worker and store together, counted on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from app.jobs import AsyncJobManager, Job, JobStatus, Runtime, Worker
from app.jobs.shards import WIDE_SECONDS
from app.stores.base import Usage
from bench import firestore_scenarios as scenarios
from bench.rpc_counter import Counts, RpcCounter, counted_rpcs
from tests.support.clock import FakeClock

BATCH = scenarios.BATCH


@pytest.fixture
def counter() -> Iterator[RpcCounter]:
    with counted_rpcs() as counter:
        yield counter


@pytest.fixture
def clock() -> FakeClock:
    """Stands still, so that neither a slow machine nor a slow emulator adds a look."""
    return FakeClock()


@pytest.fixture
async def runtime(firestore_emulator: str, counter: RpcCounter, clock: FakeClock) -> AsyncIterator[Runtime]:
    async with scenarios.engine(firestore_emulator, scenarios.fresh_prefix(), clock=clock) as runtime:
        yield runtime


def counted_by_itself(runtime: Runtime) -> Usage:
    usage: Usage = runtime.store.usage
    return Usage(reads=usage.reads, writes=usage.writes, rpcs=usage.rpcs)


def on_the_wire(counts: Counts) -> Usage:
    return Usage(reads=counts.reads, writes=counts.writes, rpcs=counts.rpcs)


async def ended(runtime: Runtime) -> list[Job]:
    manager = AsyncJobManager(runtime=runtime, worker=False)
    return [job for job in await manager.list_jobs(limit=1000) if job.status is JobStatus.COMPLETED]


async def test_one_job_that_a_worker_finds(runtime: Runtime, counter: RpcCounter) -> None:
    """One job: created, found, run, settled, with its summary; then the worker looks once more and ends."""
    before = counter.now()
    await scenarios.enqueue(runtime, 1)
    report = await Worker(runtime).run(max_jobs=1)
    counts = counter.since(before, 1)
    assert report.completed == 1
    assert counts.writes == 4
    assert counts.reads <= 3, "the job, and that there is no other and nothing that is due"
    assert counts.rpcs <= 6
    assert counted_by_itself(runtime) == on_the_wire(counts)
    assert len(await ended(runtime)) == 1


async def test_one_job_that_is_pushed(firestore_emulator: str, counter: RpcCounter) -> None:
    """Create, read the job and what is paused, claim, settle."""
    counts = await scenarios.single_pushed_job(firestore_emulator, counter)
    assert (counts.rpcs, counts.reads, counts.writes) == (4, 2, 4)


async def test_a_backlog_that_one_worker_takes_in_batches(runtime: Runtime, counter: RpcCounter) -> None:
    jobs = 10 * BATCH
    before = counter.now()
    await scenarios.enqueue(runtime, jobs)
    report = await Worker(runtime, concurrency=BATCH).run(max_jobs=jobs)
    counts = counter.since(before, jobs)
    assert report.completed == jobs
    reads, writes, rpcs = counts.per_job()
    assert (reads <= 1.1, writes, rpcs <= 0.5) == (True, 4, True), counts
    assert counted_by_itself(runtime) == on_the_wire(counts)


async def test_eight_workers_that_are_never_idle(firestore_emulator: str, counter: RpcCounter) -> None:
    """Given many workers and enough shards, a job costs them at most half a read more than it costs one alone."""
    counts = await scenarios.many_workers(firestore_emulator, counter, 480, spare=320)
    assert counts.per_job()[0] <= 1.5


@pytest.mark.parametrize("shards", [1, 4, 16])
async def test_a_look_in_vain(firestore_emulator: str, counter: RpcCounter, shards: int) -> None:
    counts = await scenarios.empty_poll(firestore_emulator, counter, shards)
    assert counts.reads <= 4
    assert counts.writes == 0


async def test_looking_in_vain_for_long(runtime: Runtime, counter: RpcCounter, clock: FakeClock) -> None:
    """Given an idle worker that looks again and again, then looking into shards it does not know costs nothing more."""
    for _ in range(5):
        before = counter.now()
        leases, more = await runtime.queue.claim("idle", ["default"], BATCH)
        assert (leases, more) == ([], False)
        assert counter.since(before, 1).reads <= 4
        clock.jump(WIDE_SECONDS)


async def test_a_running_job_reads_nothing(firestore_emulator: str, counter: RpcCounter) -> None:
    """Given a job that nobody cancels, its renewals and its settle read nothing; each renewal is one write."""
    renewals = 5
    counts = await scenarios.silent_job(firestore_emulator, counter, renewals)
    assert counts.reads == 0
    assert counts.writes == renewals + 2, "the settle, and the summary with it"
