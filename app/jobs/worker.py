"""The worker: claims what its free slots can start at once, runs it, and gives everything back when told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from app.jobs.executor import JobExecutor
from app.jobs.lease import Lease
from app.jobs.lookout import Lookout
from app.jobs.models import Job, JobQueue, JobStatus
from app.jobs.queue import QUEUES
from app.jobs.routes import Served
from app.jobs.runtime import Runtime
from app.jobs.waiting import first_of
from app.stores.base import StoreError, Watch

logger = logging.getLogger(__name__)

DUE_SECONDS = 1.0
"""While ready jobs fill every page, the due query is asked only so often."""
DRAIN_PATIENCE_SECONDS = 5.0
"""A drain also waits for jobs that are due so soon, such as a parent that looks after its children."""
FAIR_SHARE = 0.5
"""Part of a worker's time that a handler must have had before it is held against it that nothing came of it."""
LATE_SECONDS = 2.0
LATE_SHARE = 0.1
"""Nothing is begun in the last seconds of a worker's time, or in the last part of it if that is shorter."""
CUT_SHARE = 0.6
"""Part of the shutdown time that handlers have before they are cut off; the rest is for giving leases back."""


def worker_name() -> str:
    """A name for this process that people recognise. It is never compared."""
    return f"{socket.gethostname()[:100]}-{os.getpid()}"


@dataclass(slots=True)
class WorkReport:
    """What a worker did in one run."""

    claimed: int = 0
    settled: int = 0
    lost: int = 0
    completed: int = 0
    failed: int = 0
    cut_short: bool = False
    """Whether it was told to stop or its time was up: there may be work left that it would have done."""


