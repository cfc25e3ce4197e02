"""What a suspended job waits for may have come while it was being suspended: whoever suspended it looks once more."""

from __future__ import annotations

from app.jobs.events import Arrive, Event, WaitOn
from app.jobs.inbox import SKEW, Inbox, waiting_for
from app.jobs.journal import received_events, recorded_steps
from app.jobs.lease import LeaseParts
from app.jobs.models import Job, JobStatus
from app.jobs.once import PREFIX as ONCE
from app.jobs.once import is_settled
from app.jobs.queue import Queue
from app.stores.base import OutcomeUnknown, PreconditionFailed

EVENT = waiting_for("")
"""With what it begins that a job waits for if it is an event."""


class Arrivals:
    """Looks after jobs that have just been suspended."""

    def __init__(self, parts: LeaseParts, queue: Queue) -> None:
        self._parts = parts
        self._queue = queue
        self._inbox = Inbox(parts.store, parts.records.codec)

    async def look_again(self, job: Job) -> bool:
        """Let a job go on if what it waits for has come, else wait on.

        Without this, after a crash, the job looks for itself when its `wake_at` has come.

        Returns:
            Whether it goes on.
        """
        what = job.waiting_for
        if job.status is not JobStatus.QUEUED or what is None:
            return False
        event: Event = Arrive(what) if await self._is_there(job, what) else WaitOn()
        try:
            await self._queue.change(job, event)
        except (PreconditionFailed, OutcomeUnknown):
            return False  # somebody has told it, or it looks for itself
        return isinstance(event, Arrive)

    async def _is_there(self, job: Job, what: str) -> bool:
        if what.startswith(ONCE):
            (key,) = await self._parts.store.get("once", [what.removeprefix(ONCE)])
            return is_settled(key)
        return await self._has_come(job, what.removeprefix(EVENT))

    async def _has_come(self, job: Job, name: str) -> bool:
        # Its attempt has looked just now, so only what came since can have been missed.
        since = job.updated_at - SKEW
        found = await self._inbox.next_for(job, name, {}, since)
        if found is None or found.event.job_id is not None:
            return found is not None
        steps = await recorded_steps(self._parts.store, self._parts.records, job.id) if job.steps else []
        return await self._inbox.next_for(job, name, received_events(steps), since) is not None
