"""What a handler is given: the job it works for, and the verbs that record what it does.

The context of the running job is in a `ContextVar`, so nothing of one job is visible in another's, through
async tasks and threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from app.jobs.errors import LeaseLost, NoEngine
from app.jobs.events import Event
from app.jobs.leaving import Leave
from app.jobs.lock_verbs import BlockingLockVerbs, LockVerbs
from app.jobs.models import Job, JobProgress, Json
from app.jobs.once_verbs import BlockingOnceVerbs, OnceVerbs
from app.jobs.texts import LINE_CHARACTERS, MESSAGE_CHARACTERS, tidy
from app.stores.base import Store, Write

if TYPE_CHECKING:
    from app.jobs.blocking import JobManager
    from app.jobs.lease import Holder
    from app.jobs.manager import AsyncJobManager
    from app.jobs.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class StopFlag:
    """Whether and why an attempt should end; shared by its context and whoever watches over it."""

    __slots__ = ("cancelled", "has_news", "leaving", "pausing", "reason", "slicing", "stopping")

    def __init__(self) -> None:
        self.cancelled = False
        self.stopping = False
        self.pausing = False
        self.slicing = False
        """The worker's time is up: the attempt ends as soon as there is a new place to go on from."""
        self.has_news = False
        """Whether this attempt has recorded something that a later one goes on from."""
        self.leaving: Event | None = None
        """What becomes of the job when a verb has ended the attempt, whatever the handler makes of that."""
        self.reason = ""

    def leave(self, event: Event) -> Leave:
        """What a verb raises to end the attempt."""
        self.leaving = event
        return Leave(event)


