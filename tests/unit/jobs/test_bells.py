"""Bells: rung at once, or at the time of a delayed job, and how an idle worker waits that is told of all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.jobs import Hint
from app.jobs.bells import HORIZON, Bell, InProcessWaker
from app.jobs.options import EngineOptions
from app.stores import MemoryJobStore
from app.stores.base import StoreLimits
from app.stores.faults import FaultPlan, FaultyStore, Operation
from tests.support.clock import FakeClock, settle
from tests.support.engine import Engine


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Listener:
    """Counts how often a bell was heard."""

    def __init__(self, bell: Bell) -> None:
        self.heard = 0
        self._bell = bell
        self.task = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            await self._bell.wait()
            self.heard += 1


async def test_a_bell_rings_at_once_or_at_its_times(clock: FakeClock) -> None:
    bell = Bell(clock)
    bell.ring()
    bell.ring()
    listener = Listener(bell)
    await settle()
    assert listener.heard == 1, "what was rung before is heard, and heard once"

    bell.ring(clock.now() + timedelta(seconds=20))
    bell.ring(clock.now() + timedelta(seconds=10))
    bell.ring(clock.now() + timedelta(seconds=10))
    bell.ring(clock.now() + HORIZON + timedelta(seconds=1))
    await settle()
    assert listener.heard == 1
    await clock.advance(9.9)
    assert listener.heard == 1
    await clock.advance(0.1)
    assert listener.heard == 2
    bell.ring(clock.now() - timedelta(seconds=1))
    await settle()
    assert listener.heard == 3
    await clock.advance(10)
    assert listener.heard == 4
    await clock.advance(2 * HORIZON.total_seconds())
    assert listener.heard == 4
    listener.task.cancel()


async def test_a_waker_rings_for_every_worker_of_the_process(clock: FakeClock) -> None:
    waker = InProcessWaker(clock)
    listeners = [Listener(waker.bell()) for _ in range(2)]
    await waker.wake([Hint("a"), Hint("b", at=clock.now() + timedelta(seconds=5))])
    await settle()
    assert [listener.heard for listener in listeners] == [1, 1]
    await clock.advance(5)
    assert [listener.heard for listener in listeners] == [2, 2]
    await waker.close()
    await waker.wake([Hint("c")])
    await settle()
    assert [listener.heard for listener in listeners] == [2, 2]
    for listener in listeners:
        listener.task.cancel()


# --- a worker that is told -----------------------------------------------------------------------------

POLL_SECONDS = 300.0


class AllHearing(Bell):
    """A bell of which a test says whether it hears of everything."""

    hears_all = True


class DeafStore(FaultyStore):
    """A store with priced reads that tells nobody of anything, and says how often it was asked."""

    def __init__(self) -> None:
        self.plan = FaultPlan()
        super().__init__(MemoryJobStore(), self.plan)

    def limits(self) -> StoreLimits:
        return replace(super().limits(), reads_are_priced=True, poll_seconds=10.0)

    @property
    def looks(self) -> int:
        """How often it was asked for jobs."""
        return self.plan.calls[Operation.CLAIM]


@pytest.fixture
def store() -> DeafStore:
    return DeafStore()


@pytest.fixture
def engine(store: DeafStore) -> Engine:
    engine = Engine(store=store, options=EngineOptions(poll_seconds=POLL_SECONDS))

    @engine.job("it")
    async def handler() -> None:
        return None

    return engine


async def test_a_worker_that_is_told_of_all_looks_rarely(store: DeafStore, engine: Engine) -> None:
    await store.open()
    async with engine.working(ears=[AllHearing(engine.clock)]):
        looks = store.looks
        await engine.clock.advance(POLL_SECONDS - 1)
        assert store.looks == looks
        await engine.clock.advance(1)
        assert store.looks > looks
    await store.close()


async def test_what_no_hint_told_of_is_found_by_the_look(store: DeafStore, engine: Engine) -> None:
    await store.open()
    async with engine.working(ears=[AllHearing(engine.clock)]):
        at_once = await engine.submitted("it")
        assert (await engine.get(at_once)).status == "queued"
        await engine.clock.advance(POLL_SECONDS)
        assert (await engine.get(at_once)).status == "completed"
    await store.close()


async def test_a_worker_that_is_told_knows_the_next_delayed_job(store: DeafStore, engine: Engine) -> None:
    """Though its looks are minutes apart: what was delayed before the look to the moment, by whomever it was."""
    await store.open()
    delayed = await engine.submitted("it", delay=100)
    async with engine.working(ears=[AllHearing(engine.clock)]):
        await engine.clock.advance(99)
        assert (await engine.get(delayed)).status == "queued"
        await engine.clock.advance(1.1)
        assert (await engine.get(delayed)).status == "completed"
    await store.close()


async def test_who_hears_no_more_looks_often_again(store: DeafStore, engine: Engine) -> None:
    await store.open()
    ear = AllHearing(engine.clock)
    async with engine.working(ears=[ear]):
        ear.hears_all = False
        ear.ring()
        await settle()
        looks = store.looks
        await engine.clock.advance(20)
        assert store.looks >= looks + 2
    await store.close()


async def test_an_ear_that_does_not_hear_all_adds_to_looking(store: DeafStore, engine: Engine) -> None:
    await store.open()
    waker = InProcessWaker(engine.clock)
    async with engine.working(ears=[waker.bell()]):
        job_id = await engine.submitted("it", delay=3)
        await waker.wake([Hint(job_id, at=engine.clock.now() + timedelta(seconds=3))])
        await engine.clock.advance(2.9)
        looks = store.looks
        assert (await engine.get(job_id)).status == "queued"
        await engine.clock.advance(0.1)
        assert (await engine.get(job_id)).status == "completed"
        await engine.clock.advance(20)
        assert store.looks > looks + 2
    await store.close()
