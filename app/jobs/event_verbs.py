"""The manager's verbs about events: sending them to jobs, and looking at what was sent."""

from __future__ import annotations

from app.jobs.event_stream import event_stream
from app.jobs.inbox import SentEvent, check_event_name
from app.jobs.models import Json
from app.jobs.paging import check_limit
from app.jobs.reader import JobReader
from app.jobs.streams import Subscription, check_after


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

    def subscribe_events(self, name: str | None = None, after: int = 0) -> Subscription[SentEvent]:
        """Events as they are sent, to whatever job and in whichever process, until it is closed.

        Args:
            name: of the events; None is all.
            after: the `event_number` of the time behind which to go on. What was sent up to ten seconds before it is
                told again, as it may have been stored later; 0 begins with what is sent from now on.

        Returns:
            An asynchronous iterator, in the order in which events are found. It raises StoreUnavailable if the store
            cannot be reached.

        Raises:
            BadInput: a name or a number that is none.
        """
        check_after(after)
        if name is not None:
            check_event_name(name)
        begun = self.runtime.clock.now()  # not when it is first read: what is sent before that is wanted
        return Subscription(lambda closed: event_stream(self._ready, name, after, begun, closed))