class Worker:
    """Runs jobs of one engine in this process."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        concurrency: int = 10,
        queues: Sequence[JobQueue] = QUEUES,
        served: Served | None = None,
        worker_id: str | None = None,
        upkeep: Callable[[], Awaitable[object]] | None = None,
        upkeep_seconds: float = 30.0,
        ears: Sequence[Watch] = (),
    ) -> None:
        """Set up; `run` does the work.

        Args:
            runtime: the engine's parts.
            concurrency: how many handlers run at once.
            queues: which queues, in the order in which they are polled.
            served: pools and requirement flags; by default the default pool with every flag.
            worker_id: shown in records; by default host and process id.
            upkeep: the watchdog's round, for a worker that has nobody else to do it.
            upkeep_seconds: how often.
            ears: where it hears of work beside what the store's own watch tells; closed when it stops.
        """
        self.worker_id = worker_id or worker_name()
        self.report = WorkReport()
        self._runtime = runtime
        self._queues = tuple(queues)
        self._served = served or Served()
        self._upkeep = upkeep
        self._upkeep_seconds = upkeep_seconds
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        """A slot is free, or the worker has to stop."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work = 0
        """Jobs whose handler has not ended."""
        self._batch = runtime.options.claim_batch or runtime.store.limits().claim_batch
        self._due_asked = float("-inf")
        self._begin_until = float("inf")
        """Monotonic time from which on nothing is begun, because time is nearly up."""
        self.lookout = Lookout(runtime, ears)
        self.executor = JobExecutor(
            concurrency,
            registry=runtime.registry,
            clock=runtime.clock,
            chance=runtime.chance,
            options=runtime.options,
            records=runtime.records,
            hooks=runtime.hooks,
            on_progress=runtime.broker.publish,
            manager=runtime.manager,
            ask_first=runtime.overlap.ask,
        )
        self.executor.on_leak = self._changed.set

    @property
    def is_ready(self) -> bool:
        """Whether it can take work: not stopping, and not every slot leaked."""
        return not self._stopping.is_set() and self.executor.leaked < self.executor.max_concurrent

    def stop(self) -> None:
        """Claim nothing more, tell handlers, give leases back. `run` returns when that is done."""
        self._stopping.set()
        self._changed.set()
        # At once, whatever the loop waits for: it may be a store that does not answer.
        self.executor.stop_all(self._runtime.options.shutdown_seconds * CUT_SHARE)

    async def run(
        self,
        *,
        drain: bool = False,
        max_seconds: float | None = None,
        max_jobs: int | None = None,
        job_id: str | None = None,
    ) -> WorkReport:
        """Work until stopped.

        Args:
            job_id: begin with this job, if it is claimable.
            drain: also end when nothing is claimable and nothing runs.
            max_seconds: also end after so long, and at most the shutdown time later: what runs then ends at its next
                checkpoint or step, and goes on in another slice.
            max_jobs: also end after so many jobs.

        Returns:
            What was done.

        Raises:
            JobNotFound: there is no such job.
            StoreError: the job to begin with could not be claimed.
        """
        clock = self._runtime.clock
        self.report = WorkReport()
        self.executor.deadline = None if max_seconds is None else clock.monotonic() + max_seconds
        spare = 0.0 if max_seconds is None else min(LATE_SECONDS, max_seconds * LATE_SHARE)
        self._begin_until = float("inf") if self.executor.deadline is None else self.executor.deadline - spare
        permits = self._runtime.limits.permits
        permits.on_lost.add(self.executor.give_up_place)
        await self.lookout.open()
        timers = [self._spawn(self._stop_after(max_seconds))] if max_seconds is not None else []
        if self._upkeep is not None:
            timers.append(self._spawn(self._keep_up(self._upkeep)))
        work = self._spawn(self._work(drain=drain, max_jobs=max_jobs, job_id=job_id))
        stopping = self._spawn(self._stopping.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for timer in (*timers, stopping):
                timer.cancel()
            await asyncio.gather(*timers, stopping, return_exceptions=True)
            await asyncio.gather(self._give_back(work), self.lookout.close_ears())
            permits.on_lost.discard(self.executor.give_up_place)
            await permits.close()
            await self.lookout.close()
            await self.executor.close()
        self.report.cut_short |= self._stopping.is_set()
        if not work.cancelled():
            work.result()
        return self.report

    @staticmethod
    def _spawn(work: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def _stop_after(self, seconds: float) -> None:
        await self._runtime.clock.sleep(seconds)
        self.executor.slice_all(self._runtime.options.shutdown_seconds * CUT_SHARE, seconds * FAIR_SHARE)
        self.stop()

    def _is_late(self) -> bool:
        """Whether so little time is left that nothing is begun any more."""
        return self._runtime.clock.monotonic() >= self._begin_until

    async def _keep_up(self, upkeep: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await upkeep()
            except StoreError as error:
                logger.warning("upkeep was not done: %s", error)
            except Exception:  # one bad round must not be the last
                logger.exception("upkeep failed")
            await self._runtime.clock.sleep(self._upkeep_seconds)

    # --- the loop ---

    async def _work(self, *, drain: bool, max_jobs: int | None, job_id: str | None) -> None:
        if job_id is not None and not await self._begin_with(job_id) and not drain:
            return
        troubled = 0
        while not self._stopping.is_set():
            free = 0 if self._is_late() else self._free()
            if self._is_late() and not self._tasks:
                self.report.cut_short = True
                return
            if max_jobs is not None:
                free = min(free, max_jobs - self.report.claimed)
                if free <= 0 and not self._tasks:
                    return
            if self.executor.leaked >= self.executor.max_concurrent:
                logger.critical("every slot is held by a handler that will not stop; this worker ends")
                return
            was_at_work = bool(self._tasks)
            leases: list[Lease] = []
            full = False
            if free > 0:
                try:
                    leases, full = await self._claim(min(free, self._batch))
                    troubled = 0
                except StoreError as error:
                    troubled += 1
                    logger.warning("nothing could be claimed: %s", error)
            for lease in leases:
                self._start(lease)
            self._tell_of_ended()
            if drain and not (leases or full or self._tasks or troubled):
                if was_at_work:
                    continue  # what ended during the claim may be claimable again, or have made other jobs so
                try:
                    pause = await self.lookout.seconds_to_next(DRAIN_PATIENCE_SECONDS)
                except StoreError as error:
                    troubled += 1
                    logger.warning("it is not known whether more is to come: %s", error)
                else:
                    if pause is None:
                        return
                    await self._pause(pause)
                    continue
            if self._free() <= 0 or free <= 0 or troubled or not (leases or full):
                # A claim that brought nothing although there is more looked at others' jobs only, or lost every race.
                await self._wait(idle=not leases and free > 0, troubled=troubled)

    async def _begin_with(self, job_id: str) -> bool:
        lease = await self._runtime.queue.claim_job(self.worker_id, job_id)
        self._tell_of_ended()
        if lease is None:
            return False
        self.report.claimed += 1
        self._start(lease)
        return True

    def _free(self) -> int:
        """How many handlers can start now.

        A job whose handler has ended leaves its slot to the next while it is settled, so that both go to the store
        together. No more than there are slots do so at a time: behind a slow store they would pile up.
        """
        slots = self.executor.max_concurrent
        return min(slots - self._at_work, 2 * slots - len(self._tasks))

    async def _claim(self, limit: int) -> tuple[list[Lease], bool]:
        runtime = self._runtime
        routes = self._served.among(runtime.registry.routes())
        now, began = runtime.clock.monotonic(), runtime.clock.now()
        due = now - self._due_asked >= DUE_SECONDS
        leases, full = await runtime.queue.claim(self.worker_id, routes, limit, queues=self._queues, due=due)
        if not due and not full and len(leases) < limit:
            # The ready jobs are used up, so it is time to look for delayed ones whose time has come.
            rest = limit - len(leases)
            try:
                more, full = await runtime.queue.claim(self.worker_id, routes, rest, queues=self._queues, due=True)
                leases += more
                due = True
            except StoreError as error:
                if not leases:
                    raise
                logger.warning("delayed jobs could not be claimed: %s", error)
        if due:
            self._due_asked = now
            self.lookout.looked(began)
        self.report.claimed += len(leases)
        return leases, full

    def _start(self, lease: Lease) -> None:
        self._at_work += 1
        task = asyncio.get_running_loop().create_task(self._run_one(lease))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _tell_of_ended(self) -> None:
        """Let others go on who wait for jobs that ended at a claim, beside the jobs that were claimed."""
        ended = self._runtime.queue.take_ended()
        if ended:
            task = asyncio.get_running_loop().create_task(self._settle_ended(ended))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    async def _settle_ended(self, ended: Sequence[Job]) -> None:
        for job in ended:
            await self._runtime.settled(job)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    def _ended(self) -> None:
        if self._free() <= 0:
            self._changed.set()
        self._at_work -= 1

    async def _run_one(self, lease: Lease) -> None:
        self._runtime.limits.permits.attend(lease.job.id)
        try:
            await self._run_attended(lease)
        finally:
            self._runtime.limits.permits.done(lease.job.id)

    async def _run_attended(self, lease: Lease) -> None:
        try:
            job = await self.executor.run(lease, self._ended)
        except Exception:  # whatever went wrong with one job is told, and the others go on
            logger.exception("job %s could not be settled; its lease will run out", lease.job.id)
            job = None
        if job is None:
            self.report.lost += 1
            return
        self.report.settled += 1
        self.report.completed += job.status is JobStatus.COMPLETED
        self.report.failed += job.status is JobStatus.FAILED
        if job.wake_at is not None:
            self.lookout.remember(job.wake_at)
        await self._runtime.settled(job)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until told to stop."""
        await first_of(self._stopping.wait(), self._runtime.clock.sleep(seconds))

    async def _wait(self, *, idle: bool, troubled: int) -> None:
        """Until a slot is free, there may be work, or it is time to look."""
        if self._stopping.is_set():
            return
        self._changed.clear()
        waits: list[Coroutine[Any, Any, Any]] = [self._changed.wait()]
        if troubled:
            waits.append(self._runtime.clock.sleep(min(5.0, 0.2 * 2**troubled)))
        elif idle:
            waits += self.lookout.hints()
        if len(waits) == 1:
            # Without a task in between, the next claim is sent together with the settles that freed its slots.
            await waits[0]
        else:
            await first_of(*waits)

    async def _give_back(self, work: asyncio.Task[None]) -> None:
        """Let handlers end, or cut them off, and give every lease back in time: also what is being claimed just now."""
        if work.done() and not self._tasks:
            return
        self.stop()
        time_is_up = self._spawn(self._runtime.clock.sleep(self._runtime.options.shutdown_seconds))
        while (left := {task for task in (*self._tasks, work) if not task.done()}) and not time_is_up.done():
            await asyncio.wait({*left, time_is_up}, return_when=asyncio.FIRST_COMPLETED)
        for each in (*left, time_is_up):
            each.cancel()
        await asyncio.gather(*left, time_is_up, return_exceptions=True)
        self._at_work = 0
