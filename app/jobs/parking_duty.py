"""The watchdog's duty for parked jobs: whatever nothing holds back any more goes on.

Whoever frees something lets the next job go on, so this finds only what a crash, a lost race or a worker with an old
view of the pauses left behind. It goes from name to name along what jobs are parked on, each time asking whether that
is still in their way; a round that did not come to the end notes where the next one begins.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from app.jobs.limits import COLLECTION, SCHEMA_VERSION, Limit, limit_of, next_parked_query
from app.jobs.models import Job
from app.jobs.parked import ParkedJobs
from app.jobs.parking import PAGE
from app.stores.base import Delete, Put, Store

logger = logging.getLogger(__name__)

NAMES_A_ROUND = 100
"""So many things that jobs are parked on are looked at in one round."""
CURSOR_ID = "parking"

Freed: TypeAlias = Callable[[Job, int], Awaitable[int]]
"""Lets go on what can, of the jobs that are parked like this one: at most so many. Answers how many."""


class ParkingDuty:
    """One round after the other over all that jobs are parked on."""

    def __init__(self, store: Store, parked: ParkedJobs, freed: Mapping[Limit, Freed]) -> None:
        self._store = store
        self._parked = parked
        self._freed = freed

    async def run(self, *, dry_run: bool = False) -> int:
        """One round.

        Args:
            dry_run: only count the things that jobs are parked on.

        Returns:
            How many jobs went on.
        """
        count = 0
        started_at = after = None if dry_run else await self._begin()
        for _ in range(NAMES_A_ROUND):
            page = await self._store.query(next_parked_query(after))
            if not page.records:
                if started_at is not None:
                    await self._store.commit([Delete(COLLECTION, CURSOR_ID)])
                return count
            after = str(page.records[0].fields["parked_on"])
            if dry_run:
                count += 1
                continue
            limit = limit_of(after)
            freed = None if limit is None else self._freed.get(limit)
            for job in self._parked.decoded(page.records):
                if freed is not None:
                    count += await freed(job, PAGE)
        if not dry_run:
            place = {"schema_version": SCHEMA_VERSION, "holder": after}
            await self._store.commit([Put(COLLECTION, CURSOR_ID, place)])
        return count

    async def _begin(self) -> str | None:
        """Behind which name this round begins. Asked only where anything is parked."""
        if not (await self._store.query(next_parked_query(None))).records:
            return None
        (record,) = await self._store.get(COLLECTION, [CURSOR_ID])
        place = None if record is None else record.fields.get("holder")
        return place if isinstance(place, str) else None
