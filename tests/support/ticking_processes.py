"""`python -m tests.support.ticking_processes`: many processes that tick through a simulated week, always together."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
from datetime import datetime, timedelta
from multiprocessing.synchronize import Barrier

from app.bootstrap import make_store
from app.jobs import AsyncJobManager, Registry, Runtime
from tests.support.clock import NOON, FakeClock

WEEK = timedelta(days=7)
STEP = timedelta(hours=12)
"""The schedules of this week have no slots in between."""
PATIENCE_SECONDS = 120.0


def moments() -> list[datetime]:
    """When everybody ticks: a minute before each slot that there may be."""
    return [NOON + number * STEP - timedelta(minutes=1) for number in range(1, WEEK // STEP + 1)]


async def _tick_through(url: str, prefix: str, barrier: Barrier) -> None:
    clock = FakeClock()
    runtime = Runtime(make_store(url, prefix=prefix, pool_size=2), registry=Registry(), clock=clock)
    async with AsyncJobManager(runtime=runtime, worker=False):
        for moment in moments():
            barrier.wait(PATIENCE_SECONDS)
            clock.jump((moment - clock.now()).total_seconds())
            report = await runtime.ticker.tick()
            assert report.failed == 0


def _process(url: str, prefix: str, barrier: Barrier) -> None:
    try:
        asyncio.run(_tick_through(url, prefix, barrier))
    except BaseException:
        barrier.abort()  # nobody waits for this one
        raise


def main() -> None:
    """Start the processes and wait for them; ends with 1 if one of them failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--processes", type=int, required=True)
    given = parser.parse_args()
    # Forked, so that what they import is imported once; nothing has been opened and no thread started yet.
    forking = multiprocessing.get_context("fork")
    barrier = forking.Barrier(given.processes)
    processes = [
        forking.Process(target=_process, args=(given.url, given.prefix, barrier)) for _ in range(given.processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    raise SystemExit(any(process.exitcode for process in processes))


if __name__ == "__main__":
    main()
