"""What the engine asks of Firestore in the situations that have a budget. Counts, not times.

Each situation has collections of its own, so that all of them can share one emulator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from app.jobs import AsyncJobManager, Clock, EngineOptions, JobContext, JobExecutor, Registry, Runtime, Worker, job
from app.jobs.request import JobRequest
from app.stores.firestore import FirestoreJobStore
from bench.rpc_counter import Counts, RpcCounter
from tests.support.clock import FakeClock

PROJECT = "torpor-bench"
BATCH = 20
WORKERS = 8
SHARDS = 16
"""What is advised for so many workers that are never idle."""
JOB_TYPE = "noop"


def noop_registry() -> Registry:
    """A registry with one job type that does nothing."""
    registry = Registry()

    async def noop(ctx: JobContext, number: int) -> None:
        """Do nothing, as quickly as possible."""

    job(JOB_TYPE, registry=registry)(noop)
    return registry


def fresh_prefix() -> str:
    """A prefix that no collection has yet."""
    return f"b{uuid4().hex[:12]}_"


@asynccontextmanager
async def engine(
    emulator: str,
    prefix: str,
    *,
    registry: Registry | None = None,
    clock: Clock | None = None,
    options: EngineOptions | None = None,
) -> AsyncIterator[Runtime]:
    """An engine of its own on the emulator, with its store open."""
    store = FirestoreJobStore(project=PROJECT, prefix=prefix, emulator=emulator)
    await store.open()
    try:
        yield Runtime(store, registry=registry or noop_registry(), clock=clock, options=options)
    finally:
        await store.close()


async def enqueue(runtime: Runtime, jobs: int) -> None:
    """Create so many jobs, started, in as few round trips as the store can."""
    manager = AsyncJobManager(runtime=runtime, worker=False)
    await manager.create_jobs([request(number) for number in range(jobs)], auto_start=True)


def request(number: int) -> JobRequest:
    """What is asked for one job of the benchmark."""
    return JobRequest(type=JOB_TYPE, payload={"number": number})


async def single_pushed_job(emulator: str, counter: RpcCounter) -> Counts:
    """One job: created, then run by whoever was pushed its id."""
    async with engine(emulator, fresh_prefix()) as runtime:
        before = counter.now()
        manager = AsyncJobManager(runtime=runtime, worker=False)
        created = await manager.submit(JOB_TYPE, {"number": 1})
        lease = await runtime.queue.claim_job("pushed", created.id)
        assert lease is not None
        executor = JobExecutor(
            1, registry=runtime.registry, clock=runtime.clock, chance=runtime.chance, options=runtime.options
        )
        settled = await executor.run(lease)
        assert settled is not None
        assert settled.is_terminal
        await executor.close()
        return counter.since(before, 1)


async def batches(emulator: str, counter: RpcCounter, jobs: int = 400) -> Counts:
    """Jobs from create to COMPLETED, drained by one worker that claims 20 at a time."""
    prefix = fresh_prefix()
    before = counter.now()
    async with engine(emulator, prefix) as runtime:
        await enqueue(runtime, jobs)
        report = await Worker(runtime, concurrency=BATCH).run(drain=True)
        assert report.completed == jobs
    return counter.since(before, jobs)


async def many_workers(emulator: str, counter: RpcCounter, jobs: int = 1600, *, spare: int = 0) -> Counts:
    """Jobs worked off by many workers at once, each with a store and a connection of its own.

    With `spare` there are so many jobs more than are worked off, so that no worker ever looks in vain; of those the
    creation is counted too.
    """
    prefix = fresh_prefix()
    options = EngineOptions(shards=SHARDS)
    before = counter.now()
    async with AsyncExitStack() as stack:
        runtimes = [await stack.enter_async_context(engine(emulator, prefix, options=options)) for _ in range(WORKERS)]
        await enqueue(runtimes[0], jobs + spare)
        hands = [
            Worker(runtime, concurrency=BATCH, worker_id=f"worker-{number}") for number, runtime in enumerate(runtimes)
        ]
        most = jobs // WORKERS if spare else None
        reports = await asyncio.gather(*(hand.run(drain=True, max_jobs=most) for hand in hands))
        assert sum(report.completed for report in reports) == jobs
    return counter.since(before, jobs)


async def empty_poll(emulator: str, counter: RpcCounter, shards: int = 1) -> Counts:
    """A drain that finds nothing: what the platform's scheduler asks for each minute."""
    async with engine(emulator, fresh_prefix(), options=EngineOptions(shards=shards)) as runtime:
        before = counter.now()
        report = await Worker(runtime).run(drain=True)
        assert report.claimed == 0
        return counter.since(before, 1)


async def silent_job(emulator: str, counter: RpcCounter, renewals: int = 5) -> Counts:
    """A job that runs over several renewals and reports nothing: from its handler's start to its settled end.

    Time is a clock's that is moved by hand, so that neither the machine nor the emulator can be too slow.
    """
    clock = FakeClock()
    registry = Registry()
    started, done = asyncio.Event(), asyncio.Event()

    async def silent(ctx: JobContext) -> None:
        started.set()
        await done.wait()

    job("silent", registry=registry)(silent)
    async with engine(emulator, fresh_prefix(), registry=registry, clock=clock) as runtime:
        await AsyncJobManager(runtime=runtime, worker=False).submit("silent")
        work = asyncio.ensure_future(Worker(runtime, concurrency=1).run(max_jobs=1))
        await started.wait()
        before = counter.now()
        for number in range(renewals):
            await clock.advance(runtime.options.lease_seconds / 3)
            # The renewal is on its way to the emulator, whose answer nothing here announces.
            while counter.writes - before.writes <= number:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.001)
        done.set()
        report = await work
        assert report.completed == 1
        return counter.since(before, 1)
