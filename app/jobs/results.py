"""What a job left behind: its result, what it saved on the way, and its log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from app.jobs.codec import Stored
from app.jobs.models import Job, Json, LogEntry
from app.jobs.records import JobRecords
from app.stores.base import Query, Record, Store

PAGE = 200
LOG_PAGES = 20
"""Pages of a log may be large: so many are read at once."""


@dataclass(frozen=True, slots=True)
class JobResults:
    """`result` is what the handler returned (None is a success too); `saved` what it saved, in order."""

    result: Json
    saved: list[Json]


async def pages(store: Store, shape: str, job_id: str, since: int | None = None) -> list[Record]:
    """All records of one job in a collection, in order."""
    found: list[Record] = []
    cursor: str | None = None
    while True:
        page = await store.query(Query(shape, {"job_id": job_id}, since=since, limit=PAGE, cursor=cursor))
        found.extend(page.records)
        cursor = page.cursor
        if cursor is None:
            return found


async def results_of(store: Store, records: JobRecords, job: Job) -> JobResults | None:
    """The results of an ended job; None before its end."""
    if not job.is_terminal:
        return None
    saved: list[Json] = []
    if job.results_saved:
        found = await pages(store, "results.of_job", job.id)
        saved = await records.read_texts([Stored(str(record.fields["data"])) for record in found])
    return JobResults(job.result.data if job.result is not None else None, saved)


async def logs_of(store: Store, records: JobRecords, job_id: str, after: int, limit: int) -> list[LogEntry]:
    """Stored log lines whose number is above `after`, in order, at most `limit`."""
    entries: list[LogEntry] = []
    async with aclosing(LogTail(store, records, job_id, after).lines()) as lines:
        async for entry in lines:
            if len(entries) >= limit:
                break
            entries.append(entry)
    return entries


class LogTail:
    """Reads on in a job's stored log, each time from where it was left."""

    def __init__(self, store: Store, records: JobRecords, job_id: str, after: int) -> None:
        self.after = after
        """The number of the last line that was given out, or skipped."""
        self._store = store
        self._records = records
        self._job_id = job_id
        self._since: int | None = 1 if after == 0 else None
        """Where the next page begins; None while that is not known."""

    async def lines(self) -> AsyncGenerator[LogEntry, None]:
        """The stored lines that come next, to the newest."""
        if self._since is None:
            # The next line may be in the middle of a page, which then begins before it.
            where = {"job_id": self._job_id}
            query = Query("logs.of_job", where, until=self.after + 2, limit=1, reverse=True)
            page = await self._store.query(query)
            for record in page.records:
                for entry in self._taken(record):
                    yield entry
        since = self._since or self.after + 1
        cursor: str | None = None
        while True:
            query = Query("logs.of_job", {"job_id": self._job_id}, since=since, limit=LOG_PAGES, cursor=cursor)
            page = await self._store.query(query)
            for record in page.records:
                for entry in self._taken(record):
                    yield entry
            cursor = page.cursor
            if cursor is None:
                return

    def _taken(self, record: Record) -> Iterator[LogEntry]:
        for number, at, level, message, attempt in self._records.codec.decode_text(str(record.fields["entries"])):
            if number > self.after:
                self.after = number
                self._since = number + 1  # where nothing more comes of this page
                when = datetime.fromisoformat(at)
                yield LogEntry(number=number, at=when, level=level, message=message, attempt=attempt)
