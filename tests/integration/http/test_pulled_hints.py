"""Long-lived workers that look once in ten minutes, and are told of work: over the Pub/Sub emulator, by PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from app.bootstrap import make_store
from app.cloud.messages import message_of
from app.cloud.pubsub import PubSubWaker
from app.cloud.pull import PulledHints
from app.jobs import (
    AsyncJobManager,
    EngineOptions,
    Hint,
    JobRequest,
    JobStatus,
    Registry,
    Runtime,
    Waker,
    Worker,
    job,
)
from app.stores.base import Store, Watch
from app.stores.firestore import FirestoreJobStore
from tests.support.topic import PushTopic
from tests.support.worker_processes import PATIENCE_SECONDS

PROJECT = "torpor-pulled"
NEVER_SECONDS = 600.0
"""Longer than any test has patience."""


class Site:
    """One database, and workers of several engines that share it."""

    def __init__(self, make_store: Callable[[], Store], make_waker: Callable[[], Waker | None]) -> None:
        self.registry = Registry()
        self.ran: list[str] = []
        self.go = asyncio.Event()
        self._make_store = make_store
        self._make_waker = make_waker

        @job("quick", registry=self.registry)
        async def quick() -> None:
            return None

        @job("long", registry=self.registry)
        async def long() -> None:
            await self.go.wait()

    @asynccontextmanager
    async def manager(self) -> AsyncIterator[AsyncJobManager]:
        """One more engine, as another process has it."""
        options = EngineOptions(poll_seconds=NEVER_SECONDS)
        runtime = Runtime(self._make_store(), registry=self.registry, options=options, waker=self._make_waker())
        async with AsyncJobManager(runtime=runtime, worker=False) as manager:
            yield manager

    @asynccontextmanager
    async def worker(self, *ears: Watch, concurrency: int = 10) -> AsyncIterator[Worker]:
        """One more worker, as another process has it; it hears of all before the test goes on."""
        async with self.manager() as manager:
            worker = Worker(manager.runtime, concurrency=concurrency, ears=ears)
            task = asyncio.create_task(worker.run())
            await until(lambda: worker.lookout.is_told, "the worker is told")
            # It may have gone to sleep before that. From its next look on it sleeps for long.
            before = worker.report.completed
            await manager.submit("quick")
            await until(lambda: worker.report.completed > before, "the worker looked")
            try:
                yield worker
            finally:
                worker.stop()
                await asyncio.wait_for(task, PATIENCE_SECONDS)


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = condition()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def all_are(manager: AsyncJobManager, status: JobStatus, number: int) -> bool:
    return await manager.count_jobs(status=status) == number


@pytest.fixture
def topic(pubsub_emulator: str, monkeypatch: pytest.MonkeyPatch) -> PushTopic:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator)
    return PushTopic(pubsub_emulator)


@pytest.fixture
def firestore_site(firestore_emulator: str, topic: PushTopic) -> Site:
    prefix = f"{uuid4().hex}_"
    return Site(
        lambda: FirestoreJobStore(project=PROJECT, prefix=prefix, emulator=firestore_emulator, timeout_seconds=60),
        lambda: PubSubWaker(topic.name, delayed=True),
    )


async def test_pulled_hints(firestore_site: Site, topic: PushTopic) -> None:
    """One job, a burst, a delayed one, doubled and broken messages: each job once, and nothing is left to be told."""
    site = firestore_site
    subscription = topic.pulled()
    ear = PulledHints(subscription)
    async with site.manager() as manager, site.worker(ear) as worker:
        alone = await manager.submit("quick")
        await until(lambda: all_are(manager, JobStatus.COMPLETED, 2), "the job that was created alone")
        await manager.create_jobs([JobRequest(type="quick") for _ in range(60)], auto_start=True)
        await manager.submit("quick", delay=2)
        await until(lambda: all_are(manager, JobStatus.COMPLETED, 63), "the burst and the delayed job")

        topic.publish(*[message_of(Hint(alone.id))] * 20, b"no hint", message_of(Hint("unknown")))
        last = await manager.submit("quick")
        await until(lambda: all_are(manager, JobStatus.COMPLETED, 64), last.id)
        assert (worker.report.claimed, worker.report.completed) == (64, 64)
        await until(lambda: not ear._covered and not ear._fresh, "all is acknowledged")
    assert topic.left_in(subscription) == 0


async def test_what_a_full_worker_hears_goes_to_others(firestore_site: Site, topic: PushTopic) -> None:
    site = firestore_site
    subscription = topic.pulled()
    async with site.manager() as manager, site.worker(PulledHints(subscription), concurrency=1) as first:
        await manager.submit("long")
        await until(lambda: all_are(manager, JobStatus.RUNNING, 1), "the first worker is full")
        async with site.worker(PulledHints(subscription), concurrency=1) as second:
            for number in range(3):
                await manager.submit("quick")
                await until(lambda number=number: second.report.completed == number + 2, "the next job")  # type: ignore[misc]
        assert first.report.completed == 1
        site.go.set()
        await until(lambda: first.report.completed == 2, "the long job")


async def test_a_subscription_that_goes_away_is_told_once_and_jobs_are_looked_for(
    firestore_site: Site, topic: PushTopic, caplog: pytest.LogCaptureFixture
) -> None:
    site = firestore_site
    subscription = topic.pulled()
    async with site.manager() as manager, site.worker(PulledHints(subscription)) as worker:
        topic.delete(subscription)
        await until(lambda: not worker.lookout.is_told, "the worker is told no more")
        for number in range(2):
            await manager.submit("quick")
            await until(lambda number=number: worker.report.completed == number + 2, "a job is found")  # type: ignore[misc]
        await until(lambda: "wake-ups are not heard" in caplog.text, "it is said")
    assert caplog.text.count("wake-ups are not heard") == 1
    assert "Traceback" not in caplog.text


async def test_a_worker_on_postgresql_is_told_by_it(postgres_url: str) -> None:
    """No topic is needed there: what others create, delay and bring forward is heard of."""
    prefix = f"{uuid4().hex[:8]}_"
    site = Site(lambda: make_store(postgres_url, prefix=prefix), lambda: None)
    async with site.manager() as manager, site.worker() as worker:
        await manager.submit("quick")
        await manager.submit("quick", delay=1.5)
        held = await manager.create_job("quick")
        await manager.start_job(held.id)
        await until(lambda: worker.report.completed == 4, "the jobs of another process")
