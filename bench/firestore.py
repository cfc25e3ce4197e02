"""`python -m bench firestore`: what a job costs on Firestore, and the engine's throughput beside a bare script."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from app.bootstrap import calm_collector
from app.jobs import AsyncJobManager, Worker
from app.stores.base import PriceList, Usage
from bench import firestore_scenarios as scenarios
from bench.figures import Figures, median_of, table
from bench.firestore_floor import Documents, Floor
from bench.firestore_reference import plain_queue
from bench.rpc_counter import Counts, RpcCounter, counted_rpcs
from tests.services.firestore_emulator import firestore_emulator

CONCURRENCY = 100
AIM = 0.8
"""What share of the floor's throughput the engine should reach."""
REFERENCE_SECONDS = 20.0
"""How long eight contending transactional workers may take; on the emulator they hardly get anywhere."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One row of the table of counts."""

    name: str
    budget: str
    """The most reads, writes and RPCs that a job may take."""
    count: Callable[[str, RpcCounter], Awaitable[Counts]]


SITUATIONS = (
    Situation("one pushed job", "4 RPCs", scenarios.single_pushed_job),
    Situation("batches of 20, one worker", "1.1 reads, 4 writes, 0.5 RPCs", scenarios.batches),
    Situation(f"{scenarios.WORKERS} workers, {scenarios.SHARDS} shards", "1.5 reads", scenarios.many_workers),
    Situation("an empty poll", "4 reads", scenarios.empty_poll),
    Situation("a running job over 5 renewals, and its settle", "0 reads", scenarios.silent_job),
)


def run(arguments: Sequence[str]) -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench firestore", description=__doc__)
    parser.add_argument("--jobs", type=int, default=600, help="in each throughput measurement, a multiple of 20")
    parser.add_argument("--repeat", type=int, default=5, help="pairs of engine and floor")
    parser.add_argument("--no-counts", action="store_true", help="leave the counts out")
    parser.add_argument("--no-throughput", action="store_true", help="leave the throughput out")
    given = parser.parse_args(arguments)
    if given.jobs < scenarios.BATCH or given.jobs % scenarios.BATCH:
        parser.error(f"--jobs {given.jobs}: take a multiple of {scenarios.BATCH}")
    print(f"# Firestore emulator, {datetime.now(UTC):%Y-%m-%d}")
    with firestore_emulator() as emulator:
        if not given.no_counts:
            asyncio.run(_print_counts(emulator))
        if not given.no_throughput:
            asyncio.run(_print_throughput(emulator, given.jobs, given.repeat))
    return 0


# --- counts ----------------------------------------------------------------------------------------------


async def _print_counts(emulator: str) -> None:
    print("\n| | reads | writes | RPCs | US$ a million | budget |\n|---|---|---|---|---|---|")
    with counted_rpcs() as counter:
        for situation in SITUATIONS:
            _print_row(situation.name, await situation.count(emulator, counter), situation.budget)
        for workers, jobs in ((1, 100), (scenarios.WORKERS, 2 * scenarios.WORKERS)):
            counts, done = await _reference(emulator, counter, workers, jobs)
            name = f"plain transactional loop, {workers} worker{'s' if workers > 1 else ''}"
            said = "" if done == jobs else f"{done} of {jobs} jobs done in {REFERENCE_SECONDS:g} s"
            _print_row(name, counts, said)


def _print_row(name: str, counts: Counts, remark: str) -> None:
    reads, writes, rpcs = counts.per_job()
    price = PriceList().cost(Usage(reads=counts.reads, writes=counts.writes)) / counts.jobs * 1_000_000
    print(f"| {name} | {reads:.2f} | {writes:.2f} | {rpcs:.2f} | {price:.2f} | {remark} |", flush=True)


async def _reference(emulator: str, counter: RpcCounter, workers: int, jobs: int) -> tuple[Counts, int]:
    """What plain transactions ask for, and how many of the jobs they got done in time."""
    prefix = scenarios.fresh_prefix()
    before = counter.now()
    async with AsyncExitStack() as stack:
        queues = [
            await stack.enter_async_context(plain_queue(emulator, scenarios.PROJECT, prefix)) for _ in range(workers)
        ]
        await queues[0].create(jobs)
        work = [asyncio.ensure_future(queue.work(f"worker-{number}")) for number, queue in enumerate(queues)]
        await asyncio.wait(work, timeout=REFERENCE_SECONDS)
        counts = counter.since(before, jobs)
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        return counts, sum(queue.completed for queue in queues)


# --- throughput ------------------------------------------------------------------------------------------


async def _print_throughput(emulator: str, jobs: int, repeats: int) -> None:
    calm_collector()
    measures: dict[str, Callable[[str, int], Awaitable[Figures]]] = {
        "engine": _engine,
        "bare script": partial(_floor, ready=False),
        "bare script, messages ready": partial(_floor, ready=True),
    }
    rows: dict[str, list[Figures]] = {name: [] for name in measures}
    for measure in measures.values():  # all have done everything once before the clock runs
        await measure(emulator, scenarios.BATCH)
    for number in range(repeats):
        # In turn, so that what the machine or the emulator does meanwhile hits all alike.
        for name, measure in measures.items():
            print(f"# {number + 1}: {name}", file=sys.stderr, flush=True)
            rows[name].append(await measure(emulator, jobs))
    labels = {"enqueue /s": 0, "enqueue CPU ms/job": 3, "drain /s": 0, "drain CPU ms/job": 3}
    print(f"\n{table(f'{jobs} jobs, CPU of the client', labels, rows)}\n")
    for floor in tuple(measures)[1:]:
        for what in ("enqueue", "drain"):
            rate = _share(rows, floor, f"{what} /s")
            cost = _share(rows, floor, f"{what} CPU ms/job")
            print(f"{what}: {rate:.0%} of the jobs/s of the {floor}, at {cost:.1f} times its CPU")
    reached = all(_share(rows, "bare script", f"{what} /s") >= AIM for what in ("enqueue", "drain"))
    print(f"the aim of {AIM:.0%} of the bare script is {'reached' if reached else 'MISSED'}")


def _share(rows: Mapping[str, Sequence[Figures]], floor: str, label: str) -> float:
    ours, bare = median_of(rows["engine"], label), median_of(rows[floor], label)
    return ours / bare if ours is not None and bare else 0.0


async def _timed(jobs: int, name: str, work: Awaitable[object]) -> Figures:
    cpu, began = time.process_time(), time.perf_counter()
    await work
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {f"{name} /s": jobs / seconds, f"{name} CPU ms/job": 1000 * cpu / jobs}


async def _engine(emulator: str, jobs: int) -> Figures:
    async with scenarios.engine(emulator, scenarios.fresh_prefix()) as runtime:
        manager = AsyncJobManager(runtime=runtime, worker=False)
        requests = [scenarios.request(number) for number in range(jobs)]
        enqueue = await _timed(jobs, "enqueue", manager.create_jobs(requests, auto_start=True))
        worker = Worker(runtime, concurrency=CONCURRENCY)
        drain = await _timed(jobs, "drain", worker.run(drain=True))
        assert worker.report.completed == jobs
        return {**enqueue, **drain}


async def _floor(emulator: str, jobs: int, *, ready: bool) -> Figures:
    documents = Documents(scenarios.noop_registry(), scenarios.request(1))
    floor = Floor(emulator, scenarios.PROJECT, scenarios.fresh_prefix(), documents, jobs, ready=ready)
    try:
        return {**await _timed(jobs, "enqueue", floor.enqueue()), **await _timed(jobs, "drain", floor.drain())}
    finally:
        await floor.close()
