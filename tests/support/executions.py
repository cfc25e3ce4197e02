"""What tests of lost answers stand on: a handler that is counted, and which commits to lose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.jobs import JobContext, JobResult, JobStatus
from app.jobs.context import StopFlag
from app.jobs.events import Complete
from app.jobs.lease import Lease
from app.stores.base import Insert
from app.stores.faults import Call
from tests.support.site import Peer, Site

APPLIED = pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])


class Executions:
    """The jobs that a handler was run for, in order."""

    def __init__(self, site: Site) -> None:
        self.jobs: list[str] = []

        @site.job("work")
        async def work(ctx: JobContext) -> dict[str, int]:
            self.jobs.append(ctx.job_id)
            await ctx.report_progress(1, 1, "worked")
            await ctx.log("worked")
            return {"attempt": ctx.attempt}


def settles(job_id: str, attempt: int = 1) -> Callable[[Call], bool]:
    """Chooses the commits that end a lease."""
    return lambda call: call.touches("runs", f"{job_id}-{attempt}")


def writes(job_id: str) -> Callable[[Call], bool]:
    """Chooses the commits that name a job."""
    return lambda call: call.touches("jobs", job_id)


def creates(call: Call) -> bool:
    """Chooses the commits that make a job."""
    return any(isinstance(write, Insert) and write.collection == "jobs" for unit in call.units for write in unit)


def context_of(lease: Lease) -> JobContext:
    """What a handler is given."""
    return JobContext(lease, StopFlag())


async def worked(peer: Peer) -> Lease:
    """A lease whose job was worked on as the handler does, so that it only has to be settled.

    For clocks that hurry: a worker's heartbeat would hurry with them.
    """
    await peer.submitted("work")
    (lease,) = await peer.claimed()
    await context_of(lease).log("worked")
    return lease


DONE = Complete(JobResult(success=True, data={"attempt": 1}))


async def assert_ran_once(peer: Peer, job_id: str) -> None:
    """The job has ended, and everything about it is there exactly once."""
    job = await peer.get(job_id)
    assert (job.status, job.attempt, job.retries_used, job.lease_losses) == (JobStatus.COMPLETED, 1, 0, 0)
    assert job.result == JobResult(success=True, data={"attempt": 1})
    assert await peer.outcomes(job_id) == [("1", "completed")]
    assert await peer.log(job_id) == ["worked"]
    assert await peer.runtime.queue.claim("somebody", ["default"], 1) == ([], False)
