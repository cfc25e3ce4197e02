"""`JobManager`: the same verbs for blocking code. It has no logic of its own: each verb runs the one of
`AsyncJobManager` on an event loop in a thread."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from app.jobs.batches import BatchInfo
from app.jobs.errors import ManagerClosed, RunningLoop
from app.jobs.inbox import SentEvent
from app.jobs.manager import AsyncJobManager
from app.jobs.models import JobProgress, LogEntry
from app.jobs.streams import SavedResult, Subscription

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Caller(Protocol):
    """Runs a coroutine somewhere and waits for its answer."""

    def __call__(self, coroutine: Coroutine[Any, Any, R], /) -> R:
        """The coroutine's answer."""


Verb = Callable[Concatenate[AsyncJobManager, P], Coroutine[Any, Any, R]]


class LoopThread:
    """An event loop in a daemon thread, which ends with the process or when it is told to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._calls: set[Future[Any]] = set()
        """What threads wait for."""
        self._lock = threading.Lock()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="torpor", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        if left := asyncio.all_tasks(self.loop):
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(left))

    def call(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine there and wait for its answer.

        Raises:
            RunningLoop: this thread runs an event loop itself, which the wait would block.
            ManagerClosed: nobody is there to answer any more.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise RunningLoop
        with self._lock:
            if self._is_ending:
                coroutine.close()
                raise ManagerClosed
            answer = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
            self._calls.add(answer)
        try:
            return answer.result()
        except CancelledError:
            raise ManagerClosed from None
        finally:
            with self._lock:
                self._calls.discard(answer)

    def end_calls(self, last: Coroutine[Any, Any, R]) -> R:
        """Let nobody wait any longer, refuse further calls, and run one last coroutine."""
        with self._lock:
            self._is_ending = True
            waiting = list(self._calls)
        for answer in waiting:
            answer.cancel()
        return asyncio.run_coroutine_threadsafe(last, self.loop).result()

    def stop(self) -> None:
        """End the loop and its thread."""
        self._is_ending = True
        if self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=10)
        self.loop.close()


def _blocking(verb: Verb[P, R]) -> Callable[Concatenate[JobManager, P], R]:
    def call(self: JobManager, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.call(verb(self.inner, *args, **kwargs))

    update_wrapper(call, verb)
    return call


class JobManager:
    """Creates, steers and reads jobs, from blocking code. Takes what `AsyncJobManager` takes.

    Raises:
        RunningLoop: used inside a running event loop.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.loop_thread = LoopThread()
        self.call: Caller = self.loop_thread.call
        """Runs a coroutine on the manager's event loop and waits for its answer."""
        self._finalizer: weakref.finalize[Any, Any] | None = weakref.finalize(self, LoopThread.stop, self.loop_thread)
        try:
            self.inner = self.call(self._make(args, options))
        except BaseException:
            self._finalizer()
            raise

    @staticmethod
    async def _make(args: tuple[Any, ...], options: dict[str, Any]) -> AsyncJobManager:
        return AsyncJobManager(*args, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the embedded worker, giving its jobs back, close the store, and end the thread.

        Other threads that still wait for an answer hear `ManagerClosed`.

        Raises:
            RunningLoop: this thread runs an event loop itself, which the wait would block.
        """
        if self._finalizer is not None and self._finalizer.alive:
            try:
                self.loop_thread.end_calls(self.inner.close())
            finally:
                self._finalizer()

    @property
    def uptime(self) -> str:
        """How long this manager has been there, for people: "2h 15m"."""
        return self.inner.uptime

    @property
    def is_running(self) -> bool:
        """Whether jobs run in this process."""
        return self.inner.is_running

    def register_handler(self, job_type: str, handler: Any) -> None:
        """Let a function handle a type; see `AsyncJobManager.register_handler`."""
        self.inner.register_handler(job_type, handler)

    def subscribe_progress(self, job_id: str) -> BlockingSubscription[JobProgress]:
        """The job's progress until the job ends."""
        return BlockingSubscription(self.call, self.inner.subscribe_progress(job_id))

    def subscribe_logs(self, job_id: str, after: int = 0) -> BlockingSubscription[LogEntry]:
        """The lines of the job's log until the job ends; see `AsyncJobManager.subscribe_logs`."""
        return BlockingSubscription(self.call, self.inner.subscribe_logs(job_id, after))

    def subscribe_batch(self, batch_id: str) -> BlockingSubscription[BatchInfo]:
        """How a batch stands until all of its jobs have ended; see `AsyncJobManager.subscribe_batch`."""
        return BlockingSubscription(self.call, self.inner.subscribe_batch(batch_id))

    def subscribe_events(self, name: str | None = None, after: int = 0) -> BlockingSubscription[SentEvent]:
        """Events as they are sent; see `AsyncJobManager.subscribe_events`."""
        return BlockingSubscription(self.call, self.inner.subscribe_events(name, after))

    def unsubscribe_logs(self, job_id: str, subscription: BlockingSubscription[Any]) -> None:
        """End a subscription early, from whatever thread."""
        subscription.close()

    def subscribe_results(self, job_id: str, after: int = 0) -> BlockingSubscription[SavedResult]:
        """What the job saves until the job ends; see `AsyncJobManager.subscribe_results`."""
        return BlockingSubscription(self.call, self.inner.subscribe_results(job_id, after))

    create_job = _blocking(AsyncJobManager.create_job)
    submit = _blocking(AsyncJobManager.submit)
    create_jobs = _blocking(AsyncJobManager.create_jobs)
    start_job = _blocking(AsyncJobManager.start_job)
    cancel_job = _blocking(AsyncJobManager.cancel_job)
    cancel = _blocking(AsyncJobManager.cancel)
    stop_job = _blocking(AsyncJobManager.stop_job)
    pause_job = _blocking(AsyncJobManager.pause_job)
    resume_job = _blocking(AsyncJobManager.resume_job)
    pause_queue = _blocking(AsyncJobManager.pause_queue)
    resume_queue = _blocking(AsyncJobManager.resume_queue)
    pause_type = _blocking(AsyncJobManager.pause_type)
    resume_type = _blocking(AsyncJobManager.resume_type)
    get_paused = _blocking(AsyncJobManager.get_paused)
    retry_job = _blocking(AsyncJobManager.retry_job)
    retry_jobs = _blocking(AsyncJobManager.retry_jobs)
    review = _blocking(AsyncJobManager.review)
    list_reviews = _blocking(AsyncJobManager.list_reviews)
    get_steps = _blocking(AsyncJobManager.get_steps)
    send_event = _blocking(AsyncJobManager.send_event)
    list_events = _blocking(AsyncJobManager.list_events)
    delete_job = _blocking(AsyncJobManager.delete_job)
    cleanup_old_jobs = _blocking(AsyncJobManager.cleanup_old_jobs)
    resume_interrupted_jobs = _blocking(AsyncJobManager.resume_interrupted_jobs)
    run_watchdog = _blocking(AsyncJobManager.run_watchdog)
    sync_schedules = _blocking(AsyncJobManager.sync_schedules)
    tick = _blocking(AsyncJobManager.tick)
    add_job = _blocking(AsyncJobManager.add_job)
    create_schedule = _blocking(AsyncJobManager.create_schedule)
    get_schedule = _blocking(AsyncJobManager.get_schedule)
    list_schedules = _blocking(AsyncJobManager.list_schedules)
    pause_schedule = _blocking(AsyncJobManager.pause_schedule)
    resume_schedule = _blocking(AsyncJobManager.resume_schedule)
    delete_schedule = _blocking(AsyncJobManager.delete_schedule)
    trigger_schedule = _blocking(AsyncJobManager.trigger_schedule)
    backfill_schedule = _blocking(AsyncJobManager.backfill_schedule)
    create_job_batch = _blocking(AsyncJobManager.create_job_batch)
    get_batch_jobs = _blocking(AsyncJobManager.get_batch_jobs)
    get_batch = _blocking(AsyncJobManager.get_batch)
    list_batches = _blocking(AsyncJobManager.list_batches)
    cancel_batch = _blocking(AsyncJobManager.cancel_batch)
    add_job_dependency = _blocking(AsyncJobManager.add_job_dependency)
    remove_job_dependency = _blocking(AsyncJobManager.remove_job_dependency)
    get_dependencies = _blocking(AsyncJobManager.get_dependencies)
    get_dependent_jobs = _blocking(AsyncJobManager.get_dependent_jobs)
    get_job = _blocking(AsyncJobManager.get_job)
    get = _blocking(AsyncJobManager.get)
    get_job_status = _blocking(AsyncJobManager.get_job_status)
    get_job_results = _blocking(AsyncJobManager.get_job_results)
    get_logs = _blocking(AsyncJobManager.get_logs)
    list_jobs = _blocking(AsyncJobManager.list_jobs)
    list = _blocking(AsyncJobManager.list)
    list_page = _blocking(AsyncJobManager.list_page)
    count_jobs = _blocking(AsyncJobManager.count_jobs)
    count_due_jobs = _blocking(AsyncJobManager.count_due_jobs)
    get_oldest_waiting_seconds = _blocking(AsyncJobManager.get_oldest_waiting_seconds)
    wait = _blocking(AsyncJobManager.wait)
    get_run_history = _blocking(AsyncJobManager.get_run_history)
    get_run_page = _blocking(AsyncJobManager.get_run_page)
    get_daily_summary = _blocking(AsyncJobManager.get_daily_summary)
    get_status = _blocking(AsyncJobManager.get_status)
    get_system_health = _blocking(AsyncJobManager.get_system_health)
    get_job_metrics = _blocking(AsyncJobManager.get_job_metrics)


class BlockingSubscription(Iterator[T]):
    """What one subscriber sees, in order, until the job has ended or `close` is called, by whatever thread."""

    def __init__(self, call: Caller, feed: Subscription[T]) -> None:
        self._call = call
        self._feed = feed

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self._call(_next(self._feed))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Let the iteration end where it is."""
        self._call(_close(self._feed))


async def _next(feed: Subscription[T]) -> T:
    return await anext(feed)


async def _close(subscription: Subscription[Any]) -> None:
    subscription.close()


def manager_over(inner: AsyncJobManager, call: Caller) -> JobManager:
    """The blocking verbs of a manager that lives on another thread's event loop, which closing leaves alone."""
    manager = JobManager.__new__(JobManager)
    manager.inner, manager.call, manager._finalizer = inner, call, None
    return manager
