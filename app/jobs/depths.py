"""How much work waits in each queue, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.jobs.models import JobQueue
from app.stores.base import Query, Record, Store


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What waits in one queue and could run now."""

    due: int = 0
    """How many jobs."""
    oldest_seconds: float = 0.0
    """How long the one has waited that waits longest; 0 when none does."""


async def queue_depths(store: Store, now: datetime) -> Mapping[JobQueue, QueueDepth]:
    """What waits in each queue: jobs that are claimable, and delayed ones whose time has come.

    Costs two reads while nothing waits, else ten and one more for each thousand jobs.

    Args:
        store: where the jobs are.
        now: the current time.
    """
    if not await _oldest(store, now, None):
        return dict.fromkeys(JobQueue, QueueDepth())
    return {queue: await _depth(store, now, queue) for queue in JobQueue}


async def _depth(store: Store, now: datetime, queue: JobQueue) -> QueueDepth:
    waited = await _oldest(store, now, queue)
    if not waited:
        return QueueDepth()
    due = [await store.count(query) for _, query in _waiting(now, queue)]
    return QueueDepth(sum(due), max(waited))


async def _oldest(store: Store, now: datetime, queue: JobQueue | None) -> list[float]:
    """How long the first of the claimable jobs has waited, and the first of the delayed ones."""
    waited: list[float] = []
    for name, query in _waiting(now, queue):
        for record in (await store.query(query)).records:
            since = waiting_since(record, name)
            if since is not None:
                waited.append(max(0.0, (now - since).total_seconds()))
    return waited


def waiting_since(record: Record, place: str) -> datetime | None:
    """Since when a job could run; one that was parked has its old place, and could not before it was let go.

    Args:
        record: a queued job's.
        place: the field that it stands in line by.
    """
    times = [time for name in (place, "queued_at") if isinstance(time := record.fields.get(name), datetime)]
    return max(times, default=None)


def _waiting(now: datetime, queue: JobQueue | None) -> list[tuple[str, Query]]:
    where = {} if queue is None else {"queue": str(queue)}
    return [
        ("ready_at", Query("jobs.ready_by_age", where, limit=1)),
        ("wake_at", Query("jobs.due", where, until=now, limit=1)),
    ]
