"""Deleting ended jobs, with all that belongs to them: logs, results, steps and chunks. Run summaries outlive them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from app.jobs.dependencies import about_to_delete
from app.jobs.models import Job
from app.jobs.results import pages
from app.stores.base import Delete, PreconditionFailed, Query, Record, Store, Verify

LetGo: TypeAlias = Callable[[Record], Awaitable[None]]
"""Ends the waiting of all that wait for an ended job."""

PAGE = 100
BELONGINGS = {"logs": "logs.of_job", "results": "results.of_job", "steps": "steps.of_job", "chunks": "chunks.of_job"}
"""Collections of records that belong to one job, and the shape that finds them."""


def expiry(job: Job, now: datetime, keep: timedelta | None) -> datetime | None:
    """From when on the store itself may delete an ended job's record: only if nothing else belongs to it."""
    if keep is None or job.log_length or job.results_saved or job.steps or job.chunks:
        return None
    return now + keep


async def delete_record(store: Store, record: Record) -> None:
    """Delete a job in exactly this state, with what belongs to it.

    Raises:
        PreconditionFailed: it has changed; it is still there.
    """
    deletes: list[Delete] = []
    for collection, shape in BELONGINGS.items():
        deletes.extend(Delete(collection, found.id) for found in await pages(store, shape, record.id))
    size = store.limits().writes_per_commit - 1
    # The job goes with the last page, so that a crash in between leaves a job that is found again.
    while len(deletes) > size:
        await store.commit([*deletes[:size], Verify("jobs", record.id, record.version)])
        deletes = deletes[size:]
    await store.commit([*deletes, Delete("jobs", record.id, record.version)])


async def about_to_go(store: Store, record: Record) -> Record:
    """A job that is to be deleted, in a state that changes when anybody begins to wait for it from now on.

    Raises:
        PreconditionFailed: it has changed.
    """
    write = about_to_delete(record.id, record.version, record.fields.get("deleting"))
    if write is None or not record.fields.get("has_dependents"):
        return record
    (version,) = await store.commit([write])
    return replace(record, version=version, fields={**record.fields, **write.fields})


async def is_waited_for(store: Store, record: Record) -> bool:
    """Whether other jobs wait for a job; nobody begins to unseen, if it is one that `about_to_go` gave."""
    if not record.fields.get("has_dependents"):
        return False
    shapes = ("jobs.waiting", "gates.waiting")
    pages = [await store.query(Query(shape, {"unmet": (record.id,)}, limit=1)) for shape in shapes]
    return any(page.records for page in pages)


async def ended_before(store: Store, until: datetime) -> Sequence[Record]:
    """A page of jobs that ended before a time, the oldest first, without those whose release is not done."""
    found: list[Record] = []
    cursor: str | None = None
    while True:
        page = await store.query(Query("jobs.finished", until=until, limit=PAGE, cursor=cursor))
        found += [record for record in page.records if record.fields.get("release") != "pending"]
        cursor = page.cursor
        if found or cursor is None:
            return found


async def delete_page(store: Store, records: Sequence[Record], let_go: LetGo) -> int:
    """Delete jobs as they were found; one that somebody retried meanwhile stays.

    Args:
        store: where they are.
        records: the jobs.
        let_go: what is done first for each that others wait for: until it is retried, which can't happen any more.

    Returns:
        How many were deleted.
    """
    deleted = 0
    for found in records:
        try:
            record = await about_to_go(store, found)
            if await is_waited_for(store, record):
                await let_go(record)
            await delete_record(store, record)
            deleted += 1
        except PreconditionFailed:
            continue
    return deleted
