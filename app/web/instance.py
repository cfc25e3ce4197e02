"""One serving process's share of the work: so many slots, jobs only inside of requests, one way to stop.

Lives on one event loop; request threads wait for it. A request that finds no free slot, or another that drains, is
answered at once: a thread that waited would be one less to answer others. What it was about is not lost with it: the
request that ends next looks at all that is due before it lets go of its slots.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.jobs import HINTS_AT_ONCE, AsyncJobManager, Hint, JobNotFound, Watchdog, Worker, WorkReport
from app.web.deadlines import OutOfTime
from app.web.readiness import Readiness

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 45.0
"""How long a sweep works itself at most: the next one comes a minute later."""
EARLY_SECONDS = 2.0
"""So much before its time a wake-up is waited with: whoever woke may have a clock that is a little ahead."""


class WakeUpOutcome(StrEnum):
    """What became of a wake-up; how a run ended is `app.jobs.Outcome`."""

    DONE = "done"
    """The job that it named ran, or jobs were drained."""
    NOTHING = "nothing"
    """There was nothing to do: the job is leased, parked, delayed or ended, or nothing was due."""
    UNKNOWN = "unknown"
    """There is no such job."""
    FULL = "full"
    """Every slot is taken."""
    WOKEN = "woken"
    """A worker that runs beside the requests was told to look."""
    BUSY = "busy"
    """Another request of this process is draining already."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is told."""

    outcome: WakeUpOutcome
    done: dict[str, Any] = field(default_factory=dict)


class ShuttingDown(Exception):
    """This process takes no work any more."""


