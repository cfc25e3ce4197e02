"""Wake-ups: hints that there is work. They may be lost, late or doubled, and nothing depends on them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from app.jobs.clock import Clock
from app.jobs.models import Job, JobStatus
from app.jobs.traces import trace_of

JOBS_A_HINT = 20
"""When many jobs became ready together, one worker is woken for so many of them; it wakes more if it cannot cope."""
HINTS_AT_ONCE = 100
"""Most workers that are woken at once; those that were woken wake more."""


@dataclass(frozen=True, slots=True)
class Hint:
    """There may be work for a worker that sleeps."""

    job_id: str | None = None
    """The job that was made ready, if it is one."""
    more: bool = False
    """Whether more jobs than this one may be ready."""
    at: datetime | None = None
    """From when on it may be claimed; None for now."""
    trace: dict[str, str] = field(default_factory=dict)
    """The trace that the job belongs to, as HTTP headers carry it."""


class Waker(Protocol):
    """Tells sleeping workers. What cannot be told is not an error of the caller: the sweep finds the job."""

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Tell, if it can be told; never raises for what a broker does."""

    async def close(self) -> None:
        """Let go of connections."""


class NoWaker:
    """Tells nobody: workers look for themselves, or the sweep does."""

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing to let go of."""


class SplitWaker:
    """Two wakers as one.

    Args:
        now: is told of what may be claimed already.
        later: is told of what may be claimed from some time on.
        clock: the time.
    """

    def __init__(self, now: Waker, later: Waker, clock: Clock) -> None:
        self._now = now
        self._later = later
        self._clock = clock

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Tell each of its own; see `Waker.wake`."""
        now = self._clock.now()
        later = [hint for hint in hints if hint.at is not None and hint.at > now]
        others = [hint for hint in hints if hint.at is None or hint.at <= now]
        for waker, own in ((self._now, others), (self._later, later)):
            if own:
                await waker.wake(own)

    async def close(self) -> None:
        """Let go of both."""
        await self._now.close()
        await self._later.close()


def hints_for(jobs: Sequence[Job]) -> list[Hint]:
    """The hints that some jobs are worth that have just become claimable, or will: one for each delayed one, one for
    a single ready one, and one for every twenty of many.

    More than a hundred delayed ones are many too: one hint for every twenty of each second, the soonest hundred.
    """
    ready = [job for job in jobs if job.ready_at is not None]
    hints = _delayed([job for job in jobs if job.wake_at is not None])
    if len(ready) == 1:
        hints.append(Hint(ready[0].id, trace=trace_of(ready[0].metadata)))
    elif ready:
        hints += [Hint(more=True)] * min(HINTS_AT_ONCE, math.ceil(len(ready) / JOBS_A_HINT))
    return hints


def _delayed(jobs: Sequence[Job]) -> list[Hint]:
    if len(jobs) <= HINTS_AT_ONCE:
        return [Hint(job.id, at=job.wake_at, trace=trace_of(job.metadata)) for job in jobs]
    seconds = Counter(math.ceil(job.wake_at.timestamp()) for job in jobs if job.wake_at is not None)
    hints = [
        Hint(more=True, at=datetime.fromtimestamp(second, UTC))
        for second, number in sorted(seconds.items())
        for _ in range(math.ceil(number / JOBS_A_HINT))
    ]
    return hints[:HINTS_AT_ONCE]


class WakeUps:
    """Gathers the jobs that become claimable, and tells about them together once their commits are through."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._is_heard = not isinstance(waker, NoWaker)
        self._jobs: dict[str, Job] = {}

    def note(self, job: Job) -> None:
        """Remember a job as it is stored now; only one that waits to be claimed is worth a hint."""
        if self._is_heard and job.status is JobStatus.QUEUED and job.parked_on is None:
            self._jobs[job.id] = job
        else:
            self._jobs.pop(job.id, None)

    async def send(self) -> None:
        """Tell about all that was noted since."""
        if self._jobs:
            jobs, self._jobs = list(self._jobs.values()), {}
            await self._waker.wake(hints_for(jobs))
