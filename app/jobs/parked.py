"""Reading what is parked, in the order in which it is to go on."""

from __future__ import annotations

from collections.abc import Sequence

from app.jobs.limits import parked_query
from app.jobs.models import Job
from app.jobs.records import JobRecords
from app.stores.base import Record, Store


class ParkedJobs:
    """Finds parked jobs. Their user data is not read."""

    def __init__(self, store: Store, records: JobRecords) -> None:
        self._store = store
        self._records = records

    async def first(self, parked_on: str, limit: int, *, by_age: bool = False) -> list[Job]:
        """The first jobs that wait for this: by priority and then by age, or by age alone.

        Raises:
            StoreError: the store could not be asked.
        """
        page = await self._store.query(parked_query(parked_on, limit, by_age=by_age))
        return self.decoded(page.records)

    async def page(self, parked_on: str, limit: int, cursor: str | None) -> tuple[list[Job], str | None]:
        """Some of the jobs that wait for this, and where the next page begins; None when there are no more.

        Raises:
            StoreError: the store could not be asked.
        """
        page = await self._store.query(parked_query(parked_on, limit, cursor=cursor))
        return self.decoded(page.records), page.cursor

    def decoded(self, records: Sequence[Record]) -> list[Job]:
        """The jobs of records; one that this version of the code cannot read is left where it is."""
        jobs = (self._records.readable(record) for record in records)
        return [job for job in jobs if job is not None]
