"""What schedules, keys and replay cost, in the reads and writes that docs/costs.md tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.jobs import JobContext
from tests.support.engine import Engine


class Spent:
    """What was asked of the store meanwhile, in billed units."""

    reads = 0
    writes = 0


@asynccontextmanager
async def spent(engine: Engine) -> AsyncIterator[Spent]:
    usage, meanwhile = engine.store.usage, Spent()
    before = usage.reads, usage.writes
    yield meanwhile
    meanwhile.reads, meanwhile.writes = usage.reads - before[0], usage.writes - before[1]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()

    @engine.job("plain")
    async def plain(ctx: JobContext) -> None: ...

    @engine.job("fails", max_retries=0)
    async def fails(ctx: JobContext) -> None:
        raise ValueError("always")

    async with engine.manager:
        yield engine


@pytest.mark.parametrize(("interval", "overlap", "reads"), [(60, True, 1), (60, False, 1), (3600, False, 2)])
async def test_a_slot_costs_one_write_beside_its_job(
    engine: Engine, interval: float, overlap: bool, reads: int
) -> None:
    await engine.manager.create_schedule("s", "plain", interval_seconds=interval, overlap=overlap)
    for _ in range(2):
        engine.clock.jump(interval - 10)
        async with spent(engine) as tick:
            created = (await engine.manager.tick()).created
        engine.clock.jump(10)
        await engine.drain()
    assert (created, tick.reads, tick.writes) == (1, reads, 2)


async def test_a_tick_with_nothing_due_reads_once(engine: Engine) -> None:
    await engine.manager.create_schedule("s", "plain", cron="0 0 1 1 *")
    await engine.manager.tick()
    async with spent(engine) as tick:
        await engine.manager.tick()
    assert (tick.reads, tick.writes) == (1, 0)


async def test_a_key_costs_a_write_and_a_taken_one_two_reads(engine: Engine) -> None:
    async with spent(engine) as free:
        await engine.manager.submit("plain", unique="while_active")
    assert (free.reads, free.writes) == (0, 2)
    async with spent(engine) as taken:
        assert (await engine.manager.submit("plain", unique="while_active")).existing
    assert (taken.reads, taken.writes) == (2, 0)
    await engine.drain()
    async with spent(engine) as over:
        assert not (await engine.manager.submit("plain", unique="while_active")).existing
    assert (over.reads, over.writes) == (2, 3)


async def test_running_a_failed_job_again_reads_two_and_writes_one(engine: Engine) -> None:
    for _ in range(3):
        await engine.submitted("fails")
    await engine.drain()
    async with spent(engine) as again:
        assert await engine.manager.retry_jobs() == 3
    assert (again.reads, again.writes) == (6, 3)
