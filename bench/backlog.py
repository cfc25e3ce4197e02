"""Whether claiming gets slower with the backlog: the same number of jobs taken from a short one and from a long one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.bootstrap import make_store
from app.jobs import AsyncJobManager, Runtime
from app.jobs.request import JobRequest
from bench.databases import BenchDatabase
from bench.figures import Figures
from bench.phases import marks_file, worker_environment
from bench.process import ROOT
from bench.tasks import MARK

TAKEN = 1000
"""Jobs that one measurement takes from the backlog."""
_PAGE = 1000
_PATIENCE_SECONDS = 300.0


class Backlog:
    """A database with so many jobs waiting in it before each measurement."""

    def __init__(self, database: BenchDatabase, url: str, size: int, marks: Path) -> None:
        self.size = size
        self._database = database
        self._url = url
        self._marks = marks
        self._there = 0
        self._next = 0

    def fill(self) -> None:
        """Create what is missing."""
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        async with AsyncJobManager(runtime=Runtime(make_store(self._url)), worker=False) as manager:
            while self._there < self.size:
                count = min(_PAGE, self.size - self._there)
                numbers = range(self._next, self._next + count)
                requests = [JobRequest(type=MARK, payload={"number": number}) for number in numbers]
                await manager.create_jobs(requests, auto_start=True)
                self._next += count
                self._there += count

    def measure(self, concurrency: int) -> Figures:
        """Take jobs in a process that is started now, with the backlog there."""
        command = [sys.executable, "-m", "bench.drainer", "--url", self._url, "--jobs", str(TAKEN)]
        before = self._database.server_cpu_seconds()
        done = subprocess.run(
            [*command, "--concurrency", str(concurrency)],
            cwd=ROOT,
            env={**os.environ, **worker_environment(self._url, self._marks)},
            stdout=subprocess.PIPE,
            timeout=_PATIENCE_SECONDS,
            check=True,
        )
        self._there -= TAKEN
        figures: dict[str, float] = json.loads(done.stdout)
        after = self._database.server_cpu_seconds()
        if before is not None and after is not None:
            figures["server CPU ms/job"] = 1000 * (after - before) / TAKEN
        return figures


@contextmanager
def backlogs(database: BenchDatabase, sizes: Sequence[int]) -> Iterator[Sequence[Backlog]]:
    """One database for each size, filled."""
    with ExitStack() as stack:
        made = [
            Backlog(database, stack.enter_context(database.make()), size, stack.enter_context(marks_file()))
            for size in sizes
        ]
        for each in made:
            each.fill()
        yield made


def measured(
    database: BenchDatabase, sizes: Sequence[int], repeats: int, concurrency: int
) -> Mapping[str, list[Figures]]:
    """Each backlog measured in turn, over and over."""
    found: dict[str, list[Figures]] = {}
    with backlogs(database, sizes) as made:
        for _ in range(repeats):
            for each in made:
                each.fill()
                found.setdefault(f"{database.name}, {each.size:,} waiting", []).append(each.measure(concurrency))
    return found
