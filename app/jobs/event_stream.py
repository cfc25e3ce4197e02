"""Events as they are sent, for whoever follows them: from the stored records, so it makes no difference by whom.

They are in the order of their times, which senders' clocks give. One that is stored late has an earlier time than
others that were told already, so a follower looks back a little, and knows by its id what it has told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from app.jobs.inbox import SentEvent, check_event_name, event_of
from app.jobs.runtime import Runtime
from app.jobs.streams import Ready
from app.jobs.waiting import first_of
from app.stores.base import Query

LOOK_BACK = timedelta(seconds=10)
"""How much later than its time an event may be stored and still be told."""
LOOK_SECONDS = 1.0
"""How often somebody who follows looks, and more rarely while nothing is sent."""
LONGEST_LOOK_SECONDS = 5.0
_PAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_number(at: datetime) -> int:
    """Where an event of that time is among all: microseconds since 1970, so that a stream can be taken up behind it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


async def event_stream(
    ready: Ready, name: str | None, after: int, begun: datetime, closed: asyncio.Event
) -> AsyncGenerator[SentEvent, None]:
    """Events that are sent, until it is closed.

    Args:
        ready: gives the engine, open.
        name: of the events; None is all.
        after: the `event_number` behind which to go on: what came up to ten seconds before is told again, as it may not
            have been there; 0 begins with what is sent from now on.
        begun: when it was asked for.
        closed: ends it.
    """
    where = {} if name is None else {"name": check_event_name(name)}
    runtime = await ready()
    now = begun
    begin = _EPOCH + timedelta(microseconds=min(after, 10**16)) if after else begun
    since = begin - LOOK_BACK
    told: dict[str, datetime] = {}
    pause = LOOK_SECONDS
    is_first = True
    while not closed.is_set():
        pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
        newest = begin
        for event in await _sent(runtime, where, since):
            newest = max(newest, event.sent_at)
            if event.id in told:
                continue
            told[event.id] = event.sent_at
            if is_first and not after and event.sent_at < begin:
                continue  # was there before anybody followed
            pause = LOOK_SECONDS
            yield event
        is_first = False
        since = max(since, newest - LOOK_BACK, now - 2 * LOOK_BACK)
        told = {key: at for key, at in told.items() if at >= since}
        await first_of(closed.wait(), runtime.clock.sleep(pause))
        now = runtime.clock.now()


async def _sent(runtime: Runtime, where: dict[str, str], since: datetime) -> list[SentEvent]:
    found: list[SentEvent] = []
    cursor: str | None = None
    while True:
        page = await runtime.store.query(Query("events.list", where, since=since, limit=_PAGE, cursor=cursor))
        found += [event_of(record, runtime.codec) for record in page.records]
        cursor = page.cursor
        if cursor is None:
            return found
