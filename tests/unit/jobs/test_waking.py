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
    Job,
    JobContext,
    JobStatus,
    Registry,
    RetryLater,
    Runtime,
    SplitWaker,
    Worker,
    job,
)
from app.jobs.waking import hints_for
from app.stores import MemoryJobStore
from tests.support.clock import NOON, FakeClock


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


async def test_what_is_now_and_what_is_later_goes_to_each_its_own(clock: FakeClock) -> None:
    now, later = Ear(), Ear()
    split = SplitWaker(now, later, clock)
    soon = clock.now() + timedelta(seconds=1)

    await split.wake([Hint("a"), Hint("b", at=soon), Hint("c", at=clock.now()), Hint(more=True)])
    assert (now.take(), later.take()) == ([Hint("a"), Hint("c", at=clock.now()), Hint(more=True)], [Hint("b", at=soon)])

    await split.wake([Hint("d", at=soon)])
    assert (now.heard, later.take()) == ([], [Hint("d", at=soon)])


def delayed(number: int, seconds: float) -> Job:
    return Job(id=str(number), type="quick", status=JobStatus.QUEUED, wake_at=NOON + timedelta(seconds=seconds))


def test_a_hundred_delayed_jobs_have_a_hint_each() -> None:
    hints = hints_for([delayed(number, number / 100) for number in range(100)])
    assert hints == [Hint(str(n), at=NOON + timedelta(seconds=n / 100)) for n in range(100)]


def test_more_of_them_share_hints_at_the_end_of_each_second() -> None:
    """41 within the first second and 60 within the third: one hint for every twenty, none before its jobs' time."""
    seconds = [number / 41 for number in range(1, 42)] + [2 + number / 60 for number in range(1, 61)]
    hints = hints_for([delayed(number, each) for number, each in enumerate(seconds)])
    first, third = NOON + timedelta(seconds=1), NOON + timedelta(seconds=3)
    assert hints == [Hint(more=True, at=first)] * 3 + [Hint(more=True, at=third)] * 3


def test_of_very_many_the_soonest_are_told_of() -> None:
    hints = hints_for([delayed(number, number) for number in range(1000)])
    assert [hint.at for hint in hints] == [NOON + timedelta(seconds=number) for number in range(100)]


async def test_a_job_that_changes_again_before_anybody_is_told_is_told_of_as_it_is(
    runtime: Runtime, ear: Ear, clock: FakeClock
) -> None:
    job = delayed(1, 30)
    runtime.wake_ups.note(job)
    runtime.wake_ups.note(job.model_copy(update={"wake_at": None, "ready_at": NOON}))
    runtime.wake_ups.note(delayed(2, 30))
    runtime.wake_ups.note(delayed(2, 30).model_copy(update={"wake_at": None, "parked_on": "lock/a"}))

    await runtime.wake_ups.send()

    assert ear.take() == [Hint("1")]
