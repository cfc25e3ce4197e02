"""What a job adds while it runs, for whoever follows it: from the stored, numbered records, so nothing is lost.

Each subscriber reads for itself and as fast as it likes; where it stands is the number of the last line that it saw,
so it can be taken up again anywhere. In whichever process the job runs makes no difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Self, TypeAlias, TypeVar

from app.jobs.batches import BatchInfo
from app.jobs.clock import Clock
from app.jobs.codec import Stored
from app.jobs.errors import BadInput, JobNotFound
from app.jobs.events import BeWatched
from app.jobs.models import Job, JobProgress, JobStatus, Json, LogEntry
from app.jobs.progress import Feed
from app.jobs.records import is_job_id
from app.jobs.results import LogTail
from app.jobs.runtime import Runtime
from app.jobs.waiting import first_of
from app.stores.base import OutcomeUnknown, PreconditionFailed, Query, StoreError, StoreUnavailable, Watch

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ready: TypeAlias = Callable[[], Awaitable[Runtime]]
"""Gives the engine, open."""

LOOK_SECONDS = 1.0
"""How often a follower looks again when no hint came: hints may be lost."""
WATCHED = timedelta(seconds=60)
"""How long a holder flushes often after it was told that somebody watches."""
WATCHED_LEFT = timedelta(seconds=15)
"""With less than this left, the holder is told again: about one write in three quarters of a minute."""
RESULTS_PAGE = 20
BATCH_LOOK_SECONDS = 2.0
"""How often a batch that changes is looked at: a look costs some ten reads."""
BATCH_LONGEST_LOOK_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class SavedResult:
    """One result that a job saved on the way. `number` counts from 1 over all attempts, without gaps."""

    number: int
    at: datetime
    attempt: int
    data: Json


class Subscription(AsyncIterator[T], Generic[T]):
    """What one subscriber sees, in order, until the job has ended or `close` is called, by whatever task."""

    def __init__(self, source: Callable[[asyncio.Event], AsyncGenerator[T, None]]) -> None:
        self._closed = asyncio.Event()
        self._source = source(self._closed)
        """Reads on only while it is asked."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await anext(self._source)

    def close(self) -> None:
        """Let the iteration end where it is. What was read before that is still given out."""
        self._closed.set()


class Follow:
    """One follower's looks at one job. Use it as an asynchronous context manager."""

    def __init__(self, runtime: Runtime, job_id: str, closed: asyncio.Event | None = None, *, live: bool) -> None:
        """Set up; nothing is read yet.

        Args:
            runtime: the engine.
            job_id: the job.
            closed: ends the following when it is set.
            live: whether the job's holder is told that somebody watches, so that it writes more often.
        """
        self._runtime = runtime
        self._job_id = job_id
        self._closed = closed or asyncio.Event()
        self.live = live
        self._watch: Watch | None = None
        self._hint: asyncio.Task[None] | None = None
        self._may_tell = True

    async def __aenter__(self) -> Self:
        if not is_job_id(self._job_id):
            raise JobNotFound(self._job_id)
        self._watch = await self._runtime.store.watch("jobs", self._job_id)
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._hint is not None:
            self._hint.cancel()
            await asyncio.gather(self._hint, return_exceptions=True)
        if self._watch is not None:
            await self._watch.close()

    async def look(self) -> Job:
        """The job as it is now, its user data unread.

        Raises:
            JobNotFound: there is no such job.
        """
        (record,) = await self._runtime.records.find([self._job_id])
        if record is None:
            raise JobNotFound(self._job_id)
        job = self._runtime.codec.job(record)
        if self.live:
            await self._tell_holder(job)
        return job

    async def _tell_holder(self, job: Job) -> None:
        now = self._runtime.clock.now()
        told = job.watched_until is not None and job.watched_until - now > WATCHED_LEFT
        if told or job.status is not JobStatus.RUNNING or not self._may_tell:
            return
        try:
            await self._runtime.queue.change(job, BeWatched(now + WATCHED))
        except (PreconditionFailed, OutcomeUnknown):
            return  # the job has just been written: its holder, or another follower; the next look tells if need be
        except StoreError as error:
            # Whoever may only read can follow all the same.
            self._may_tell = False
            logger.warning("job %s: its holder cannot be told that it is followed: %s", job.id, error)

    async def news(self, *others: Coroutine[Any, Any, Any], within: float = LOOK_SECONDS) -> None:
        """Until there may be something new, one of the others has ended, or nothing more is wanted.

        Args:
            others: what else to wait for.
            within: look again after so many seconds in any case.
        """
        if self._watch is None:
            raise RuntimeError("a job is followed inside `async with`; enter it first")
        if self._hint is None:
            # Kept over many waits: where hints come over the network, each beginning is a call that is paid for.
            self._hint = asyncio.get_running_loop().create_task(self._watch.wait())
        await first_of(_ended(self._hint), self._closed.wait(), self._runtime.clock.sleep(within), *others)
        if self._hint.done():
            trouble = self._hint.cancelled() or self._hint.exception() is not None
            self._hint = None
            if trouble:  # without hints the look has to do, but not all the time
                await first_of(self._closed.wait(), self._runtime.clock.sleep(within))


async def _ended(task: asyncio.Task[None]) -> None:
    """Until the task has ended; it goes on if this is cancelled."""
    await asyncio.wait({task})


