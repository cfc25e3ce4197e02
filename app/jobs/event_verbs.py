"""The manager's verbs about events: sending them to jobs, and looking at what was sent."""

from __future__ import annotations

from app.jobs.inbox import SentEvent
from app.jobs.models import Json
from app.jobs.paging import check_limit
from app.jobs.reader import JobReader


class EventVerbs(JobReader):
    """Sends events to jobs that wait for them, or will."""

    async def send_event(
        self,
        name: str,
        data: Json = None,
        *,
        job_id: str | None = None,
        by: str = "",
        event_id: str | None = None,
    ) -> SentEvent:
        """Send an event: it is stored, and jobs that wait for it go on.

        Args:
            name: what handlers wait for.
            data: what they are given, any JSON value.
            job_id: the one job that it is for; None is every job that waits for it, now or later, and was created
                before it.
            by: who sends it, for people.
            event_id: an id of the caller's own: sending again under it changes nothing, also when the event has been
                received, as long as events are kept.

        Returns:
            The event as it is stored.

        Raises:
            BadInput: a name or data that cannot be stored.
            IdempotencyConflict: the id belongs to an event of another name, job or data.
            JobNotFound, IllegalTransition: there is no such job, or it has ended.
        """
        runtime = await self._ready()
        sent = await runtime.mailbox.send(name, data, job_id, by, event_id)
        await runtime.wake_ups.send()
        return sent

    async def list_events(self, name: str | None = None, limit: int = 100) -> list[SentEvent]:
        """Events that are kept, the newest first. One for a single job is gone when that has received it.

        Raises:
            BadInput: a name that is none, or a limit that is no number of records.
        """
        check_limit(limit)
        runtime = await self._ready()
        return await runtime.mailbox.listed(name, limit)
