"""Events that were sent to jobs: what is kept of them, and which one a job receives next."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.jobs.codec import Codec
from app.jobs.errors import BadInput
from app.jobs.models import Job, Json, is_key
from app.stores.base import Query, Record, Store, Update, Write

COLLECTION = "events"
ANYBODY = "*"
"""The target of an event for whoever waits for it."""
NAME_CHARACTERS = 150
PAGE = 100
RECEIVED = "/"
"""With what a target begins when that job has received its event: what no job's id has in it. The record stays, so that
the event is known when it is sent again."""
SKEW = timedelta(minutes=5)
"""So far apart may the clocks of those be who send events and those who receive them."""


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event as it was sent."""

    id: str
    name: str
    job_id: str | None
    """The job that it is for; None is whoever waits for it."""
    data: Json
    sent_at: datetime
    sent_by: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event for a job, and what else is written when the job has received it."""

    event: SentEvent
    also: Sequence[Write]


def waiting_for(name: str) -> str:
    """What a job waits for that waits for an event of this name."""
    return f"event:{name}"


def check_event_name(name: object) -> str:
    """An event's name.

    Raises:
        BadInput: it is none.
    """
    if not isinstance(name, str) or not is_key(name) or len(name) > NAME_CHARACTERS:
        raise BadInput(
            "name",
            f"{name!r:.200} is not the name of an event",
            f"give 1 to {NAME_CHARACTERS} characters without control characters",
        )
    return name


def event_of(record: Record, codec: Codec) -> SentEvent:
    """The event of a record."""
    fields = record.fields
    sent_at = fields["sent_at"]
    target = str(fields["target"]).removeprefix(RECEIVED)
    return SentEvent(
        id=record.id,
        name=str(fields["name"]),
        job_id=None if target == ANYBODY else target,
        data=codec.decode_text(str(fields["data"])),
        sent_at=sent_at if isinstance(sent_at, datetime) else datetime.min.replace(tzinfo=UTC),
        sent_by=str(fields.get("sent_by") or ""),
    )


def _received(job_id: str) -> str:
    return f"{RECEIVED}{job_id}"


class Inbox:
    """Finds events."""

    def __init__(self, store: Store, codec: Codec) -> None:
        self._store = store
        self._codec = codec

    async def next_for(
        self, job: Job, name: str, received: Mapping[str, datetime], since: datetime | None = None
    ) -> Arrived | None:
        """The oldest event of a name for a job: for it alone, or for whoever waits and sent after the job was created.

        Args:
            job: the job.
            name: of the event.
            received: the events for whoever waits that it has received already, and when they were sent.
            since: look at events from then on only, of those for whoever waits.
        """
        newest = max(received.values(), default=job.created_at)
        begin = max(job.created_at, newest - SKEW, *([since] if since is not None else []))
        own = self._store.query(Query("events.sent", {"name": name, "target": job.id}, limit=1))
        mine, anybodys = await asyncio.gather(own, self._first_unreceived(name, begin, received))
        found = [record for record in (*mine.records, anybodys) if record is not None]
        if not found:
            return None
        record = min(found, key=lambda each: (each.fields["sent_at"], each.id))
        event = event_of(record, self._codec)
        if event.job_id is None:
            return Arrived(event, [])  # it may be for others too
        return Arrived(event, [Update(COLLECTION, record.id, {"target": _received(job.id)}, record.version)])

    async def _first_unreceived(self, name: str, since: datetime, received: Collection[str]) -> Record | None:
        cursor: str | None = None
        limit = 1
        while True:
            where = {"name": name, "target": ANYBODY}
            page = await self._store.query(Query("events.sent", where, since=since, limit=limit, cursor=cursor))
            for record in page.records:
                if record.id not in received:
                    return record
            cursor, limit = page.cursor, PAGE
            if cursor is None:
                return None

    async def listed(self, name: str | None, limit: int) -> list[SentEvent]:
        """Events that are kept, the newest first."""
        where = {} if name is None else {"name": check_event_name(name)}
        found: list[Record] = []
        cursor: str | None = None
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            page = await self._store.query(Query("events.list", where, reverse=True, limit=size, cursor=cursor))
            found += [record for record in page.records if not str(record.fields["target"]).startswith(RECEIVED)]
            cursor = page.cursor
            if cursor is None:
                break
        return [event_of(record, self._codec) for record in found]