def check_after(after: object) -> int:
    """Refuse what is no place in a stream.

    Raises:
        BadInput: not a whole number, or negative.
    """
    if not isinstance(after, int) or isinstance(after, bool) or after < 0:
        raise BadInput("after", f"{after!r} is no line's number", "give the number of the last one seen, or 0 for all")
    return after


async def progress_stream(ready: Ready, job_id: str, closed: asyncio.Event) -> AsyncGenerator[JobProgress, None]:
    """A job's progress, newest state first, until the job has ended."""
    runtime = await ready()
    nothing = seen = JobProgress()
    told_attempt, just_told = 0, False
    # What runs in this process is told at once; what runs elsewhere is read when it has been stored.
    async with Follow(runtime, job_id, closed, live=False) as follow, runtime.broker.feed(job_id) as feed:
        while not closed.is_set():
            job = await follow.look()
            if just_told:
                told_attempt, just_told = job.attempt, False
            # What is stored of an attempt that was told here is older than what was told.
            newer = job.is_terminal or job.attempt > told_attempt
            if newer and job.progress not in (seen, nothing):
                seen = job.progress
                yield seen
            if job.is_terminal:
                return
            told: list[JobProgress | None] = []
            await follow.news(_take(feed, told))
            while not feed.empty():
                told.append(feed.get_nowait())
            for progress in told:
                if progress is not None and progress != seen:
                    seen, just_told = progress, True
                    yield seen
            follow.live = not just_told


async def _take(feed: Feed, told: list[JobProgress | None]) -> None:
    """Wait for the next of a feed. Cancelling it loses nothing."""
    told.append(await feed.get())


async def log_stream(ready: Ready, job_id: str, after: int, closed: asyncio.Event) -> AsyncGenerator[LogEntry, None]:
    """The lines of a job's stored log with a number above `after`, in order, until the job has ended."""
    runtime = await ready()
    tail = LogTail(runtime.store, runtime.records, job_id, after)
    async with Follow(runtime, job_id, closed, live=True) as follow:
        while not closed.is_set():
            job = await follow.look()
            if job.log_length > tail.after:
                async with aclosing(tail.lines()) as lines:
                    async for entry in lines:
                        yield entry
                        if closed.is_set():
                            return
            if job.is_terminal:
                return
            await follow.news()


async def result_stream(
    ready: Ready, job_id: str, after: int, closed: asyncio.Event
) -> AsyncGenerator[SavedResult, None]:
    """What a job saves, with a number above `after`, in order, until the job has ended."""
    runtime = await ready()
    async with Follow(runtime, job_id, closed, live=False) as follow:  # what is saved is written at once anyway
        while not closed.is_set():
            job = await follow.look()
            while job.results_saved > after and (found := await _results(runtime, job_id, after)):
                for result in found:
                    after = result.number
                    yield result
                    if closed.is_set():
                        return
            if job.is_terminal:
                return
            await follow.news()


async def _results(runtime: Runtime, job_id: str, after: int) -> list[SavedResult]:
    query = Query("results.of_job", {"job_id": job_id}, since=after + 1, limit=RESULTS_PAGE)
    page = await runtime.store.query(query)
    data = await runtime.records.read_texts([Stored(str(record.fields["data"])) for record in page.records])
    found: list[SavedResult] = []
    for record, each in zip(page.records, data, strict=True):
        number, at, attempt = (record.fields.get(name) for name in ("seq", "saved_at", "attempt"))
        if isinstance(number, int) and isinstance(at, datetime) and isinstance(attempt, int):
            found.append(SavedResult(number, at, attempt, each))
    return found


async def batch_stream(
    ask: Callable[[], Awaitable[BatchInfo]], clock: Clock, closed: asyncio.Event
) -> AsyncGenerator[BatchInfo, None]:
    """How a batch stands, whenever that has changed, until none of its jobs is unfinished."""
    seen: dict[str, int] | None = None
    pause = BATCH_LOOK_SECONDS
    while not closed.is_set():
        info = await ask()
        pause = min(BATCH_LOOK_SECONDS if info.counts != seen else pause * 1.5, BATCH_LONGEST_LOOK_SECONDS)
        if info.counts != seen:
            seen = info.counts
            yield info
        if info.is_over:
            return
        await first_of(closed.wait(), clock.sleep(pause))


class LogPump:
    """Feeds a bounded queue from a job's stored log. It waits while the queue is full, and reads on from there."""

    def __init__(
        self, subscribe: Callable[[int], Subscription[LogEntry]], clock: Clock, queue: asyncio.Queue[LogEntry | None]
    ) -> None:
        """Set up; `run` does the work.

        Args:
            subscribe: the lines after the one with this number.
            clock: for the pauses while the store is away.
            queue: where the lines go.
        """
        self._subscribe = subscribe
        self._clock = clock
        self._queue = queue
        self._after = 0

    async def run(self) -> None:
        """Put every line of the log into the queue, and None when the job has ended."""
        troubled = 0
        while True:
            try:
                async for entry in self._subscribe(self._after):
                    await self._queue.put(entry)
                    self._after, troubled = entry.number, 0
                break
            except StoreUnavailable:
                # Nobody would hear of it here; the log is stored, so nothing is lost by waiting.
                troubled += 1
                await self._clock.sleep(min(30.0, 2.0**troubled))
            except JobNotFound:
                break
        await self._queue.put(None)
