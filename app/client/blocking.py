"""`Client`: the same verbs for blocking code. It has no logic of its own: each verb runs the one of `AsyncClient` on an
event loop in a thread."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from app.client.asynchronous import AsyncClient
from app.jobs import BatchInfo, JobProgress, LogEntry, LoopThread, ManagerClosed, SavedResult, SentEvent

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Verb = Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]


def _blocking(verb: Verb[P, R]) -> Callable[Concatenate[Client, P], R]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.loop_thread.call(verb(self.inner, *args, **kwargs))

    update_wrapper(call, verb)
    return call


class Client:
    """Creates, steers and reads jobs through a server, from blocking code. Takes what `AsyncClient` takes.

    Raises:
        RunningLoop: used inside a running event loop.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.loop_thread = LoopThread()
        self._finalizer = weakref.finalize(self, LoopThread.stop, self.loop_thread)
        try:
            self.inner = self.loop_thread.call(self._make(args, options))
        except BaseException:
            self._finalizer()
            raise

    @staticmethod
    async def _make(args: tuple[Any, ...], options: dict[str, Any]) -> AsyncClient:
        return AsyncClient(*args, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections, and end the thread. Other threads that still wait for an answer hear
        `ManagerClosed`."""
        if self._finalizer.alive:
            try:
                self.loop_thread.end_calls(self.inner.close())
            finally:
                self._finalizer()

    def subscribe_logs(self, job_id: str, after: int = 0) -> Iterator[LogEntry]:
        """The lines of the job's log until the job ends; see `AsyncClient.subscribe_logs`."""
        return self._each(self.inner.subscribe_logs(job_id, after))

    def subscribe_progress(self, job_id: str) -> Iterator[JobProgress]:
        """The job's progress until the job ends."""
        return self._each(self.inner.subscribe_progress(job_id))

    def subscribe_results(self, job_id: str, after: int = 0) -> Iterator[SavedResult]:
        """What the job saves until it ends; see `AsyncClient.subscribe_results`."""
        return self._each(self.inner.subscribe_results(job_id, after))

    def subscribe_batch(self, batch_id: str) -> Iterator[BatchInfo]:
        """How the jobs of a batch stand, until all of them have ended."""
        return self._each(self.inner.subscribe_batch(batch_id))

    def subscribe_events(self, name: str | None = None, after: int = 0) -> Iterator[SentEvent]:
        """Events as they are sent, each once; see `AsyncClient.subscribe_events`."""
        return self._each(self.inner.subscribe_events(name, after))

    def _each(self, feed: AsyncGenerator[T, None]) -> Iterator[T]:
        try:
            while True:
                found = self.loop_thread.call(_next(feed))
                if not found:
                    return
                yield found[0]
        finally:
            with suppress(ManagerClosed):  # closing the client has ended it
                self.loop_thread.call(feed.aclose())

    create_job = _blocking(AsyncClient.create_job)
    submit = _blocking(AsyncClient.submit)
    create_jobs = _blocking(AsyncClient.create_jobs)
    create_job_batch = _blocking(AsyncClient.create_job_batch)
    start_job = _blocking(AsyncClient.start_job)
    pause_job = _blocking(AsyncClient.pause_job)
    resume_job = _blocking(AsyncClient.resume_job)
    cancel_job = _blocking(AsyncClient.cancel_job)
    retry_job = _blocking(AsyncClient.retry_job)
    retry_jobs = _blocking(AsyncClient.retry_jobs)
    review = _blocking(AsyncClient.review)
    delete_job = _blocking(AsyncClient.delete_job)
    get_job = _blocking(AsyncClient.get_job)
    get_job_status = _blocking(AsyncClient.get_job_status)
    list_jobs = _blocking(AsyncClient.list_jobs)
    count_jobs = _blocking(AsyncClient.count_jobs)
    count_due_jobs = _blocking(AsyncClient.count_due_jobs)
    list_page = _blocking(AsyncClient.list_page)
    wait = _blocking(AsyncClient.wait)
    get_job_results = _blocking(AsyncClient.get_job_results)
    get_steps = _blocking(AsyncClient.get_steps)
    get_logs = _blocking(AsyncClient.get_logs)
    get_dependencies = _blocking(AsyncClient.get_dependencies)
    get_dependent_jobs = _blocking(AsyncClient.get_dependent_jobs)
    add_job_dependency = _blocking(AsyncClient.add_job_dependency)
    remove_job_dependency = _blocking(AsyncClient.remove_job_dependency)
    get_batch = _blocking(AsyncClient.get_batch)
    get_batch_jobs = _blocking(AsyncClient.get_batch_jobs)
    list_batches = _blocking(AsyncClient.list_batches)
    cancel_batch = _blocking(AsyncClient.cancel_batch)
    get_run_page = _blocking(AsyncClient.get_run_page)
    get_run_history = _blocking(AsyncClient.get_run_history)
    get_daily_summary = _blocking(AsyncClient.get_daily_summary)
    get_system_health = _blocking(AsyncClient.get_system_health)
    get_status = _blocking(AsyncClient.get_status)
    get_oldest_waiting_seconds = _blocking(AsyncClient.get_oldest_waiting_seconds)
    get_job_metrics = _blocking(AsyncClient.get_job_metrics)
    list_types = _blocking(AsyncClient.list_types)
    run_watchdog = _blocking(AsyncClient.run_watchdog)
    tick = _blocking(AsyncClient.tick)
    sync_schedules = _blocking(AsyncClient.sync_schedules)
    resume_interrupted_jobs = _blocking(AsyncClient.resume_interrupted_jobs)
    cleanup_old_jobs = _blocking(AsyncClient.cleanup_old_jobs)
    create_schedule = _blocking(AsyncClient.create_schedule)
    get_schedule = _blocking(AsyncClient.get_schedule)
    list_schedules = _blocking(AsyncClient.list_schedules)
    pause_schedule = _blocking(AsyncClient.pause_schedule)
    resume_schedule = _blocking(AsyncClient.resume_schedule)
    trigger_schedule = _blocking(AsyncClient.trigger_schedule)
    backfill_schedule = _blocking(AsyncClient.backfill_schedule)
    delete_schedule = _blocking(AsyncClient.delete_schedule)
    get_paused = _blocking(AsyncClient.get_paused)
    pause_queue = _blocking(AsyncClient.pause_queue)
    resume_queue = _blocking(AsyncClient.resume_queue)
    pause_type = _blocking(AsyncClient.pause_type)
    resume_type = _blocking(AsyncClient.resume_type)
    list_reviews = _blocking(AsyncClient.list_reviews)
    send_event = _blocking(AsyncClient.send_event)
    list_events = _blocking(AsyncClient.list_events)


async def _next(feed: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next of a feed; None at its end."""
    try:
        return (await anext(feed),)
    except StopAsyncIteration:
        return None