class Instance:
    """Runs jobs inside of requests.

    Args:
        manager: the engine, without an embedded worker.
        slots: how many handlers run at once in this process.
        work_seconds: how long after its arrival a request may work; then it still has to let its jobs end.
    """

    def __init__(self, manager: AsyncJobManager, *, slots: int, work_seconds: float) -> None:
        self.store_readiness = Readiness(manager.runtime)
        self._manager = manager
        self._waker = manager.runtime.waker
        self._watchdog = Watchdog(manager.runtime)
        self._slots = slots
        self._work_seconds = work_seconds
        self._taken = 0
        self._draining = False
        self._turned_away = False
        """Whether a request was answered without work since somebody last began to look at all that is due."""
        self._stopping = False
        self._workers: set[Worker] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_ready(self) -> bool:
        """Whether it takes work: not stopping, and with at least one slot that has not leaked."""
        leaked = sum(worker.executor.leaked for worker in self._workers)
        return not self._stopping and leaked < self._slots

    @property
    def free_slots(self) -> int:
        """How many handlers could start now."""
        return self._slots - self._taken

    async def push(self, hint: Hint, *, arrived: float | None = None) -> Answer:
        """Do what a wake-up hints at: the job that it names, then more if it says that there is more.

        Args:
            hint: the wake-up.
            arrived: the monotonic time at which the request came; now, if left out.

        Raises:
            ShuttingDown: this process ends; somebody else has to.
            OutOfTime: all of the request's time went by before it came to its work.
            StoreError: the store cannot be reached.
        """
        until = self._until(arrived)
        await self._wait_for_time(hint)
        if hint.job_id is None:
            return await self._drain(until)
        if self.free_slots < 1:
            self._check_running()
            return self._turn_away(WakeUpOutcome.FULL)
        try:
            most = None if hint.more else 1
            report = await self._work(1, until, job_id=hint.job_id, max_jobs=most, drain=hint.more)
        except JobNotFound:
            if self._turned_away:
                await self._drain(until)
            return Answer(WakeUpOutcome.UNKNOWN)
        return Answer(WakeUpOutcome.DONE if report.claimed else WakeUpOutcome.NOTHING, _told(report))

    async def drain(self, *, arrived: float | None = None) -> Answer:
        """Work with every free slot until nothing is due, or the time is up; then the next instance is woken.

        Raises:
            ShuttingDown, OutOfTime, StoreError: as for `push`.
        """
        return await self._drain(min(self._until(arrived), self._until(None, DRAIN_SECONDS)))

    async def _drain(self, until: float) -> Answer:
        self._check_running()
        if self._draining:
            return self._turn_away(WakeUpOutcome.BUSY)
        if self.free_slots < 1:
            return self._turn_away(WakeUpOutcome.FULL)
        self._draining = True
        try:
            report = await self._work(self.free_slots, until, drain=True)
        finally:
            self._draining = False
        return Answer(WakeUpOutcome.DONE if report.claimed else WakeUpOutcome.NOTHING, _told(report))

    async def sweep(self, *, arrived: float | None = None) -> Answer:
        """The scheduled drain: wake as many others as there is work for, then drain for a while.

        Args:
            arrived: the monotonic time at which the request came; now, if left out.

        Raises:
            ShuttingDown, OutOfTime, StoreError: as for `push`.
        """
        arrived = self._now() if arrived is None else arrived
        self._check_running()
        oldest = await self._manager.get_oldest_waiting_seconds()
        due = 0 if oldest is None else await self._manager.count_due_jobs()
        # An alert reads this line: whether work is taken up in time.
        found = {"event": "sweep", "due": due, "oldest_due_seconds": round(oldest or 0.0, 3)}
        logger.info("sweep: %d jobs due, the oldest for %.1f s", due, oldest or 0.0, extra=found)
        others = min(HINTS_AT_ONCE, math.ceil(due / self._slots) - 1)
        if others > 0:
            await self._waker.wake([Hint(more=True)] * others)
        answer = await self.drain(arrived=arrived)
        return Answer(answer.outcome, {**answer.done, "due": due, "hints": max(0, others)})

    async def watch_over(self) -> dict[str, Any]:
        """One round of the watchdog.

        Raises:
            ShuttingDown, StoreError: as for `push`.
        """
        self._check_running()
        return (await self._watchdog.run()).as_dict()

    async def tick(self) -> dict[str, Any]:
        """Create the jobs of the schedules' next slots.

        Raises:
            ShuttingDown, StoreError: as for `push`.
        """
        self._check_running()
        return (await self._manager.tick()).as_dict()

    def begin_stop(self) -> None:
        """Take no more work, and give every lease back; the requests that they belong to end with it."""
        self._stopping = True
        for worker in tuple(self._workers):
            worker.stop()

    async def close(self) -> None:
        """The same, and wait for it; then close the store."""
        self.begin_stop()
        await self._idle.wait()
        await self._manager.close()

    def _now(self) -> float:
        return self._manager.runtime.clock.monotonic()

    def _until(self, arrived: float | None, seconds: float = math.inf) -> float:
        """The monotonic time until which a request works that came then, or comes now."""
        return (self._now() if arrived is None else arrived) + min(seconds, self._work_seconds)

    async def _wait_for_time(self, hint: Hint) -> None:
        if hint.at is not None:
            clock = self._manager.runtime.clock
            early = (hint.at - clock.now()).total_seconds()
            if 0 < early <= EARLY_SECONDS:
                await clock.sleep(early)

    def _turn_away(self, outcome: WakeUpOutcome) -> Answer:
        self._turned_away = True
        return Answer(outcome)

    def _check_running(self) -> None:
        if self._stopping:
            raise ShuttingDown

    async def _work(self, slots: int, until: float, *, drain: bool, **how: Any) -> WorkReport:
        """Work in so many slots, and go on for those that were turned away meanwhile.

        What there is no time for wakes the next: hints were spent on it.
        """
        self._check_running()
        if until <= self._now():
            raise OutOfTime
        self._taken += slots
        self._idle.clear()
        try:
            if drain:
                self._turned_away = False  # it looks at everything that is due by now
            report = await self._run(slots, until, drain=drain, **how)
            owes = drain and report.cut_short
            while self._turned_away and not self._stopping and until > self._now():
                self._turned_away = False
                more = await self._run(slots, until, drain=True)
                report, owes = _sum(report, more), more.cut_short
            while owes or self._turned_away:
                owes = self._turned_away = False
                await self._waker.wake([Hint(more=True)])
            return report
        finally:
            # A handler that would not stop keeps its slot until it does.
            self._taken -= slots
            if not self._taken:
                self._idle.set()

    async def _run(self, slots: int, until: float, **how: Any) -> WorkReport:
        worker = Worker(self._manager.runtime, concurrency=slots)
        self._workers.add(worker)
        try:
            return await worker.run(max_seconds=until - self._now(), **how)
        finally:
            self._workers.discard(worker)


def _sum(one: WorkReport, more: WorkReport) -> WorkReport:
    return WorkReport(
        claimed=one.claimed + more.claimed,
        settled=one.settled + more.settled,
        lost=one.lost + more.lost,
        completed=one.completed + more.completed,
        failed=one.failed + more.failed,
        cut_short=more.cut_short,
    )


def _told(report: WorkReport) -> dict[str, Any]:
    return {"claimed": report.claimed, "completed": report.completed, "failed": report.failed, "lost": report.lost}
