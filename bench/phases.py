"""The engine on one database, measured as the peers are: same phases, same handler, a worker process of its own.

warm-up   20 jobs
pickup    one job to an idle worker, over and over: from the enqueue call to the handler's start
enqueue   worker held (SIGSTOP), jobs created one by one
drain     worker let go (SIGCONT): until the store says that all have ended
bulk      the same, with all jobs in one call
e2e       worker running while jobs are created one by one: from the first call to the last handler
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.bootstrap import make_store
from app.jobs import AsyncJobManager, JobStatus, Runtime
from app.jobs.request import JobRequest
from app.stores.base import Query
from bench import marks
from bench.databases import BenchDatabase
from bench.figures import Figures, percentile
from bench.marks import Marks
from bench.process import WorkerProcess
from bench.tasks import MARK

WARM_UP = 20
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.005
_LAST_ANSWERS_SECONDS = 0.3
_UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is measured."""

    jobs: int = 1000
    samples: int = 60
    concurrency: int = 100


def worker_command(concurrency: int) -> list[str]:
    """The worker as people start it."""
    torpor = Path(sys.executable).with_name("torpor")
    return [str(torpor), "worker", "--quiet", "--concurrency", str(concurrency)]


def worker_environment(url: str, marks_file: Path) -> dict[str, str]:
    """What tells that worker where its jobs are and what to do with them."""
    return {
        "TORPOR_STORE_URL": url,
        "TORPOR_PREFIX": "",
        "TORPOR_TASK_PACKAGES": "bench.tasks",
        marks.VARIABLE: str(marks_file),
    }


@contextmanager
def marks_file() -> Iterator[Path]:
    """A file for handlers' marks."""
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        yield Path(folder) / "marks"


def measure(database: BenchDatabase, load: Workload) -> Figures:
    """One run of all phases on an empty database."""
    with database.make() as url, marks_file() as path:
        seen = Marks(path)
        worker = WorkerProcess(worker_command(load.concurrency), worker_environment(url, path))
        try:
            return asyncio.run(_Run(database, url, load, seen, worker).measure())
        finally:
            worker.stop()
            seen.close()


class _Run:
    def __init__(self, database: BenchDatabase, url: str, load: Workload, seen: Marks, worker: WorkerProcess) -> None:
        self._database = database
        self._load = load
        self._seen = seen
        self._worker = worker
        self._manager = AsyncJobManager(runtime=Runtime(make_store(url)), worker=False)
        self._next = 0
        self._figures: dict[str, float] = {}

    async def measure(self) -> Figures:
        async with self._manager:
            await self._warm_up()
            await self._pickup()
            await self._drain("", self._one_by_one)
            await self._drain("bulk ", self._at_once)
            await self._end_to_end()
        self._figures["peak RSS MB"] = self._worker.peak_megabytes()
        self._figures["ran twice"] = self._seen.ran_twice
        return self._figures

    def _numbers(self, count: int) -> range:
        numbers = range(self._next, self._next + count)
        self._next += count
        return numbers

    async def _one_by_one(self, numbers: range) -> None:
        for number in numbers:
            await self._manager.submit(MARK, {"number": number})

    async def _at_once(self, numbers: range) -> None:
        requests = [JobRequest(type=MARK, payload={"number": number}) for number in numbers]
        await self._manager.create_jobs(requests, auto_start=True)

    async def _unfinished(self) -> int:
        counts = [await self._manager.runtime.store.count(Query("jobs.list", {"status": s})) for s in _UNFINISHED]
        return sum(counts)

    async def _ran(self, total: int) -> None:
        await asyncio.to_thread(self._seen.wait_for, total, self._worker.is_alive)

    async def _finished(self, numbers: range) -> int:
        """When all these jobs had run and the store said so, in ns."""
        await self._ran(numbers.stop)
        if not await self._unfinished():
            return max(self._seen.first_ns[number] for number in numbers)
        while await self._unfinished():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(_LOOK_SECONDS)
        return time.monotonic_ns()

    async def _warm_up(self) -> None:
        await self._one_by_one(self._numbers(WARM_UP))
        await asyncio.wait_for(self._ran(self._next), _START_SECONDS)
        await asyncio.sleep(0.5)

    async def _pickup(self) -> None:
        waits: list[float] = []
        for _ in range(self._load.samples):
            await asyncio.sleep(0.03 + 0.06 * random.random())
            (number,) = self._numbers(1)
            began = time.monotonic_ns()
            await self._one_by_one(range(number, number + 1))
            await self._ran(self._next)
            waits.append((self._seen.first_ns[number] - began) / 1e6)
        self._figures["pickup p50 ms"] = percentile(waits, 0.5)
        self._figures["pickup p99 ms"] = percentile(waits, 0.99)

    async def _drain(self, name: str, enqueue: Callable[[range], Awaitable[None]]) -> None:
        await asyncio.to_thread(self._worker.hold)
        numbers = self._numbers(self._load.jobs)
        jobs = len(numbers)
        began, cpu = time.monotonic(), time.process_time()
        await enqueue(numbers)
        self._figures[f"{name}enqueue /s"] = jobs / (time.monotonic() - began)
        self._figures[f"{name}producer CPU ms/job"] = 1000 * (time.process_time() - cpu) / jobs
        worker_cpu, server_cpu = self._worker.cpu_seconds(), self._database.server_cpu_seconds()
        let_go = time.monotonic_ns()
        self._worker.let_go()
        finished = await self._finished(numbers)
        await asyncio.sleep(_LAST_ANSWERS_SECONDS)
        self._figures[f"{name}drain /s"] = jobs / ((finished - let_go) / 1e9)
        self._figures[f"{name}worker CPU ms/job"] = 1000 * (self._worker.cpu_seconds() - worker_cpu) / jobs
        server_now = self._database.server_cpu_seconds()
        if server_cpu is not None and server_now is not None:
            self._figures[f"{name}server CPU ms/job"] = 1000 * (server_now - server_cpu) / jobs

    async def _end_to_end(self) -> None:
        numbers = self._numbers(self._load.jobs)
        began = time.monotonic_ns()
        await self._one_by_one(numbers)
        self._figures["end to end /s"] = len(numbers) / ((await self._finished(numbers) - began) / 1e9)