class JobContext(OnceVerbs, LockVerbs):
    """One attempt's view of its job. Every verb raises `LeaseLost` once the lease is somebody else's."""

    def __init__(
        self,
        holder: Holder,
        flag: StopFlag,
        *,
        worker_id: str = "",
        flush: Callable[[Holder], bool] = lambda holder: False,
        remaining: Callable[[], float] | None = None,
        on_progress: Callable[[str, JobProgress], Awaitable[None]] | None = None,
        manager: AsyncJobManager | None = None,
    ) -> None:
        self._holder = holder
        self._flag = flag
        self._flush_due = flush
        self._remaining = remaining
        self._on_progress = on_progress
        self._manager = manager
        self._checkpoint = holder.job.checkpoint
        self._attempt = holder.job.attempt
        self.worker_id = worker_id
        """The worker that runs this attempt."""

    # --- what the job is ---

    @property
    def job(self) -> Job:
        """The job as this attempt last knew it."""
        return self._holder.job

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._holder.job.id

    @property
    def job_type(self) -> str:
        """The name of its type."""
        return self._holder.job.type

    @property
    def attempt(self) -> int:
        """The number of this lease, from 1."""
        return self._attempt

    @property
    def mode(self) -> str | None:
        """The mode given at creation, such as `dry_run` or `apply`."""
        return self._holder.job.mode

    @property
    def payload(self) -> dict[str, Json]:
        """The job's payload."""
        return self._holder.job.payload

    @property
    def settings(self) -> dict[str, Json]:
        """The settings given at creation."""
        return self._holder.job.settings

    @property
    def checkpoint(self) -> Json:
        """The newest checkpoint, of this attempt or an earlier one; None if there is none."""
        return self._checkpoint

    @property
    def manager(self) -> AsyncJobManager:
        """The manager of the engine that runs this job, to create further jobs with.

        Raises:
            NoEngine: the job runs in a standalone executor, which has none.
        """
        if self._manager is None:
            raise NoEngine
        return self._manager

    def is_of(self, runtime: Runtime) -> bool:
        """Whether it is this engine that runs the job."""
        return self._manager is not None and self._manager.runtime is runtime

    @property
    def application(self) -> Mapping[str, object]:
        """What the process's settings say to applications, by name."""
        return self.manager.runtime.application

    @property
    def store(self) -> Store:
        """The engine's store, to read an application's own records from; write them with `commit`."""
        return self.manager.runtime.store

    # --- what it waited for ---

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The ids of the jobs that this one depends on."""
        return self._holder.job.depends_on

    async def dependency_results(self) -> dict[str, Json]:
        """What the handlers of those jobs returned, by job id; those that are not COMPLETED, or deleted, are left out.

        Raises:
            NoEngine: the job runs in a standalone executor, which has no other jobs.
        """
        jobs = await self.manager.get_dependencies(self.job_id) if self.dependencies else []
        return {job.id: job.result.data for job in jobs if job.result is not None and job.result.success}

    # --- how long, and whether to go on ---

    @property
    def remaining(self) -> float:
        """Seconds this attempt may still take: until its timeout, its job's duration limit or its worker's deadline."""
        return float("inf") if self._remaining is None else self._remaining()

    @property
    def is_cancelled(self) -> bool:
        """Whether the job has been cancelled: by request, by its duration limit, or by `cancel`."""
        return self._flag.cancelled

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is about to end: save a checkpoint or raise `ContinueLater`, or be cut off shortly."""
        return self._flag.stopping

    def cancel(self) -> None:
        """Mark the job as cancelled; it ends CANCELLED when the handler returns."""
        self._flag.cancelled = True
        self._flag.reason = self._flag.reason or "cancelled by its handler"

    # --- what it records ---

    async def report_progress(self, current: float, total: float = 0, message: str = "") -> None:
        """Tell how far the job is. Written with the next renewal, at the latest after the flush interval.

        Raises:
            LeaseLost: the lease is somebody else's.
        """
        progress = JobProgress(current=current, total=total, message=tidy(str(message), MESSAGE_CHARACTERS))
        self._holder.report(progress)
        if self._on_progress is not None:
            await self._on_progress(self.job_id, progress)
        await self._flush_if_due()

    async def log(self, message: str, level: str = "INFO") -> None:
        """Add a line to the job's stored log.

        Args:
            message: any text, or an object that has one; very long ones are cut.
            level: DEBUG, INFO, WARNING, ERROR or CRITICAL.

        Raises:
            LeaseLost: the lease is somebody else's.
            ValueError: another level.
        """
        name = level.upper()
        if name not in LOG_LEVELS:
            raise ValueError(f"level: {level!r} is not a log level; use one of {', '.join(LOG_LEVELS)}")
        self._holder.add_log(name, tidy(str(message), LINE_CHARACTERS))
        await self._flush_if_due()

    async def save_result(self, data: Json) -> None:
        """Store one more result of this job; it is stored when this returns.

        Raises:
            LeaseLost: the lease is somebody else's.
            BadInput: not a JSON value, or too large.
        """
        await self._holder.save_result(data)

    async def save_checkpoint(self, checkpoint: Json) -> None:
        """Remember where a later attempt can go on. Written with the next renewal; a newer one replaces it.

        Raises:
            LeaseLost: the lease is somebody else's.
            BadInput: not a JSON value, or too large.
        """
        self._holder.set_checkpoint(checkpoint)
        self._flag.has_news = self._flag.has_news or checkpoint != self._checkpoint
        self._checkpoint = checkpoint
        self._leave_if_asked()
        await self._flush_if_due()

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write an application's own records in one commit with the job: all or nothing, and only by its holder.

        What progress, log and checkpoint have gathered goes with it, so a checkpoint saved just before tells
        exactly whether the records were written.

        Raises:
            LeaseLost: the lease is somebody else's.
            PreconditionFailed: one of the records is not in the state that its write names.
        """
        await self._holder.commit(writes)

    async def flush(self) -> None:
        """Store now what progress, log and checkpoint have gathered.

        Raises:
            LeaseLost: the lease is somebody else's.
        """
        await self._holder.flush()

    async def _flush_if_due(self) -> None:
        if self._flush_due(self._holder):
            await self._holder.flush()


def _blocking(
    verb: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingJobContext, P], R]:
    def call(self: BlockingJobContext, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.wait_for(verb(self.inner, *args, **kwargs))

    update_wrapper(call, verb)
    return call


class BlockingJobContext(BlockingOnceVerbs, BlockingLockVerbs):
    """The same context for a sync handler: its verbs block the handler's thread, never the event loop."""

    def __init__(self, inner: JobContext, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self._loop = loop

    def wait_for(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the engine's event loop and wait for its answer."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    job = property(lambda self: self.inner.job)
    job_id = property(lambda self: self.inner.job_id)
    job_type = property(lambda self: self.inner.job_type)
    attempt = property(lambda self: self.inner.attempt)
    mode = property(lambda self: self.inner.mode)
    worker_id = property(lambda self: self.inner.worker_id)
    remaining = property(lambda self: self.inner.remaining)
    application = property(lambda self: self.inner.application)
    store = property(lambda self: self.inner.store)

    dependencies = property(lambda self: self.inner.dependencies)

    def is_of(self, runtime: Runtime) -> bool:
        """Whether it is this engine that runs the job."""
        return self.inner.is_of(runtime)

    @property
    def manager(self) -> JobManager:
        """The manager of the engine that runs this job, with blocking verbs; see `JobContext.manager`."""
        from app.jobs.blocking import manager_over

        return manager_over(self.inner.manager, self.wait_for)

    @property
    def payload(self) -> Mapping[str, Json]:
        """The job's payload."""
        return self.inner.payload

    @property
    def settings(self) -> Mapping[str, Json]:
        """The settings given at creation."""
        return self.inner.settings

    @property
    def checkpoint(self) -> Json:
        """The newest checkpoint."""
        return self.inner.checkpoint

    @property
    def is_cancelled(self) -> bool:
        """Whether the job has been cancelled."""
        return self.inner.is_cancelled

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is shutting down."""
        return self.inner.is_stopping

    def cancel(self) -> None:
        """Mark the job as cancelled."""
        self.inner.cancel()

    dependency_results = _blocking(JobContext.dependency_results)
    report_progress = _blocking(JobContext.report_progress)
    log = _blocking(JobContext.log)
    save_result = _blocking(JobContext.save_result)
    save_checkpoint = _blocking(JobContext.save_checkpoint)
    commit = _blocking(JobContext.commit)
    flush = _blocking(JobContext.flush)
    sleep = _blocking(JobContext.sleep)
    wait_for_event = _blocking(JobContext.wait_for_event)
    request_review = _blocking(JobContext.request_review)


AnyContext = JobContext | BlockingJobContext

_job_context_var: ContextVar[AnyContext | None] = ContextVar("torpor_job_context", default=None)


def set_current_job_context(context: AnyContext) -> None:
    """Make this the context of whatever runs in the current task or thread."""
    _job_context_var.set(context)


def get_current_job_context() -> AnyContext | None:
    """The context of the job that runs here, or None."""
    return _job_context_var.get()


def clear_current_job_context() -> None:
    """Forget it again."""
    _job_context_var.set(None)


__all__ = [
    "LOG_LEVELS",
    "AnyContext",
    "BlockingJobContext",
    "JobContext",
    "LeaseLost",
    "StopFlag",
    "clear_current_job_context",
    "get_current_job_context",
    "set_current_job_context",
]
