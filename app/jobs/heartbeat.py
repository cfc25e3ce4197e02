"""Watches over running attempts: renewals, flushes, time limits, cancels, and leases that end.

One loop for all attempts of a process: it sleeps until the next thing is due for any of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from app.jobs.attempt import Attempt, StopKind
from app.jobs.clock import Clock
from app.jobs.errors import LeaseLost, TorporError
from app.jobs.lease import Lease
from app.jobs.options import EngineOptions
from app.jobs.waiting import first_of
from app.stores.base import StoreError

logger = logging.getLogger(__name__)

CUT_SECONDS = 1.0
"""How long a cut-off handler may take to come to its end before it is abandoned."""
REFUSED_SHARE = 1 / 12
"""Part of the lease that passes before a renewal is tried again that the store refused."""


class Heartbeat:
    """Keeps the leases of running attempts alive, and their limits."""

    def __init__(self, clock: Clock, options: EngineOptions) -> None:
        self._clock = clock
        self._options = options
        self._attempts: set[Attempt] = set()
        self._changed = asyncio.Event()
        self._sleeping_until = 0.0
        self._loop: asyncio.Task[None] | None = None
        self._flushes: set[asyncio.Task[None]] = set()

    def watch(self, attempt: Attempt) -> None:
        """Begin to watch over an attempt."""
        self._attempts.add(attempt)
        if isinstance(attempt.holder, Lease):
            attempt.holder.on_change = lambda lease: self._noticed(attempt, lease)
        if self._loop is None or self._loop.done():
            # In a context of its own: that of whichever attempt comes first is none of the others' business.
            self._loop = asyncio.get_running_loop().create_task(self._run(), context=Context())
        elif self.next_due(attempt) < self._sleeping_until:
            self._changed.set()

    def unwatch(self, attempt: Attempt) -> None:
        """The attempt is over."""
        self._attempts.discard(attempt)

    def nudge(self) -> None:
        """Look again now: something about an attempt changed."""
        self._changed.set()

    async def close(self) -> None:
        """Stop watching."""
        tasks = [task for task in (self._loop, *self._flushes) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop = None

    # --- what is due ---

    def flush_is_due(self, lease: Lease) -> bool:
        """Whether what waits is to be written by itself: it has waited long enough, or is too much to wait."""
        if lease.is_full:
            return True
        if lease.is_dirty and self._write_due(lease) < self._sleeping_until:
            self.nudge()  # what waits now is due before what the loop sleeps for
        return lease.is_dirty and self._clock.monotonic() >= lease.written_at + self._flush_seconds(lease)

    def _flush_seconds(self, lease: Lease) -> float:
        """How long what waits may wait: less while somebody follows the job."""
        until = lease.job.watched_until
        if until is None or self._clock.now() >= until:
            return self._options.flush_seconds
        return min(self._options.flush_seconds, self._options.watched_flush_seconds)

    def _write_due(self, lease: Lease) -> float:
        renew_at = lease.written_at + self._options.lease_seconds / 3
        return min(renew_at, lease.written_at + self._flush_seconds(lease)) if lease.is_dirty else renew_at

    def next_due(self, attempt: Attempt) -> float:
        """The monotonic time of the next thing to do for an attempt."""
        job = attempt.holder.job
        due = [time for time in (attempt.abandon_at or attempt.cut_at,) if time is not None]
        if attempt.stop is None:
            if job.timeout_seconds is not None:
                due.append(attempt.began + job.timeout_seconds)
            if job.max_duration_seconds is not None:
                due.append(attempt.began + max(0.0, job.max_duration_seconds - job.run_seconds))
        if isinstance(attempt.holder, Lease) and attempt.holder.lost is None:
            due.append(self._clock.monotonic() + attempt.holder.remaining_seconds)
            if not attempt.flushing:
                due.append(max(attempt.flush_after, self._write_due(attempt.holder)))
        return min(due, default=float("inf"))

    async def _run(self) -> None:
        while self._attempts:
            for attempt in tuple(self._attempts):
                self._look(attempt)
            self._sleeping_until = min(map(self.next_due, self._attempts), default=float("inf"))
            await self._sleep(self._sleeping_until - self._clock.monotonic())

    async def _sleep(self, seconds: float) -> None:
        self._changed.clear()
        waits: list[Coroutine[Any, Any, Any]] = [self._changed.wait()]
        if seconds < 1e6:
            waits.append(self._clock.sleep(max(0.0, seconds)))
        await first_of(*waits)

    def _look(self, attempt: Attempt) -> None:
        now = self._clock.monotonic()
        job = attempt.holder.job
        if isinstance(attempt.holder, Lease):
            self._look_at_lease(attempt, attempt.holder, now)
        if attempt.stop is None:
            if job.timeout_seconds is not None and now >= attempt.began + job.timeout_seconds:
                attempt.request_stop(StopKind.TIMEOUT, "timed out", now, 0.0)
            elif (
                job.max_duration_seconds is not None
                and now >= attempt.began + job.max_duration_seconds - job.run_seconds
            ):
                self._duration_reached(attempt, now)
        if attempt.cut_at is not None and now >= attempt.cut_at:
            attempt.cut_at = None
            attempt.abandon_at = now + CUT_SECONDS
            attempt.cut_off()
        elif attempt.abandon_at is not None and now >= attempt.abandon_at:
            attempt.abandon_at = None
            attempt.abandon()

    def _duration_reached(self, attempt: Attempt, now: float) -> None:
        attempt.request_stop(StopKind.DURATION, "Duration limit reached", now, self._options.cancel_grace_seconds)
        try:
            attempt.holder.add_log("WARNING", "Duration limit reached")
        except LeaseLost:
            logger.warning("job %s: its lease was lost as its duration limit was reached", attempt.holder.job.id)

    def _look_at_lease(self, attempt: Attempt, lease: Lease, now: float) -> None:
        if lease.lost is not None or lease.remaining_seconds <= 0:
            attempt.request_stop(StopKind.LOST, "the lease was lost", now, 0.0)
        elif not attempt.flushing and now >= max(attempt.flush_after, self._write_due(lease)):
            attempt.flushing = True
            task = asyncio.get_running_loop().create_task(self._flush(attempt, lease))
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)

    async def _flush(self, attempt: Attempt, lease: Lease) -> None:
        try:
            if attempt in self._attempts:
                await lease.flush()
        except LeaseLost as lost:
            if lease.lost is not None:
                logger.warning("%s", lost)
        except (StoreError, TorporError):
            logger.exception("job %s: its renewal failed", lease.job.id)
            attempt.flush_after = self._clock.monotonic() + self._options.lease_seconds * REFUSED_SHARE
        finally:
            attempt.flushing = False
            self.nudge()

    def _noticed(self, attempt: Attempt, lease: Lease) -> None:
        now = self._clock.monotonic()
        if lease.lost is not None:
            attempt.request_stop(StopKind.LOST, "the lease was lost", now, 0.0)
        elif lease.job.control_action == "cancel":
            reason = lease.job.control_reason or "cancelled"
            attempt.request_stop(StopKind.CANCEL, reason, now, self._options.cancel_grace_seconds)
        attempt.flag.pausing = lease.job.control_action == "pause"
        self.nudge()
