"""Parts of long lists for an answer of limited size: as many records as fit, and where the next part begins.

User data of a job may be megabytes, so a number of records says little about how large they are. How large they are is
known before what lies in chunks is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from app.jobs.errors import BadInput, JobNotFound
from app.jobs.journal import steps_of
from app.jobs.listing import JobFilter, JobPage
from app.jobs.models import Job
from app.jobs.paging import check_cursor, check_limit, check_offset
from app.jobs.runtime import Runtime
from app.jobs.steps import Step
from app.stores.base import Page, Query, Record

FIRST = 10
"""So many records are read first, and at least; how large they are says how many come next."""

Read: TypeAlias = Callable[[int, str | None], Awaitable[Page]]
"""Reads up to so many records behind a cursor."""


async def portion(
    read: Read, limit: int, cursor: str | None, most_bytes: int, size_of: Callable[[Record], int]
) -> Page:
    """As many records as fit, at least one if there is any.

    Args:
        read: reads records.
        limit: at most so many.
        cursor: where the part before ended.
        most_bytes: how large they may be together; one alone may be larger.
        size_of: how many bytes a record is, with all that it stands for.
    """
    found: list[Record] = []
    used = 0
    wanted = min(FIRST, limit)
    while True:
        page = await read(wanted, cursor)
        fitting, size = _fitting(page.records, most_bytes - used, size_of)
        if fitting < len(page.records):
            fitting = max(fitting, 0 if found else 1)
            if fitting == 0:
                return Page(found, cursor)
            page = await read(fitting, cursor)  # once more, for the cursor behind these
            return Page([*found, *page.records], page.cursor)
        found += page.records
        used += size
        cursor = page.cursor
        average = max(1, used // max(1, len(found)))
        wanted = min(limit - len(found), max(FIRST, (most_bytes - used) // average))
        if cursor is None or wanted < 1:
            return Page(found, cursor)


def _fitting(records: Sequence[Record], most_bytes: int, size_of: Callable[[Record], int]) -> tuple[int, int]:
    """How many of the records fit, and how large those are."""
    used = 0
    for number, record in enumerate(records):
        size = size_of(record)
        if used + size > most_bytes:
            return number, used
        used += size
    return len(records), used


@dataclass(frozen=True, slots=True)
class StepPage:
    """Some recorded steps, and where the next page begins; `cursor` is None on the last one."""

    steps: list[Step]
    cursor: str | None


class Portions:
    """Reads lists in parts of limited size.

    Args:
        runtime: the engine, whose store is open.
        most_bytes: how large the records of one part may be together; one alone may be larger.
    """

    def __init__(self, runtime: Runtime, most_bytes: int) -> None:
        self._runtime = runtime
        self._most_bytes = most_bytes

    async def jobs(self, /, *, limit: int, offset: int = 0, cursor: str | None = None, **filters: Any) -> JobPage:
        """Jobs; filters as `AsyncJobManager.list_jobs` takes them.

        Raises:
            BadInput: naming the argument and what it takes.
        """
        if cursor is not None and offset:
            raise BadInput("offset", "is for the first page only", "leave it out, or the cursor")
        return await self._job_page(JobFilter.of(**filters).query(1, check_offset(offset)), limit, cursor)

    async def dependencies(self, job_id: str, limit: int, cursor: str | None = None) -> JobPage:
        """The jobs that a job depends on, without those that were deleted.

        Raises:
            JobNotFound: there is no such job.
            BadInput: a limit that is no number of records, or a cursor from elsewhere.
        """
        (record,) = await self._runtime.records.find([job_id])
        if record is None:
            raise JobNotFound(job_id)
        ids = self._runtime.codec.job(record).depends_on

        async def read(wanted: int, behind: str | None) -> Page:
            start = _place(behind)
            records = await self._runtime.records.find(ids[start : start + wanted])
            end = str(start + wanted) if start + wanted < len(ids) else None
            return Page([each for each in records if each is not None], end)

        return await self._jobs_of(read, limit, cursor)

    async def dependents(self, job_id: str, limit: int, cursor: str | None = None) -> JobPage:
        """The jobs that depend on a job, oldest first.

        Raises:
            JobNotFound: there is no such job.
            BadInput: a limit that is no number of records, or a cursor from elsewhere.
        """
        if (await self._runtime.records.find([job_id]))[0] is None:
            raise JobNotFound(job_id)
        return await self._job_page(Query("jobs.dependents", {"depends_on": (job_id,)}), limit, cursor)

    async def steps(self, job_id: str, limit: int, cursor: str | None = None) -> StepPage:
        """The recorded steps of a job, in the order in which its handler called them.

        Raises:
            JobNotFound: there is no such job.
            BadInput: a limit that is no number of records, or a cursor from elsewhere.
        """
        if (await self._runtime.records.find([job_id]))[0] is None:
            raise JobNotFound(job_id)
        page = await self._page(self._reading(Query("steps.of_job", {"job_id": job_id})), limit, cursor)
        return StepPage(await steps_of(self._runtime.records, page.records), page.cursor)

    async def _job_page(self, query: Query, limit: int, cursor: str | None) -> JobPage:
        return await self._jobs_of(self._reading(query), limit, cursor)

    async def _jobs_of(self, read: Read, limit: int, cursor: str | None) -> JobPage:
        page = await self._page(read, limit, cursor)
        jobs: list[Job] = await self._runtime.records.decode(page.records)
        return JobPage(jobs, page.cursor)

    async def _page(self, read: Read, limit: int, cursor: str | None) -> Page:
        size_of = self._runtime.records.size_of
        return await portion(read, check_limit(limit), check_cursor(cursor), self._most_bytes, size_of)

    def _reading(self, query: Query) -> Read:
        async def read(wanted: int, behind: str | None) -> Page:
            offset = query.offset if behind is None else 0
            try:
                return await self._runtime.store.query(replace(query, limit=wanted, offset=offset, cursor=behind))
            except ValueError as problem:
                raise BadInput("cursor", str(problem), "use the cursor of the page before, unchanged") from problem

        return read


def _place(cursor: str | None) -> int:
    """Where to go on in a list of ids.

    Raises:
        BadInput: the cursor is of no such list.
    """
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise BadInput("cursor", f"{cursor[:200]!r} is no cursor", "use the cursor of the page before, unchanged")
    return int(cursor)
