"""Who is woken for what: one hint for many jobs, none for what nobody may claim, and no harm when it fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from app.jobs import (
    AsyncJobManager,
    Chance,
    EngineOptions,
    Hint,
    JobContext,
    Registry,
    RetryLater,
    Runtime,
    Worker,
    job,
)
from app.jobs.waking import hints_for
from app.stores import MemoryJobStore
from tests.support.clock import FakeClock


class Ear:
    """A waker that remembers."""

    def __init__(self) -> None:
        self.heard: list[list[Hint]] = []

    async def wake(self, hints: Sequence[Hint]) -> None:
        self.heard.append(list(hints))

    async def close(self) -> None:
        """Nothing to let go of."""

    def take(self) -> list[Hint]:
        """What was heard since the last time."""
        heard, self.heard = self.heard, []
        return [hint for hints in heard for hint in hints]


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def runtime(ear: Ear, clock: FakeClock) -> Runtime:
    registry = Registry()

    @job("quick", registry=registry)
    async def quick() -> None:
        return None

    @job("once_more", registry=registry, retry_delay_seconds=30, retry_backoff="fixed")
    async def once_more(ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise RetryLater(30)

    return Runtime(
        MemoryJobStore(), registry=registry, clock=clock, waker=ear, options=EngineOptions(), chance=Chance()
    )


@pytest.fixture
async def manager(runtime: Runtime) -> AsyncJobManager:
    manager = AsyncJobManager(runtime=runtime, worker=False)
    await manager.open()
    return manager


async def test_one_job_is_named(manager: AsyncJobManager, ear: Ear) -> None:
    created = await manager.submit("quick")
    assert ear.take() == [Hint(created.id)]


async def test_a_held_job_wakes_nobody_until_it_is_started(manager: AsyncJobManager, ear: Ear) -> None:
    held = await manager.create_job("quick")
    assert ear.take() == []

    await manager.start_job(held.id)

    assert ear.take() == [Hint(held.id)]


async def test_many_jobs_together_are_few_hints(manager: AsyncJobManager, ear: Ear) -> None:
    from app.jobs import JobRequest

    await manager.create_jobs([JobRequest(type="quick") for _ in range(50)], auto_start=True)
    assert ear.take() == [Hint(more=True)] * 3


async def test_an_existing_job_wakes_nobody(manager: AsyncJobManager, ear: Ear) -> None:
    await manager.submit("quick", idempotency_key="k")
    ear.take()
    await manager.submit("quick", idempotency_key="k")
    assert ear.take() == []


async def test_a_delayed_job_says_from_when(manager: AsyncJobManager, ear: Ear, clock: FakeClock) -> None:
    created = await manager.submit("quick", delay_seconds=60)
    assert ear.take() == [Hint(created.id, at=clock.now() + timedelta(seconds=60))]


async def test_a_retry_says_from_when(manager: AsyncJobManager, runtime: Runtime, ear: Ear, clock: FakeClock) -> None:
    created = await manager.submit("once_more")
    ear.take()

    await Worker(runtime).run(drain=True)

    assert ear.take() == [Hint(created.id, at=clock.now() + timedelta(seconds=30))]


async def test_a_paused_job_wakes_somebody_when_it_is_resumed(manager: AsyncJobManager, ear: Ear) -> None:
    created = await manager.submit("quick")
    ear.take()
    await manager.pause_job(created.id)
    assert ear.take() == []

    await manager.resume_job(created.id)

    assert ear.take() == [Hint(created.id)]


async def test_what_waits_for_an_ended_job_is_woken_once(manager: AsyncJobManager, runtime: Runtime, ear: Ear) -> None:
    parent = await manager.submit("quick")
    children = [await manager.submit("quick", dependencies=[parent.id]) for _ in range(30)]
    assert ear.take() == [Hint(parent.id)]

    await Worker(runtime).run(max_jobs=1)

    assert ear.take() == [Hint(more=True)] * 2
    await manager.add_job_dependency(children[0].id, (await manager.create_job("quick")).id)
    assert ear.take() == []


def test_nothing_is_worth_no_hint() -> None:
    assert hints_for([]) == []


async def test_the_job_that_a_failure_creates_is_told_of(
    runtime: Runtime, manager: AsyncJobManager, ear: Ear, clock: FakeClock
) -> None:
    @job("clear_up", registry=runtime.registry)
    async def clear_up(**about: object) -> None: ...

    @job("breaks", registry=runtime.registry, max_retries=0, on_failure="clear_up")
    async def breaks() -> None:
        raise RuntimeError

    await manager.submit("breaks")
    ear.take()
    await Worker(runtime).run(max_jobs=1)
    (made,) = await manager.list_jobs(type="clear_up")
    assert Hint(made.id) in ear.take()
