"""What a rate costs each job, also where handlers are too slow for it: times that pass unused are no one's writes."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from app.jobs import EngineOptions, JobRequest, Worker
from app.jobs.rates import LATE
from app.stores.memory import MemoryJobStore
from tests.support.clock import FakeClock
from tests.support.engine import Engine
from tests.support.written import CountingStore, Written

PLAIN_WRITES = 3
"""Created, claimed and settled: what any job costs."""
EXTRA_WRITES = 2
PATIENT = EngineOptions(lease_seconds=600.0)
LONGEST = timedelta(minutes=10)


class Fleet:
    """Workers on one store, and a type with a rate whose handler takes its time."""

    def __init__(self, store: CountingStore, rate: str, handler_seconds: float, workers: int) -> None:
        self.clock = FakeClock()
        self.begun: list[datetime] = []
        self.wide: list[datetime] = []
        self.engines = [Engine(store=store, clock=self.clock, options=PATIENT) for _ in range(workers)]
        for engine in self.engines:

            @engine.job("slow", rate_limit=rate)
            async def slow() -> None:
                self.begun.append(self.clock.now())
                await self.clock.sleep(handler_seconds)

            @engine.job("wide")
            async def wide(seconds: float = 0.0) -> None:
                self.wide.append(self.clock.now())
                await self.clock.sleep(seconds)

    async def work(self, slots: int, jobs: int) -> None:
        """Let all of them work until so many jobs have begun, and these have ended."""
        workers = [Worker(engine.runtime, concurrency=slots) for engine in self.engines]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        end = self.clock.now() + LONGEST
        while len(self.begun) < jobs:
            assert self.clock.now() < end, f"{len(self.begun)} of {jobs} have begun"
            await self.clock.advance(1.0)
        for worker in workers:
            worker.stop()
        await self.clock.advance(PATIENT.shutdown_seconds + 1)
        await asyncio.gather(*running)


async def fleet_of(written: Written, rate: str, handler_seconds: float, workers: int) -> Fleet:
    store = MemoryJobStore()
    await store.open()
    return Fleet(CountingStore(store, written), rate, handler_seconds, workers)


@pytest.mark.parametrize(
    ("rate", "handler_seconds", "slots", "workers", "jobs", "ideal_seconds"),
    [
        ("1/s", 30.0, 2, 1, 16, 210.0),  # the handlers are what it waits for
        ("1/s", 30.0, 4, 2, 30, 100.0),
        ("100/m", 60.0, 3, 1, 9, 120.0),  # and their times are long gone by when there is room
        ("10/s", 0.1, 10, 1, 120, 12.0),  # the rate is
        ("10/s", 5.0, 10, 2, 100, 20.0),
        ("6/m", 1.0, 10, 1, 20, 190.0),
    ],
)
async def test_no_job_costs_more_than_two_writes_beside_its_own_however_long_it_waits(
    rate: str, handler_seconds: float, slots: int, workers: int, jobs: int, ideal_seconds: float
) -> None:
    written: Written = Written()
    fleet = await fleet_of(written, rate, handler_seconds, workers)
    created = await fleet.engines[0].manager.create_jobs(
        [JobRequest(type="slow") for _ in range(jobs)], auto_start=True
    )
    began = fleet.clock.now()
    await fleet.work(slots, jobs)
    writes = [written["jobs", job.id] for job in created]
    assert max(writes) <= PLAIN_WRITES + EXTRA_WRITES
    assert (fleet.begun[-1] - began).total_seconds() <= 1.5 * ideal_seconds
    count, _, unit = rate.partition("/")
    interval = timedelta(seconds={"s": 1, "m": 60}[unit] / int(count))
    for place, first in enumerate(fleet.begun):
        for number, later in enumerate(fleet.begun[place:]):
            assert later - first >= interval * number - LATE - interval


async def test_jobs_that_could_not_begin_in_time_hide_no_others() -> None:
    fleet = await fleet_of(Written(), "6/m", 1.0, 1)
    (engine,) = fleet.engines
    worker = Worker(engine.runtime, concurrency=4)
    running = asyncio.create_task(worker.run())
    await fleet.clock.advance(1.0)
    await engine.manager.create_jobs([JobRequest(type="slow") for _ in range(12)], auto_start=True)
    await fleet.clock.advance(1.0)
    long = [JobRequest(type="wide", payload={"seconds": 80.0}, priority="high") for _ in range(4)]
    await engine.manager.create_jobs(long, auto_start=True)
    await fleet.clock.advance(75.0)
    told = len(fleet.begun)
    assert len(fleet.wide) == 4
    await engine.manager.create_jobs([JobRequest(type="wide") for _ in range(8)], auto_start=True)
    await fleet.clock.advance(15.0)  # for nine of them room has come
    assert len(fleet.wide) == 12
    assert 1 <= len(fleet.begun) - told <= 3
    worker.stop()
    await fleet.clock.advance(PATIENT.shutdown_seconds + 2)
    await running
