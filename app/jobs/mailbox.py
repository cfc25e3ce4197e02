"""Sending events to jobs: stored first, told to those who wait for them after.

An event for one job is stored in the very commit that wakes it, or that proves that it does not wait. One for whoever
waits is stored with a mark, which goes when all were told; after a crash the watchdog tells the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from app.jobs.codec import SCHEMA_VERSION, canonical_json
from app.jobs.errors import BadInput, IdempotencyConflict, IllegalTransition, JobNotFound, TooLarge
from app.jobs.events import Arrive
from app.jobs.inbox import (
    ANYBODY,
    COLLECTION,
    PAGE,
    SKEW,
    Inbox,
    SentEvent,
    check_event_name,
    event_of,
    waiting_for,
)
from app.jobs.lease import LeaseParts
from app.jobs.models import Job, Json
from app.jobs.queue import MAX_TRIES, Queue
from app.jobs.records import is_job_id
from app.jobs.texts import MESSAGE_CHARACTERS, tidy
from app.jobs.transitions import allowed
from app.stores.base import Insert, OutcomeUnknown, PreconditionFailed, Query, Record, Store, Update, Value, Verify

logger = logging.getLogger(__name__)


class Mailbox:
    """Stores events, and tells jobs that wait for them."""

    def __init__(self, parts: LeaseParts, queue: Queue) -> None:
        self._parts = parts
        self._store = parts.store
        self._queue = queue

    async def send(self, name: str, data: Json, job_id: str | None, sent_by: str, event_id: str | None) -> SentEvent:
        """Store an event and tell who waits for it; see `AsyncJobManager.send_event`."""
        check_event_name(name)
        if tidy(sent_by, MESSAGE_CHARACTERS) != sent_by:
            raise BadInput("by", f"{sent_by!r:.200} cannot be stored", "give a short text without NUL")
        if event_id is not None and not is_job_id(event_id):
            raise BadInput("event_id", f"{event_id!r:.200} is not an id", "give 1 to 200 characters, without a slash")
        text = self._parts.records.codec.encode_text(data, "data")
        limit = self._parts.records.inline_bytes
        if len(text) > limit:
            raise TooLarge("data", len(text), limit)
        now = self._parts.clock.now()
        fields: dict[str, Value] = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "target": ANYBODY if job_id is None else job_id,
            "sent_at": now,
            "sent_by": sent_by,
            "data": text,
        }
        if job_id is None:
            fields["untold_since"] = now
        insert = Insert(COLLECTION, event_id or self._parts.chance.token(), fields)
        record = await (self._for_anybody(insert) if job_id is None else self._for_job(insert, name, job_id))
        codec = self._parts.records.codec
        asked = event_of(Record(COLLECTION, insert.id, "", insert.fields), codec)
        return _same(event_of(record, codec), asked)

    async def _for_anybody(self, insert: Insert) -> Record:
        for _ in range(MAX_TRIES):
            try:
                (version,) = await self._parts.commits.commit([insert])
            except (PreconditionFailed, OutcomeUnknown):
                (there,) = await self._store.get(COLLECTION, [insert.id])
                if there is None:
                    continue
                if there.fields.get("untold_since") is not None:
                    await self.tell(there)
                return there
            await self.tell(Record(COLLECTION, insert.id, version, insert.fields), just_sent=True)
            return Record(COLLECTION, insert.id, version, insert.fields)
        raise OutcomeUnknown(f"it is not known whether event {insert.id} was stored; send it again under this id")

    async def _for_job(self, insert: Insert, name: str, job_id: str) -> Record:
        """Store an event for one job, in one commit with what it does to that job."""
        what = waiting_for(name)
        written = Record(COLLECTION, insert.id, "", insert.fields)
        for _ in range(MAX_TRIES):
            (job,) = await self._parts.records.get([job_id], strict=False)
            if job is None:
                raise JobNotFound(job_id)
            if job.is_terminal:
                (there,) = await self._store.get(COLLECTION, [insert.id])
                if there is not None:
                    return there  # the job has ended since it was sent
                raise IllegalTransition(job_id, job.status, "receive an event", allowed(job.status))
            try:
                if job.waiting_for == what:
                    await self._queue.change(job, Arrive(what), [insert])
                else:
                    # Whoever suspends the job after this looks for events after that, and finds this one.
                    await self._parts.commits.commit([Verify("jobs", job.id, job.version), insert])
                return written
            except (PreconditionFailed, OutcomeUnknown):
                (there,) = await self._store.get(COLLECTION, [insert.id])
                if there is not None:
                    return there
        raise OutcomeUnknown(f"job {job_id} changed under every try to store event {insert.id}; send it again")

    async def listed(self, name: str | None, limit: int) -> list[SentEvent]:
        """See `Inbox.listed`."""
        return await Inbox(self._store, self._parts.records.codec).listed(name, limit)

    async def tell(self, record: Record, *, just_sent: bool = False) -> int:
        """Let every job go on that waits for an event like this, and take its mark away.

        Args:
            record: the event's.
            just_sent: a job that waits now was there when it was sent, whatever the clocks say. If the clock of who
                created it is ahead, the event's time is put forward to that job's, or the job would not see it.

        Returns:
            How many jobs go on.
        """
        what = waiting_for(str(record.fields["name"]))
        version = record.version
        sent_at = record.fields["sent_at"]

        async def put_forward(jobs: Sequence[Job]) -> None:
            nonlocal version, sent_at
            born = max((job.created_at for job in jobs), default=None)
            if born is None or not isinstance(sent_at, datetime) or not sent_at < born <= sent_at + SKEW:
                return
            try:
                (version,) = await self._parts.commits.commit(
                    [Update(COLLECTION, record.id, {"sent_at": born}, version)]
                )
                sent_at = born
            except (PreconditionFailed, OutcomeUnknown) as error:
                logger.warning("event %s: its time was not put forward to %s: %s", record.id, born, error)

        told = await wake(self._store, self._queue, what, put_forward if just_sent else None)
        try:
            await self._parts.commits.commit([Update(COLLECTION, record.id, {"untold_since": None}, version)])
        except (PreconditionFailed, OutcomeUnknown) as error:
            logger.debug("event %s: somebody else told of it too: %s", record.id, error)
        return told

    async def tell_untold(self, before: datetime, limit: int, *, dry_run: bool = False) -> int:
        """Tell of events that were sent before a time and whose sender did not get to it.

        Returns:
            How many there were.
        """
        page = await self._store.query(Query("events.untold", until=before, limit=limit))
        if not dry_run:
            for record in page.records:
                await self.tell(record)
        return len(page.records)


def _same(there: SentEvent, asked: SentEvent) -> SentEvent:
    """The event that is stored under an id, if it is the one that was asked for.

    Raises:
        IdempotencyConflict: it is another one.
    """
    pairs = {
        "name": there.name == asked.name,
        "job": there.job_id == asked.job_id,
        "data": canonical_json(there.data, "data") == canonical_json(asked.data, "data"),
    }
    for differs, same in pairs.items():
        if not same:
            remedy = "use another id, or send the same event again"
            raise IdempotencyConflict(there.id, there.id, differs, "event_id", holder="event", remedy=remedy)
    return there


async def wake(
    store: Store, queue: Queue, what: str, before: Callable[[Sequence[Job]], Awaitable[None]] | None = None
) -> int:
    """Let every job go on that is suspended until this has come; `before` is called with those that are to.

    Returns:
        How many go on.
    """
    woken = 0
    cursor: str | None = None
    while True:
        # Names have no control characters, so a name with a blank is the least of those that are greater.
        query = Query("jobs.awaiting", since=what, until=f"{what} ", limit=PAGE, cursor=cursor)
        page = await store.query(query)
        jobs = list(queue.decoded(page.records))
        if before is not None:
            await before(jobs)
        answers = await asyncio.gather(*(queue.change(job, Arrive(what)) for job in jobs), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Job):
                woken += 1
            elif not isinstance(answer, PreconditionFailed | OutcomeUnknown | IllegalTransition):
                raise answer
            # Somebody else changed the job: it goes on, or looks again after it is suspended anew.
        cursor = page.cursor
        if cursor is None:
            return woken
