"""The whole street: a manager publishes hints, the Pub/Sub emulator pushes them to gunicorn, and the jobs run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.cloud.pubsub import PubSubWaker
from app.cloud.tasks import EMULATOR
from app.jobs import AsyncJobManager, JobRequest, JobStatus, Runtime
from tests.support import served_jobs  # noqa: F401 - registers the types
from tests.support.street import Street
from tests.support.task_queue import QUEUE, TaskQueue
from tests.support.topic import PushTopic
from tests.support.worker_processes import PATIENCE_SECONDS


@pytest.fixture
def street(tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, monkeypatch: pytest.MonkeyPatch) -> Street:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator)
    return Street(tmp_path, firestore_emulator, PushTopic(pubsub_emulator))


@pytest.fixture
async def manager(street: Street) -> AsyncIterator[AsyncJobManager]:
    waker = PubSubWaker(street.topic.name)
    async with AsyncJobManager(runtime=Runtime(street.store, waker=waker), worker=False) as manager:
        yield manager
    await waker.close()


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not await condition():  # type: ignore[misc]  # a coroutine function
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


async def test_hints_alone_run_every_job(street: Street, manager: AsyncJobManager) -> None:
    """Nobody sweeps: one job alone, a burst, a delayed one by its retry, and what is left over wakes the next."""
    with street.server() as server:
        street.topic.push_to(server.url)
        alone = await manager.submit("served_quick")
        burst = await manager.create_jobs([JobRequest(type="served_quick") for _ in range(120)], auto_start=True)

        async def all_completed() -> bool:
            return await manager.count_jobs(status="completed") == 1 + len(burst)

        await until(all_completed, server.said)
        assert sorted(server.noted("quick")) == sorted(job.id for job in (alone, *burst))


async def test_with_a_queue_beside_the_topic_each_tells_of_its_own(
    street: Street, manager: AsyncJobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to run now comes by pushes, what is to run again in a second by a task, from whichever process."""
    url, account = "https://worker.example", "tasks@project.iam.gserviceaccount.com"
    places: dict[str, str] = {}
    with TaskQueue(lambda: places) as queue:
        monkeypatch.setenv(EMULATOR, queue.address)
        settings = {"TORPOR_WAKE_QUEUE": QUEUE, "TORPOR_WAKE_URL": url, "TORPOR_WAKE_ACCOUNT": account}
        with street.server(CLOUD_TASKS_EMULATOR_HOST=queue.address, **settings) as server:
            places[url] = server.url
            street.topic.push_to(server.url)
            again = await manager.submit("served_again", {"seconds": 1.0})
            ended = await manager.wait(again.id, timeout=PATIENCE_SECONDS)

    assert ended.status is JobStatus.COMPLETED, server.said
    assert [json.loads(task.http_request.body)["job_id"] for task in queue.tasks] == [again.id]
    assert all(task.schedule_time is not None for task in queue.tasks)


async def test_a_server_that_ends_hands_its_jobs_on(street: Street, manager: AsyncJobManager) -> None:
    """SIGTERM in the middle of a burst; the subscription goes to a second server, woken by what was given back."""
    with street.server(TORPOR_CONCURRENCY="4") as first, street.server(TORPOR_CONCURRENCY="4") as second:
        subscription = street.topic.push_to(first.url)
        jobs = await manager.create_jobs(
            [JobRequest(type="served_long", payload={"seconds": 0.05}) for _ in range(80)], auto_start=True
        )

        async def some_completed() -> bool:
            return await manager.count_jobs(status="completed") >= 10

        await until(some_completed, first.said)
        street.topic.move_to(subscription, second.url)
        first.terminate()
        assert await asyncio.to_thread(first.ended) == 0

        async def all_completed() -> bool:
            return await manager.count_jobs(status="completed") == len(jobs)

        await until(all_completed, second.said)
    statuses = {job.status for job in await manager.list_jobs()}
    assert statuses == {JobStatus.COMPLETED}
    assert all(job.retries_used == 0 and job.lease_losses == 0 for job in await manager.list_jobs())


async def test_a_broker_that_is_gone_loses_nothing(
    street: Street, manager: AsyncJobManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    jobs = [await manager.submit("served_quick") for _ in range(2)]
    assert caplog.text.count("workers were not woken") == 1

    with street.server() as server:
        answer = await asyncio.to_thread(server.post, "/tasks/drain")

    assert answer.json()["completed"] == len(jobs)
