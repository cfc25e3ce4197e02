"""Cancelling many jobs: those of a batch, or all that wait for one."""

from __future__ import annotations

from app.jobs.errors import BadInput, JobNotFound
from app.jobs.events import Event, RequestCancel
from app.jobs.graph import MAX_WALKED
from app.jobs.models import Job
from app.jobs.runtime import Runtime
from app.stores.base import PreconditionFailed, Query

PAGE = 100


async def cancelled(runtime: Runtime, job_id: str, reason: str) -> bool:
    """Cancel a job; one that has ended or was deleted meanwhile is let be.

    Returns:
        Whether it was cancelled, or its holder told.
    """
    control_id = runtime.chance.token()
    asked = False

    def decide(job: Job) -> Event | None:
        nonlocal asked
        asked = not job.is_terminal
        return RequestCancel(control_id, reason) if asked else None

    try:
        job = await runtime.queue.apply(job_id, decide)
    except (PreconditionFailed, JobNotFound):
        return False
    if asked and job.is_terminal:
        await runtime.settled(job)
    return asked


async def cancel_waiting(runtime: Runtime, job_id: str, reason: str) -> int:
    """Cancel all jobs that wait for a job, directly or not, those first that nothing waits for.

    Returns:
        How many were cancelled.

    Raises:
        BadInput: more than can be walked.
    """
    found = {job_id: None}
    waiting = [job_id]
    while waiting:
        for child in await _waiting_for(runtime, waiting.pop(0)):
            if child not in found:
                found[child] = None
                waiting.append(child)
        if len(found) > MAX_WALKED:
            raise BadInput("dependents", f"more than {MAX_WALKED:,} jobs wait for it", "cancel them in parts")
    # Each was found through something that it waits for, and is cancelled before that one: so none is let go on.
    return sum([await cancelled(runtime, each, reason) for each in list(found)[:0:-1]])


async def _waiting_for(runtime: Runtime, job_id: str) -> list[str]:
    ids: list[str] = []
    for shape in ("jobs.waiting", "gates.waiting"):
        cursor: str | None = None
        while True:
            page = await runtime.store.query(Query(shape, {"unmet": (job_id,)}, limit=PAGE, cursor=cursor))
            ids += [str(record.fields.get("job_id", record.id)) for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
    return ids
