"""What a job left behind: its result, what it saved on the way, and its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.jobs.codec import Stored
from app.jobs.models import Job, Json, LogEntry
from app.jobs.records import JobRecords
from app.stores.base import Query, Record, Store

PAGE = 200


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
    # A page may begin before `after` and end behind it; pages are short, so the one before is read too.
    for record in await pages(store, "logs.of_job", job_id):
        first, count = record.fields["first"], record.fields["count"]
        if isinstance(first, int) and isinstance(count, int) and first + count - 1 <= after:
            continue
        for number, at, level, message, attempt in records.codec.decode_text(str(record.fields["entries"])):
            if number > after:
                entries.append(
                    LogEntry(
                        number=number, at=datetime.fromisoformat(at), level=level, message=message, attempt=attempt
                    )
                )
        if len(entries) >= limit:
            break
    return entries[:limit]
