"""Runs handlers: at most so many at once, each watched over, each ending in exactly one event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.jobs.attempt import Attempt, StopKind, error_of
from app.jobs.clock import Chance, Clock, SystemClock
from app.jobs.context import JobContext, StopFlag
from app.jobs.definition import JobDefinition, define
from app.jobs.errors import AttemptTimeout, LeaseLost, NoEngine, NoHandler, TorporError, Unreadable
from app.jobs.events import AskReview, Claim, Event, Fail, Release, Retry, Slice, Start, Stop
from app.jobs.heartbeat import Heartbeat
from app.jobs.journal import Journal
from app.jobs.lease import Change, Holder, Lease
from app.jobs.middleware import Hooks
from app.jobs.models import Job, JobProgress, JobResult, JobStatus, Json, LogEntry
from app.jobs.options import EngineOptions
from app.jobs.records import JobRecords
from app.jobs.registry import Registry
from app.jobs.retry import decide_retry
from app.jobs.transitions import transition
from app.stores.base import StoreUnavailable, Write

if TYPE_CHECKING:
    from app.jobs.manager import AsyncJobManager

logger = logging.getLogger(__name__)

_NO_RESULT = JobResult(success=False, error="no result")

LONGEST_HANDOVER_SECONDS = 300.0
"""How long a job whose type this worker does not have waits at most before it is offered again."""

ProgressCallback = Callable[[JobProgress], Awaitable[None] | None]


class ExecutionContext:
    """What a handler is given that `register_handler` added: the context, with `is_cancelled` as a method."""

    def __init__(self, inner: JobContext) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def is_cancelled(self) -> bool:
        """Whether the job has been cancelled."""
        return self._inner.is_cancelled

    async def report_progress(self, current: float, total: float = 0, message: str = "") -> None:
        """Tell how far the job is."""
        await self._inner.report_progress(current, total, message)


JobHandler = Callable[[ExecutionContext], Awaitable[JobResult]]


def handler_definition(job_type: str, handler: JobHandler) -> JobDefinition:
    """The definition of a handler that takes an `ExecutionContext` and returns a `JobResult`."""

    async def call(ctx: JobContext) -> JobResult:
        return await handler(ExecutionContext(ctx))

    call.__qualname__ = f"{getattr(handler, '__qualname__', handler)}@{id(handler):x}"
    return define(call, {"type": str(job_type)}, {})


class NullLease:
    """Holds a job that no store knows: what is recorded stays in memory."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self.job = job
        self.log: list[LogEntry] = []
        self.results: list[Json] = []
        self.journal = Journal(self, clock)
        self._clock = clock

    is_dirty = False
    remaining_seconds = float("inf")

    def report(self, progress: JobProgress) -> None:
        """Keep progress on the job."""
        self.job.progress = progress

    def add_log(self, level: str, message: str) -> LogEntry:
        """Keep a log line."""
        number = len(self.log) + 1
        entry = LogEntry(number=number, at=self._clock.now(), level=level, message=message, attempt=self.job.attempt)
        self.log.append(entry)
        return entry

    def set_checkpoint(self, data: Json) -> None:
        """Keep a checkpoint on the job."""
        self.job.checkpoint = data

    async def save_result(self, data: Json) -> None:
        """Keep one more result."""
        self.results.append(data)

    async def commit(self, writes: Sequence[Write], change: Change | None = None) -> None:
        """There is no store to write to.

        Raises:
            NoEngine: always, if there is anything to write.
        """
        if writes:
            raise NoEngine
        if change is not None:
            self.job = change(self.job)

    async def flush(self) -> None:
        """Nothing waits here."""


