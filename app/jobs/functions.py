"""Functions on the bound engine: a job is polled, leased, and then completed, failed or retried; and the history of
what ran.

They are for code that runs its own loop; a `Worker` does all of this, and renews leases as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from app.jobs.attempt import error_of
from app.jobs.binding import current_manager
from app.jobs.errors import LONGEST_DELAY_SECONDS, BadInput
from app.jobs.events import Complete, Event, Fail, Release, Retry
from app.jobs.lease import Lease
from app.jobs.models import Job, JobError, JobQueue, JobResult, JobStatus, Json, RunSummary
from app.jobs.queue import QUEUES
from app.jobs.retry import delay_seconds
from app.jobs.run_history import DailySummary
from app.jobs.runtime import Runtime
from app.jobs.watchdog import Watchdog
from app.jobs.worker import worker_name
from app.stores.base import Query, Record, Value

_PAGE = 100


async def create_job(job_type: str, payload: Mapping[str, Json] | None = None, **options: Any) -> Job:
    """Create and start a job; see `AsyncJobManager.submit`."""
    return await current_manager().submit(job_type, payload, **options)


async def poll_job() -> Job | None:
    """The job that should run next, the priority queue first; None if nothing is due. Takes nothing."""
    runtime = (await current_manager().open()).runtime
    now = runtime.clock.now()
    page = await runtime.store.query(Query("jobs.due", until=now + timedelta(microseconds=1), limit=_PAGE))
    due = await runtime.records.decode(page.records)
    for queue in QUEUES:
        found = [*(job for job in due if job.queue is queue), *await _ready(runtime, queue)]
        if found:
            return min(found, key=lambda job: (-job.priority, _since(job)))
    return None


def _since(job: Job) -> datetime:
    """Since when a job can be claimed."""
    return job.ready_at or job.wake_at or job.created_at


async def _ready(runtime: Runtime, queue: JobQueue) -> list[Job]:
    """The ready job of a queue that should run first, in a list; an empty one if there is none."""
    where: dict[str, Value] = {"status": str(JobStatus.QUEUED), "queue": str(queue)}
    below: int | None = None
    while True:
        highest = await runtime.store.query(Query("jobs.by_priority", where, until=below, reverse=True, limit=1))
        if not highest.records:
            return []
        priority = highest.records[0].fields["priority"]
        below = priority if isinstance(priority, int) else 0
        first = await _first_ready(runtime, where, below)
        if first is not None:
            return await runtime.records.decode([first])


async def _first_ready(runtime: Runtime, where: Mapping[str, Value], priority: int) -> Record | None:
    """The record of one priority that has been ready for longest."""
    first: tuple[datetime, Record] | None = None
    cursor: str | None = None
    while True:
        query = Query("jobs.by_priority", where, since=priority, until=priority + 1, limit=_PAGE, cursor=cursor)
        page = await runtime.store.query(query)
        for record in page.records:
            job = runtime.records.readable(record)
            if job is None:
                continue
            if first is not None and job.created_at > first[0]:
                return first[1]  # they come by age, and none is ready before it was created
            if job.ready_at is not None and (first is None or job.ready_at < first[0]):
                first = (job.ready_at, record)
        cursor = page.cursor
        if cursor is None:
            return None if first is None else first[1]


async def lease_job(job: Job, worker_id: str | None = None) -> Lease | None:
    """Lease a polled job; None if somebody was faster.

    Raises:
        JobNotFound: it is gone.
    """
    manager = current_manager()
    runtime = (await manager.open()).runtime
    lease = await runtime.queue.claim_job(worker_id or worker_name(), job.id)
    if lease is not None:
        # Here and not later: another engine may be bound when it ends.
        lease.follow_up = runtime.lease_ended
    for ended in runtime.queue.take_ended():
        await runtime.settled(ended)
    return lease


async def _settled(lease: Lease, event: Event) -> Job:
    """End a lease, and let go on who waits for the job or for its turn."""
    before = lease.job
    job = await lease.settle(event)
    if lease.follow_up is not None:
        await lease.follow_up(before, job)
    return job


async def complete_job(lease: Lease, data: Json = None) -> Job:
    """End a leased job as COMPLETED.

    Raises:
        LeaseLost: somebody else has it.
    """
    return await _settled(lease, Complete(JobResult(success=True, data=data)))


def _error(error: BaseException | str) -> JobError:
    return error_of(error) if isinstance(error, BaseException) else JobError(code="FAILED", message=error)


async def fail_job(lease: Lease, error: BaseException | str) -> Job:
    """End a leased job as FAILED, without a retry.

    Raises:
        LeaseLost: somebody else has it.
    """
    kept = _error(error)
    return await _settled(lease, Fail(kept, JobResult(success=False, error=kept.message)))


async def retry_job(lease: Lease, error: BaseException | str, after_seconds: float | None = None) -> Job:
    """Give a leased job back to be tried again: as its policy says, or after so many seconds. FAILED if none is left.

    Raises:
        LeaseLost: somebody else has it.
        BadInput: seconds that are no delay.
    """
    if after_seconds is not None and not 0 <= after_seconds <= LONGEST_DELAY_SECONDS:
        raise BadInput("after_seconds", f"{after_seconds:g} is not a delay", "give seconds from 0 up to ten years")
    job = lease.job
    if job.retries_used >= job.max_retries:
        return await fail_job(lease, error)
    runtime = current_manager().runtime
    policy = delay_seconds(job.retry_backoff, job.retry_delay_seconds, job.retries_used, runtime.chance.fraction())
    delay = policy if after_seconds is None else after_seconds
    return await _settled(lease, Retry(_error(error), runtime.clock.now() + timedelta(seconds=delay)))


async def release_job(lease: Lease) -> Job:
    """Give a leased job back unfinished, uncounted.

    Raises:
        LeaseLost: somebody else has it.
    """
    return await _settled(lease, Release())


async def recover_stuck_jobs() -> int:
    """Take back jobs whose lease ran out; see `Watchdog.recover_stuck_jobs`."""
    return await Watchdog((await current_manager().open()).runtime).recover_stuck_jobs()


async def cleanup_idempotency_records() -> int:
    """Delete uniqueness keys that keep nobody from anything any more; see `Watchdog.cleanup_idempotency_records`."""
    return await Watchdog((await current_manager().open()).runtime).cleanup_idempotency_records()


async def cleanup_expired_locks() -> int:
    """Delete locks whose holder is gone, and permits that have run out; see `Watchdog.cleanup_expired_locks`."""
    return await Watchdog((await current_manager().open()).runtime).cleanup_expired_locks()


async def get_run_history(**filters: Any) -> list[RunSummary]:
    """Run summaries, newest first; see `AsyncJobManager.get_run_history`."""
    return await current_manager().get_run_history(**filters)


async def get_daily_summary(day: date | str | None = None) -> DailySummary:
    """What ran on one day; see `AsyncJobManager.get_daily_summary`."""
    return await current_manager().get_daily_summary(day)
