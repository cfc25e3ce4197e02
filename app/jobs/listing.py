"""Which jobs there are: filters, sorting and paging over the declared query shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.jobs.errors import BadInput
from app.jobs.models import Job, JobQueue, JobStatus, is_key
from app.jobs.paging import check_cursor, check_limit, check_offset
from app.jobs.records import JobRecords
from app.jobs.request import as_utc
from app.stores.base import Query, Store, Value

SHAPE_OF_SORT = {"created_at": "jobs.list", "priority": "jobs.by_priority", "finished_at": "jobs.finished"}
EQUAL_FILTERS = frozenset({"type", "batch_id", "parent_id"})
FILTERS = (
    *("status", "queue", "tags", "created_after", "created_before", "sort_by", "sort_order"),
    *sorted(EQUAL_FILTERS),
)
PAGE = 200


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, and where the next page begins; `cursor` is None on the last one."""

    jobs: list[Job]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted, in which order."""

    status: JobStatus | None = None
    type: str | None = None
    queue: JobQueue | None = None
    batch_id: str | None = None
    parent_id: str | None = None
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    sort_by: str = "created_at"
    descending: bool = True

    @classmethod
    def of(
        cls,
        *,
        status: JobStatus | str | None = None,
        queue: JobQueue | str | None = None,
        tags: Iterable[str] | str = (),
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        sort_by: str = "created_at",
        sort_order: str = "desc",
        **equal: str | None,
    ) -> JobFilter:
        """A filter from what a caller gave.

        Raises:
            BadInput: naming the argument and what it takes.
        """
        if sort_by not in SHAPE_OF_SORT:
            raise BadInput("sort_by", f"{sort_by!r} is not a sort key", f"use one of {', '.join(SHAPE_OF_SORT)}")
        if sort_order not in ("asc", "desc"):
            raise BadInput("sort_order", f"{sort_order!r} is not an order", "use asc or desc")
        if sort_by != "created_at" and (created_after is not None or created_before is not None):
            raise BadInput("created_after", f"cannot be sorted by {sort_by}", "sort by created_at, or leave it out")
        if unknown := sorted(equal.keys() - EQUAL_FILTERS):
            raise BadInput(unknown[0], "is not a filter", f"use: {', '.join(FILTERS)}")
        try:
            wanted = (tags,) if isinstance(tags, str) else tuple(tags)
        except TypeError:
            wanted = ("",)
        if not all(map(is_key, wanted)):
            raise BadInput("tags", f"{tags!r} are not tags", "give texts of 1 to 200 characters")
        for name, value in equal.items():
            if value is not None and not is_key(str(value)):
                raise BadInput(name, f"{str(value)[:200]!r} is no {name}", "give a text of 1 to 200 characters")
        return cls(
            status=_member(JobStatus, status, "status", {"stopped": "cancelled"}),
            queue=_member(JobQueue, queue, "queue", {}),
            tags=wanted,
            created_after=None if created_after is None else as_utc(created_after, "created_after"),
            created_before=None if created_before is None else as_utc(created_before, "created_before"),
            sort_by=sort_by,
            descending=sort_order == "desc",
            **{name: str(value) for name, value in equal.items() if value is not None},
        )

    def query(self, limit: int, offset: int = 0, cursor: str | None = None) -> Query:
        """The store's question."""
        equal = {"status": self.status, "type": self.type, "queue": self.queue}
        equal |= {"batch_id": self.batch_id, "parent_id": self.parent_id}
        where: dict[str, Value] = {name: str(value) for name, value in equal.items() if value is not None}
        if self.tags:
            where["tags"] = self.tags
        return Query(
            SHAPE_OF_SORT[self.sort_by],
            where,
            since=self.created_after,
            until=self.created_before,
            reverse=self.descending,
            limit=limit,
            offset=offset,
            cursor=cursor,
        )


def _member(kind: Any, value: Any, field: str, also: dict[str, str]) -> Any:
    if value is None:
        return None
    try:
        return kind(also.get(str(value).lower(), str(value).lower()))
    except ValueError:
        raise BadInput(field, f"{value!r} is not a {field}", f"use one of {', '.join(kind)}") from None


async def page_of(
    store: Store, records: JobRecords, wanted: JobFilter, limit: int, offset: int, cursor: str | None
) -> JobPage:
    """One page of jobs.

    Raises:
        BadInput: a limit or an offset that is no number of records, or a cursor from elsewhere.
    """
    question = wanted.query(check_limit(limit), check_offset(offset), check_cursor(cursor))
    try:
        page = await store.query(question)
    except ValueError as problem:
        raise BadInput("cursor", str(problem), "use the cursor of the page before, unchanged") from problem
    return JobPage(await records.decode(page.records), page.cursor)


async def all_of(store: Store, records: JobRecords, wanted: JobFilter, limit: int | None, offset: int) -> list[Job]:
    """Every job that is wanted, up to the limit.

    Raises:
        BadInput: a limit or an offset that is no number of records.
    """
    if limit is not None and check_limit(limit) <= PAGE:
        return (await page_of(store, records, wanted, limit, offset, None)).jobs
    jobs: list[Job] = []
    cursor: str | None = None
    while True:
        size = PAGE if limit is None else min(PAGE, limit - len(jobs))
        page = await page_of(store, records, wanted, size, offset if cursor is None else 0, cursor)
        jobs.extend(page.jobs)
        cursor = page.cursor
        if cursor is None or (limit is not None and len(jobs) >= limit):
            return jobs
