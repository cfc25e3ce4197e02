"""Jobs that are delayed for a short while go on by tasks of a queue, which call gunicorn in time: nobody sweeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.cloud.tasks import EMULATOR, CloudTasksWaker
from app.jobs import AsyncJobManager, JobStatus, Runtime, SystemClock
from app.stores import DatabaseJobStore
from tests.support import served_jobs  # noqa: F401 - registers the types
from tests.support.server_process import ServerProcess
from tests.support.task_queue import QUEUE, TaskQueue
from tests.support.worker_processes import eventually

URL = "https://worker.example"
ACCOUNT = "tasks@project.iam.gserviceaccount.com"
DELAY_SECONDS = 1.0
SLEEP_SECONDS = 2.5
"""Shorter sleeps are waited for in place."""


@pytest.fixture
def places() -> dict[str, str]:
    """Where the worker is, which the queue knows by its public address."""
    return {}


@pytest.fixture
def queue(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskQueue]:
    with TaskQueue(lambda: places) as queue:
        monkeypatch.setenv(EMULATOR, queue.address)
        yield queue


@pytest.fixture
def server(tmp_path: Path, queue: TaskQueue, places: dict[str, str]) -> Iterator[ServerProcess]:
    settings = {"TORPOR_WAKE_QUEUE": QUEUE, "TORPOR_WAKE_URL": URL, "TORPOR_WAKE_ACCOUNT": ACCOUNT}
    store = f"sqlite:///{tmp_path}/jobs.db"
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store, CLOUD_TASKS_EMULATOR_HOST=queue.address, **settings) as server:
        places[URL] = server.url
        yield server


async def test_a_start_a_retry_and_a_sleep_each_at_its_time(
    tmp_path: Path, server: ServerProcess, queue: TaskQueue
) -> None:
    """The worker itself makes the tasks of what it delays; with the queue alone it is also woken at once by one."""
    waker = CloudTasksWaker(QUEUE, URL, ACCOUNT, within=timedelta(minutes=1), clock=SystemClock())
    runtime = Runtime(DatabaseJobStore(url=f"sqlite:///{tmp_path}/jobs.db"), waker=waker)
    async with AsyncJobManager(runtime=runtime, worker=False) as manager:
        jobs = [
            await manager.submit("served_quick"),
            await manager.submit("served_quick", delay_seconds=DELAY_SECONDS),
            await manager.submit("served_again", {"seconds": DELAY_SECONDS}),
            await manager.submit("served_sleeper", {"seconds": SLEEP_SECONDS}),
        ]
        ended = await asyncio.gather(*(manager.wait(job.id, timeout=60) for job in jobs))
        runs = {run.id: run for run in await manager.get_run_history()}

    assert {job.status for job in ended} == {JobStatus.COMPLETED}, server.said
    assert (len(server.noted("quick")), len(server.noted("again")), len(server.noted("rises"))) == (2, 2, 1)
    assert {call.status for kept in queue.kept for call in kept.calls} == {200}
    _, delayed, again, sleeper = jobs
    assert runs[f"{delayed.id}-1"].started_at >= delayed.created_at + timedelta(seconds=DELAY_SECONDS)
    for each, seconds in ((again, DELAY_SECONDS), (sleeper, SLEEP_SECONDS)):
        first, second = runs[f"{each.id}-1"], runs[f"{each.id}-2"]
        assert second.started_at >= first.started_at + timedelta(seconds=seconds)


async def test_a_worker_that_is_away_is_called_again(
    tmp_path: Path, server: ServerProcess, queue: TaskQueue, places: dict[str, str]
) -> None:
    places[URL] = "http://127.0.0.1:9"
    waker = CloudTasksWaker(QUEUE, URL, ACCOUNT, within=timedelta(minutes=1), clock=SystemClock())
    runtime = Runtime(DatabaseJobStore(url=f"sqlite:///{tmp_path}/jobs.db"), waker=waker)
    async with AsyncJobManager(runtime=runtime, worker=False) as manager:
        job = await manager.submit("served_quick", delay_seconds=0.2)
        await eventually(lambda: bool(queue.kept and queue.kept[0].calls), "a call in vain")
        places[URL] = server.url
        ended = await manager.wait(job.id, timeout=60)

    assert ended.status is JobStatus.COMPLETED
    (kept,) = queue.kept
    assert kept.calls[0].status == 0
    assert kept.calls[-1].status == 200
