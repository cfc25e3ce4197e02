"""`JobManager`: the same verbs from blocking code, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.jobs import (
    AsyncJobManager,
    BlockingJobContext,
    JobContext,
    JobManager,
    JobNotFound,
    JobStatus,
    ManagerClosed,
    Registry,
    RunningLoop,
    Runtime,
    job,
)
from app.stores.base import Watch
from app.stores.memory import MemoryJobStore

PATIENCE_SECONDS = 60


@pytest.fixture
def registry() -> Registry:
    registry = Registry()

    @job("double", registry=registry)
    async def double(ctx: JobContext, n: int) -> int:
        await ctx.report_progress(1, 1, "doubled")
        return 2 * n

    @job("in_a_thread", registry=registry)
    def in_a_thread(ctx: BlockingJobContext) -> int:
        ctx.log("from a thread")
        return threading.get_ident()

    return registry


@pytest.fixture
def manager(registry: Registry) -> Iterator[JobManager]:
    with JobManager(runtime=Runtime(MemoryJobStore(), registry=registry)) as manager:
        yield manager


def test_a_job_from_creation_to_its_results(manager: JobManager) -> None:
    created = manager.create_job("double", {"n": 21}, tags=["answer"])
    assert created.status is JobStatus.PENDING
    manager.start_job(created.id)
    ended = manager.wait(created.id, timeout=30)
    assert (ended.status, manager.get_job_status(created.id)) == (JobStatus.COMPLETED, "completed")
    results = manager.get_job_results(created.id)
    assert results is not None
    assert results.result == 42
    assert [each.id for each in manager.list_jobs(tags=["answer"])] == [created.id]
    assert [run.job_id for run in manager.get_run_history()] == [created.id]
    assert manager.get_daily_summary().runs == 1
    assert (manager.is_running, manager.count_jobs()) == (True, 1)


def test_a_sync_handler_runs_beside_the_loop(manager: JobManager) -> None:
    ended = manager.wait(manager.submit("in_a_thread").id, timeout=30)
    assert ended.result is not None
    assert ended.result.data not in (threading.get_ident(), manager.loop_thread._thread.ident)
    assert [entry.message for entry in manager.get_logs(ended.id)] == ["from a thread"]


def test_a_log_is_followed_and_a_subscription_ended_from_another_thread(manager: JobManager) -> None:
    held = manager.create_job("in_a_thread")
    lines = manager.subscribe_logs(held.id)
    heard: list[str] = []
    listening = threading.Thread(target=lambda: heard.extend(entry.message for entry in lines))
    listening.start()
    forgotten = manager.subscribe_logs(held.id)
    ending = threading.Thread(target=lambda: heard.extend(entry.message for entry in forgotten))
    ending.start()
    manager.unsubscribe_logs(held.id, forgotten)
    ending.join(PATIENCE_SECONDS)
    assert not ending.is_alive()
    manager.start_job(held.id)
    listening.join(PATIENCE_SECONDS)
    assert not listening.is_alive()
    assert heard == ["from a thread"]
    assert list(manager.subscribe_results(held.id)) == []
    with pytest.raises(JobNotFound):
        next(manager.subscribe_logs("nobody"))


def test_progress_is_iterated_over(manager: JobManager) -> None:
    submitted = manager.submit("double", {"n": 1})
    assert [progress.message for progress in manager.subscribe_progress(submitted.id)] == ["doubled"]


def test_a_thread_that_waits_hears_that_the_manager_was_closed(registry: Registry) -> None:
    """Closing neither waits for it nor leaves it behind, and no later call hangs either."""
    store = MemoryJobStore()
    manager = JobManager(runtime=Runtime(store, registry=registry), worker=False)
    job_id = manager.submit("double", {"n": 1}).id
    waits = threading.Event()
    heard: list[BaseException] = []
    watch = store.watch

    async def watched(collection: str, record_id: str | None = None) -> Watch:
        waits.set()
        return await watch(collection, record_id)

    store.watch = watched  # type: ignore[method-assign]  # the test has to know when it is asked

    def wait() -> None:
        try:
            manager.wait(job_id)
        except ManagerClosed as error:
            heard.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert waits.wait(PATIENCE_SECONDS)
    manager.close()
    thread.join(PATIENCE_SECONDS)

    assert not thread.is_alive()
    assert [type(error) for error in heard] == [ManagerClosed]
    with pytest.raises(ManagerClosed, match="look it up with another manager"):
        manager.get_job(job_id)
    manager.close()


def test_errors_come_through(manager: JobManager) -> None:
    with pytest.raises(JobNotFound, match="there is no job 'nobody'"):
        manager.get_job("nobody")


async def test_inside_a_running_loop_it_is_refused(registry: Registry) -> None:
    with pytest.raises(RunningLoop, match="use AsyncJobManager here"):
        JobManager(runtime=Runtime(MemoryJobStore(), registry=registry))
    assert not [thread for thread in threading.enumerate() if thread.name == "torpor"]


def test_made_outside_it_is_refused_inside_too(manager: JobManager) -> None:
    async def inside() -> None:
        with pytest.raises(RunningLoop):
            manager.count_jobs()

    asyncio.run(inside())
    assert manager.count_jobs() == 0


def test_many_threads_may_share_one(manager: JobManager) -> None:
    results: list[Any] = []

    def work(n: int) -> None:
        ended = manager.wait(manager.submit("double", {"n": n}).id, timeout=30)
        results.append(ended.result.data if ended.result else None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [2 * n for n in range(10)]


def test_it_ends_with_its_thread_and_may_be_closed_twice(registry: Registry) -> None:
    manager = JobManager(runtime=Runtime(MemoryJobStore(), registry=registry))
    manager.create_job("double", {"n": 1})
    thread = manager.loop_thread._thread
    manager.close()
    manager.close()
    assert not thread.is_alive()


def test_one_that_is_forgotten_takes_its_thread_with_it(registry: Registry) -> None:
    manager = JobManager(runtime=Runtime(MemoryJobStore(), registry=registry), worker=False)
    manager.create_job("double", {"n": 1})
    thread = manager.loop_thread._thread
    del manager
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_it_offers_every_verb_of_the_asynchronous_one() -> None:
    """Whatever is added there is offered here: under the same name, with the same arguments."""
    own_life = {"open", "close", "bind"}
    for name, verb in inspect.getmembers(AsyncJobManager, inspect.isfunction):
        if name.startswith("_") or name in own_life:
            continue
        blocking = getattr(JobManager, name, None)
        assert blocking is not None, f"JobManager has no {name}"
        if inspect.iscoroutinefunction(verb):
            assert inspect.signature(blocking) == inspect.signature(verb), name
            assert blocking.__doc__ == verb.__doc__
