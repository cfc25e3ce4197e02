"""`AsyncJobManager`: everything that can be asked of an engine, for asynchronous code.

`app.jobs.blocking.JobManager` offers the same verbs to blocking code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from app.jobs.batch_verbs import BatchVerbs
from app.jobs.batches import batch_closed
from app.jobs.binding import bind, default_runtime
from app.jobs.cancelling import cancel_waiting
from app.jobs.durations import duration_seconds
from app.jobs.errors import BadInput, IllegalTransition, JobNotFound, NoHandler
from app.jobs.event_verbs import EventVerbs
from app.jobs.events import Event, RequestCancel, RequestPause, Requeue, Resume, Start
from app.jobs.executor import JobHandler, handler_definition
from app.jobs.middleware import Middleware
from app.jobs.models import Job, JobStatus, Json
from app.jobs.pause_verbs import PauseVerbs
from app.jobs.preparing import prepared
from app.jobs.ramp import Pace, Progress
from app.jobs.request import JobRequest, check_reason, payload_for, request_of
from app.jobs.requeue_verbs import RequeueVerbs
from app.jobs.retention import about_to_go, delete_page, delete_record, ended_before, is_waited_for
from app.jobs.review_verbs import ReviewVerbs
from app.jobs.revisions import at_revision, check_revision
from app.jobs.runtime import Runtime
from app.jobs.schedule_verbs import ScheduleVerbs
from app.jobs.step_reader import StepReader
from app.jobs.stream_verbs import StreamVerbs
from app.jobs.upkeep import Upkeep
from app.jobs.waking import NoWaker
from app.jobs.watchdog import Watchdog, WatchdogReport
from app.jobs.worker import Worker
from app.stores.base import PreconditionFailed, Store

logger = logging.getLogger(__name__)

CLEAN_PAGE = 100


class AsyncJobManager(
    StreamVerbs, PauseVerbs, RequeueVerbs, ScheduleVerbs, EventVerbs, BatchVerbs, ReviewVerbs, StepReader
):
    """Creates, steers and reads jobs. Opens its store at the first verb; close it, or use it as a context manager."""

    def __init__(
        self,
        job_store: Store | None = None,
        *,
        retention_days: float | None = None,
        worker: bool | None = None,
        concurrency: int | None = None,
        runtime: Runtime | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """Set up; nothing is opened yet.

        Args:
            job_store: where jobs are kept; without one (and without `runtime`) the settings say.
            retention_days: how long ended jobs are kept; None leaves it to the settings.
            worker: whether to run jobs in this process; None runs them on memory and file stores only.
            concurrency: how many handlers that worker runs at once; None leaves it to the settings.
            runtime: an engine that is put together already.
            middleware: what is done around every job, inside of what the engine does already.

        Raises:
            NoEngine: no store was given, and nothing says how to make one from settings.
        """
        if runtime is None:
            runtime = default_runtime(job_store)
        if retention_days is not None:
            runtime = runtime.with_options(replace(runtime.options, keep_jobs=timedelta(days=retention_days)))
        runtime.hooks.add(middleware)
        super().__init__(runtime)
        runtime.manager = self
        self._embedded = runtime.store.limits().embedded_worker if worker is None else worker
        self._concurrency = concurrency or runtime.options.concurrency
        self._worker: Worker | None = None
        self._work: asyncio.Task[Any] | None = None
        self._opening = asyncio.Lock()
        self._open = False
        self._hinted = False
        self._bound_before: AsyncJobManager | None = None

    # --- life ---

    async def open(self) -> Self:
        """Open the store, take back interrupted jobs, and start the embedded worker if there is to be one."""
        async with self._opening:
            if self._open:
                return self
            await self.runtime.store.open()
            if self._embedded:
                await self._take_back(self.runtime.options.recovery_timeout)
                upkeep = Upkeep(self.runtime).run
                self._worker = Worker(self.runtime, concurrency=self._concurrency, upkeep=upkeep)
                self._work = asyncio.get_running_loop().create_task(self._worker.run())
                self._work.add_done_callback(_tell_failure)
            self._open = True
        return self

    async def close(self) -> None:
        """Stop the embedded worker, giving its jobs back, and close the store and what wakes others."""
        if self._worker is not None and self._work is not None:
            self._worker.stop()
            await asyncio.wait({self._work})
            self._worker = self._work = None
        if self._open:
            self._open = False
            await self.runtime.waker.close()
            await self.runtime.store.close()

    async def __aenter__(self) -> Self:
        self._bound_before = bind(self)
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bind(self._bound_before)
        await self.close()

    async def _ready(self) -> Runtime:
        if not self._open:
            await self.open()
        return self.runtime

    @property
    def is_running(self) -> bool:
        """Whether jobs run in this process."""
        return self._work is not None and not self._work.done()

    def register_handler(self, job_type: str, handler: JobHandler) -> None:
        """Let a function handle a type, without `@job`: it is given an `ExecutionContext` and returns a `JobResult`."""
        self.runtime.registry.add(handler_definition(job_type, handler))

    # --- create ---

    async def create_job(
        self,
        /,
        job_type: str | None = None,
        payload: Mapping[str, Json] | None = None,
        *,
        auto_start: bool = False,
        transaction: object = None,
        **options: Any,
    ) -> Job:
        """Create a job, held until it is started.

        Args:
            job_type: a registered type; `custom` if left out.
            payload: what the handler is given; checked against the type's model.
            auto_start: let it run at once.
            transaction: the caller's own open SQLAlchemy connection or session, or Firestore batch; the job is
                created when that commits. A key that somebody else takes before that makes the commit fail.
            options: the other fields of `JobRequest`.

        Returns:
            The job; with `existing=True` if its key was taken and this is the job that has it.

        Raises:
            BadInput: something is wrong with the arguments; nothing was written.
            IdempotencyConflict: the key (either of the two) belongs to a job with another type or payload.
            NotJoinable: the store cannot join that transaction.
        """
        request = request_of({"type": job_type, "payload": payload, **options})
        (job,) = await self.create_jobs([request], auto_start=auto_start, transaction=transaction)
        return job

    async def submit(self, /, job_type: str, payload: Mapping[str, Json] | None = None, **options: Any) -> Job:
        """Create a job and start it; see `create_job`."""
        return await self.create_job(job_type, payload, auto_start=True, **options)

    async def create_jobs(
        self,
        requests: Sequence[JobRequest],
        *,
        auto_start: bool = False,
        transaction: object = None,
        on_progress: Progress | None = None,
    ) -> list[Job]:
        """Create many jobs, each by itself, in as few round trips as the store can.

        A store that grows with what is written is filled at the pace that it takes: 500 writes a second on Firestore,
        and half as many more every five minutes.

        Args:
            requests: what each of them is to be.
            auto_start: let them run at once.
            transaction: as for `create_job`.
            on_progress: told how many of how many jobs are written; not with a transaction.

        Raises:
            BadInput: one request is wrong; nothing was written.
            IdempotencyConflict: as for `create_job`; other jobs of the call may have been created.
        """
        runtime = await self._ready()
        closed = await runtime.batches.closed(each.batch_id for each in requests if each.batch_id is not None)
        if closed:
            raise batch_closed(min(closed))
        jobs = await prepared(runtime, requests, start=auto_start)
        if auto_start:
            self._hint_without_worker()
        wanted = [await runtime.links.wanted(each, runtime.registry.dependencies(each.type)) for each in requests]
        if transaction is None:
            paced = on_progress is not None or (runtime.ramp.is_limited and len(jobs) > 1)
            pace = Pace(runtime.ramp, len(jobs), on_progress) if paced else None
            created = await runtime.uniques.create_all(requests, jobs, wanted, pace)
            await runtime.wake_ups.send()
            await runtime.hooks.after_create(created)
            return created
        created, unit = await runtime.uniques.unit(requests, jobs, wanted)
        if unit:
            await runtime.store.enlist(transaction, unit)
        return created

    def _hint_without_worker(self) -> None:
        if not self._embedded and not self._hinted and isinstance(self.runtime.waker, NoWaker):
            self._hinted = True
            logger.info("jobs are queued; run `torpor worker`, or make the manager with worker=True, to run them")

    # --- steer ---

    async def start_job(self, job_id: str, *, revision: int | None = None) -> Job:
        """Let a held job run. Starting one that is queued or running already changes nothing.

        Args:
            job_id: the job.
            revision: here and in the verbs below, the job's revision that the caller has decided about; None is any.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it has ended.
            RevisionChanged: here and in the verbs below, the job is in another revision; nothing was changed.
            NoHandler: nothing is registered for its type.
        """

        def decide(job: Job) -> Event | None:
            if self.runtime.registry.find(job.type) is None:
                raise NoHandler(job.type)
            return None if job.status in (JobStatus.QUEUED, JobStatus.RUNNING) else Start()

        self._hint_without_worker()
        return await self._changed(job_id, at_revision(revision, decide))

    async def cancel_job(
        self,
        job_id: str,
        reason: str = "cancelled on request",
        *,
        dependents: bool = False,
        revision: int | None = None,
    ) -> Job:
        """End a job as CANCELLED: at once if it does not run, else its holder is told at its next write.

        Args:
            job_id: the job.
            reason: why; kept with the job.
            dependents: whether to cancel all that waits for it too, directly or not, whatever those would do if it
                failed.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it has ended already.
            BadInput: a reason that cannot be stored.
        """
        check_reason(reason)
        control_id = self.runtime.chance.token()

        def decide(job: Job) -> Event | None:
            return None if job.status is JobStatus.CANCELLED else RequestCancel(control_id, reason)

        if dependents:
            check_revision(revision, await self.get_job(job_id))
            await cancel_waiting(await self._ready(), job_id, reason)
        return await self._changed(job_id, at_revision(revision, decide))

    async def cancel(self, job_id: str, reason: str = "cancelled on request") -> Job:
        """The same as `cancel_job`."""
        return await self.cancel_job(job_id, reason)

    async def stop_job(self, job_id: str, reason: str = "stopped on request") -> Job:
        """The same as `cancel_job`."""
        return await self.cancel_job(job_id, reason)

    async def pause_job(self, job_id: str, reason: str = "paused on request", *, revision: int | None = None) -> Job:
        """Hold a job: at once if it does not run, else at its next checkpoint.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it has ended.
            BadInput: a reason that cannot be stored.
        """
        check_reason(reason)
        control_id = self.runtime.chance.token()

        def decide(job: Job) -> Event | None:
            return None if job.status is JobStatus.PAUSED else RequestPause(control_id, reason)

        return await self._changed(job_id, at_revision(revision, decide))

    async def resume_job(self, job_id: str, *, revision: int | None = None) -> Job:
        """Let a paused job go on from its checkpoint.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it is not paused.
        """
        return await self._changed(job_id, at_revision(revision, lambda job: Resume()))

    async def retry_job(
        self,
        job_id: str,
        *,
        keep_checkpoint: bool = True,
        payload: Mapping[str, Json] | None = None,
        settings: Mapping[str, Json] | None = None,
        checkpoint: Json = None,
        max_duration: str | float | timedelta | None = None,
        from_step: str | None = None,
        revision: int | None = None,
    ) -> Job:
        """Run a job again that ended FAILED or CANCELLED or waits for review, with its counters back at zero.

        Args:
            job_id: the job.
            keep_checkpoint: whether it goes on from its stored checkpoint.
            payload: another payload; checked as at creation. None leaves this, like what follows, as it was.
            settings: other settings.
            checkpoint: another checkpoint to go on from.
            max_duration: another duration limit: seconds, or "1h", "24h", "7d".
            from_step: a recorded step; that one and all that were called after it are done again. None keeps all.
            revision: as for `start_job`.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it is in another state.
            BadInput: a payload that does not fit, no duration, or no such step; nothing was changed.
        """
        limit = None if max_duration is None else duration_seconds(max_duration, "max_duration")
        given = {"settings": settings, "checkpoint": checkpoint, "max_duration_seconds": limit}

        def decide(job: Job) -> Requeue:
            checked = payload_for(job, payload, self.runtime.registry)
            changes = {name: value for name, value in {**given, "payload": checked}.items() if value is not None}
            return Requeue(keep_checkpoint, changes)

        return await self._requeued(job_id, at_revision(revision, decide), from_step)

    async def _changed(self, job_id: str, decide: Callable[[Job], Event | None]) -> Job:
        runtime = await self._ready()
        return await self._told(runtime, await runtime.queue.apply(job_id, decide))

    async def delete_job(self, job_id: str, *, revision: int | None = None) -> None:
        """Remove a job with its log, results and chunks; its run summaries stay.

        Raises:
            JobNotFound: there is no such job.
            IllegalTransition: it is running, or other jobs wait for it; cancel it first.
        """
        runtime = await self._ready()
        while True:
            (record,) = await runtime.records.find([job_id])
            if record is None:
                raise JobNotFound(job_id)
            check_revision(revision, runtime.codec.job(record))
            status = JobStatus(str(record.fields["status"]))
            if status is JobStatus.RUNNING:
                raise IllegalTransition(job_id, status, "be deleted", ["cancel"])
            if record.fields.get("release") == "pending":
                await runtime.release.finish(runtime.codec.job(record))
                continue
            try:
                record = await about_to_go(runtime.store, record)
            except PreconditionFailed:
                continue
            if await is_waited_for(runtime.store, record):
                doing = "be deleted while other jobs wait for it"
                raise IllegalTransition(job_id, status, doing, ["be retried" if status.is_terminal else "cancel"])
            try:
                await delete_record(runtime.store, record)
            except PreconditionFailed:
                continue
            if record.fields.get("holds_turn"):
                await runtime.limits.turns.pass_on(str(record.fields["turn"]))
            return

    async def cleanup_old_jobs(self, days: float | None = None) -> int:
        """Delete ended jobs that ended more than `days` ago (by default the retention time).

        Returns:
            How many were deleted. 0 days deletes every ended job; unfinished ones never.

        Raises:
            BadInput: negative days.
        """
        runtime = await self._ready()
        if days is not None and not days >= 0:
            raise BadInput("days", f"{days:g} is not a number of days", "give 0 or more days")
        try:
            keep = runtime.options.keep_jobs if days is None else timedelta(days=days)
            until = None if keep is None else runtime.clock.now() - keep + timedelta(microseconds=1)
        except OverflowError:
            until = None  # longer than there has been time: for ever
        if until is None:
            return 0
        deleted = 0
        while found := await ended_before(runtime.store, until):
            deleted += await delete_page(runtime.store, found, runtime.release.let_go_of)
        return deleted

    async def resume_interrupted_jobs(self) -> int:
        """Take back jobs whose holder is gone: those whose lease ran out, or all where no holder can be alive.

        Returns:
            How many go on, or have ended for it.
        """
        await self._ready()
        return await self._take_back(timedelta(0))

    async def _take_back(self, grace: timedelta) -> int:
        runtime = self.runtime
        alone = runtime.store.limits().single_process and grace <= timedelta(0) and not self.is_running
        taken = 0
        while True:
            found = await runtime.queue.take_back(CLEAN_PAGE, everything=alone, grace=grace)
            for before, job in found:
                if job is not None:
                    taken += 1
                    await runtime.lease_ended(before, job)
            if len(found) < CLEAN_PAGE:
                return taken

    async def run_watchdog(self, *, dry_run: bool = False) -> WatchdogReport:
        """One round of the watchdog; see `app.jobs.watchdog.Watchdog.run`."""
        return await Watchdog(await self._ready()).run(dry_run=dry_run)


def _tell_failure(work: asyncio.Task[Any]) -> None:
    """A worker that ended by an error must not end in silence."""
    if not work.cancelled() and (error := work.exception()) is not None:
        logger.error("the embedded worker ended; no jobs run in this process any more", exc_info=error)