class JobExecutor:
    """A bounded runner of handlers. On its own it runs jobs without a store; workers give it leases."""

    def __init__(
        self,
        max_concurrent: int = 10,
        *,
        registry: Registry | None = None,
        clock: Clock | None = None,
        chance: Chance | None = None,
        options: EngineOptions | None = None,
        records: JobRecords | None = None,
        hooks: Hooks | None = None,
        on_progress: Callable[[str, JobProgress], Awaitable[None]] | None = None,
        manager: AsyncJobManager | None = None,
        ask_first: Callable[[Job], Awaitable[Event | None]] | None = None,
    ) -> None:
        """Set up.

        Args:
            max_concurrent: how many handlers run at once.
            registry: who handles which type.
            clock: where time is taken from.
            chance: where jitter is taken from.
            options: how the engine behaves.
            records: reads what a claimed job's record does not hold itself.
            hooks: what the application does around jobs.
            on_progress: told whenever a handler reports progress.
            manager: what handlers create further jobs with.
            ask_first: what is to happen to a claimed job instead of being run; None from it lets it run.
        """
        self.max_concurrent = max_concurrent
        # An empty registry is false, and may be filled later.
        self._registry = registry if registry is not None else Registry()
        self._clock = clock or SystemClock()
        self._chance = chance or Chance()
        self._options = options or EngineOptions()
        self._records = records
        self._hooks = hooks or Hooks()
        self._on_progress = on_progress
        self._manager = manager
        self._ask_first = ask_first
        self._slots = asyncio.Semaphore(max_concurrent)
        self._attempts: dict[str, Attempt] = {}
        self._heartbeat = Heartbeat(self._clock, self._options)
        self.deadline: float | None = None
        """Monotonic time at which the worker ends, for `JobContext.remaining`."""
        self.leaked = 0
        """Slots whose handler would not stop."""
        self._is_stopping = False
        self.on_leak: Callable[[], None] = lambda: None
        """Called when a slot has leaked."""

    @property
    def running(self) -> int:
        """How many handlers are at work."""
        return len(self._attempts)

    def register_handler(self, job_type: str, handler: JobHandler) -> None:
        """Let a function handle a type: it is given an `ExecutionContext` and returns a `JobResult`."""
        self._registry.add(handler_definition(job_type, handler))

    async def close(self) -> None:
        """Stop watching over attempts."""
        await self._heartbeat.close()

    # --- without a store ---

    async def execute(self, job: Job, progress_callback: ProgressCallback | None = None) -> JobResult:
        """Run a job here and now, under a null lease; `job` is changed in place, and its result is always set.

        Args:
            job: a job in any status that is not terminal.
            progress_callback: called with each progress; may be a coroutine function.

        Raises:
            NoHandler: nothing is registered for the job's type.
        """
        definition = self._registry.find(job.type)
        if definition is None:
            raise NoHandler(job.type)

        async def forward(job_id: str, progress: JobProgress) -> None:
            if progress_callback is not None:
                answer = progress_callback(progress)
                if answer is not None:
                    await answer

        async with self._slots:
            now = self._clock.now()
            token = self._chance.token()
            queued = (
                job
                if job.status is JobStatus.QUEUED
                else transition(job.model_copy(update={"status": JobStatus.PENDING}), Start(), now)
            )
            claim = Claim("standalone", token, token, self._options.lease_seconds)
            _replace(job, transition(queued, claim, now))
            if job.is_terminal:
                return job.result or _NO_RESULT  # it had to begin earlier
            attempt = self._attempt(NullLease(job, self._clock), definition, on_progress=forward)
            event: Event = Stop("the executor was stopped")
            try:
                event = self._final(await self._watched(attempt))
            finally:
                _replace(job, transition(job, event, self._clock.now()))
        return job.result or _NO_RESULT

    @staticmethod
    def _final(event: Event | None) -> Event:
        """An event that ends a job which nobody will run again."""
        if event is None:
            return Stop("the handler would not stop")
        if isinstance(event, Retry):
            return Fail(event.error, JobResult(success=False, error=event.error.message))
        if isinstance(event, Release | Slice | AskReview):
            return Stop("the handler ended before its job did")
        return event

    async def cancel(self, job_id: str) -> bool:
        """Tell a running handler to stop; it is cut off after the grace time. False if it does not run here."""
        attempt = self._attempts.get(job_id)
        if attempt is None:
            return False
        grace = self._options.cancel_grace_seconds
        attempt.request_stop(StopKind.CANCEL, "cancelled", self._clock.monotonic(), grace)
        self._heartbeat.nudge()
        return True

    # --- under a lease ---

    async def run(self, lease: Lease, on_ended: Callable[[], None] = lambda: None) -> Job | None:
        """Run a leased job to the end of its lease.

        Args:
            lease: the right to run it.
            on_ended: called when its handler has ended, before the job is settled.

        Returns:
            The job as it was settled; None if the lease was lost, or the handler had to be abandoned.
        """
        try:
            try:
                event = await self._event_of(lease)
            finally:
                on_ended()
            if event is None:
                return None
            before = lease.job
            await self._hooks.before_settle(before, event)
            ended = await lease.settle(event)
            await self._hooks.after_attempt(before, ended)
            return ended
        except LeaseLost as lost:
            logger.warning("%s", lost)
            await self._hooks.after_loss(lease.job)
            return None
        except Exception:
            await self._hooks.after_loss(lease.job)
            raise

    async def _event_of(self, lease: Lease) -> Event | None:
        job = lease.job
        definition = self._registry.find(job.type)
        if definition is None:
            return self._handed_on(job)
        try:
            if self._records is not None:
                await self._records.resolve([job])
            instead = None if self._ask_first is None else await self._ask_first(job)
        except Unreadable as error:
            return self._not_run(job, error)
        except StoreUnavailable as error:
            logger.warning("job %s is given back, because its data cannot be read now: %s", job.id, error)
            return Release()
        if instead is not None:
            return instead
        attempt = self._attempt(lease, definition, on_progress=self._on_progress)
        await self._hooks.before_run(attempt.context)
        # Claimed, but not begun when the worker stops: nobody would tell its handler.
        event = Release() if self._is_stopping else await self._watched(attempt)
        if event is None:
            await self._abandoned(lease, attempt)
        await self._hooks.after_run(attempt.context, event)
        return event

    def _handed_on(self, job: Job) -> Event:
        """Another worker may have the handler: the job goes back, uncounted, for longer each time."""
        pause = min(LONGEST_HANDOVER_SECONDS, 2.0 ** min(job.attempt, 20))
        logger.error("job %s was not run: %s; given back for %g s", job.id, NoHandler(job.type), pause)
        return Release(self._clock.now() + timedelta(seconds=pause))

    def _not_run(self, job: Job, error: TorporError) -> Event:
        kept = error_of(error)
        decision = decide_retry(job, error, wanted=True, fraction=self._chance.fraction)
        logger.error("job %s was not run: %s", job.id, error)
        if decision.again:
            return Retry(kept, self._clock.now() + timedelta(seconds=decision.delay_seconds))
        return Fail(kept, JobResult(success=False, error=kept.message))

    async def _abandoned(self, lease: Lease, attempt: Attempt) -> None:
        """The handler keeps its slot; its lease is shortened and runs out by itself."""
        self.leaked += 1
        logger.error(
            "job %s: its handler will not stop (%s); its slot is lost until it does", lease.job.id, attempt.stop
        )
        error = error_of(AttemptTimeout(lease.job.timeout_seconds or 0.0)) if attempt.stop is StopKind.TIMEOUT else None
        # Nobody else asked for this end: without it the job would run again, and again beyond its limit.
        cancel = attempt.flag.reason if attempt.stop is StopKind.DURATION else None
        try:
            await lease.abandon(self._options.abandoned_lease_seconds, error, cancel)
        except LeaseLost as lost:
            logger.warning("%s", lost)
        self.on_leak()
        await attempt.wait_ended()
        self.leaked -= 1

    # --- both ---

    def _attempt(
        self,
        holder: Holder,
        definition: JobDefinition,
        on_progress: Callable[[str, JobProgress], Awaitable[None]] | None,
    ) -> Attempt:
        flag = StopFlag()
        began = self._clock.monotonic()
        context = JobContext(
            holder,
            flag,
            worker_id=holder.job.worker_id or "",
            flush=lambda held: isinstance(held, Lease) and self._heartbeat.flush_is_due(held),
            remaining=lambda: self._remaining(holder.job, began),
            on_progress=on_progress,
            manager=self._manager,
        )
        return Attempt(holder, definition, context, flag, self._chance.fraction, self._clock.now, began)

    def _remaining(self, job: Job, began: float) -> float:
        now = self._clock.monotonic()
        ends = [
            began + job.timeout_seconds if job.timeout_seconds is not None else None,
            began + job.max_duration_seconds - job.run_seconds if job.max_duration_seconds is not None else None,
            self.deadline,
        ]
        return max(0.0, min((end - now for end in ends if end is not None), default=float("inf")))

    async def _watched(self, attempt: Attempt) -> Event | None:
        job_id = attempt.holder.job.id
        self._attempts[job_id] = attempt
        self._heartbeat.watch(attempt)
        try:
            return await attempt.run()
        finally:
            self._heartbeat.unwatch(attempt)
            self._attempts.pop(job_id, None)

    def give_up_place(self, job_id: str) -> None:
        """Stop a handler that has lost its permit, if it runs here; its job goes back, uncounted."""
        attempt = self._attempts.get(job_id)
        if attempt is not None:
            attempt.request_stop(StopKind.PLACE, "its permit was lost", self._clock.monotonic(), 0.0)
            self._heartbeat.nudge()

    def slice_all(self, grace_seconds: float, fair_seconds: float) -> None:
        """Tell every handler that time is up: it ends at its next checkpoint or step, or is cut off.

        Args:
            grace_seconds: when it is cut off.
            fair_seconds: a handler that had so long and recorded nothing new had time enough.
        """
        now = self._clock.monotonic()
        for attempt in self._attempts.values():
            attempt.had_time = now - attempt.began >= fair_seconds
            attempt.request_stop(StopKind.SLICE, "the worker's time is up", now, grace_seconds)
        self._heartbeat.nudge()

    def stop_all(self, grace_seconds: float) -> None:
        """Tell every handler that the worker shuts down, and when it will be cut off. None is begun any more."""
        self._is_stopping = True
        now = self._clock.monotonic()
        for attempt in self._attempts.values():
            attempt.request_stop(StopKind.SHUTDOWN, "the worker is shutting down", now, grace_seconds)
        self._heartbeat.nudge()


def _replace(job: Job, state: Job) -> None:
    """Make `job` say what `state` says, in place."""
    for name, value in state.__dict__.items():
        setattr(job, name, value)
