"""What the stores that keep their records in memory do with them, between one caller and the next.

Nothing here waits or locks. A store wraps it in what makes it safe (a lock) and, where it has one, in what makes
it durable: `save` is called with every change after it was worked out and before it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from app.stores.base import (
    Claimed,
    ClaimRequest,
    Decide,
    Page,
    Query,
    Record,
    RecordKey,
    StoreError,
    StoreLimits,
    Unit,
    Usage,
    Version,
)
from app.stores.hints import Hints
from app.stores.tables import Change, Tables
from app.stores.weights import check_weight

Save: TypeAlias = Callable[[Sequence[Change]], None]


class Ledger:
    """Records, their counters and those who watch them."""

    def __init__(self, limits: StoreLimits, save: Save) -> None:
        self.limits = limits
        self.tables = Tables()
        self.usage = Usage()
        self.hints = Hints()
        self._save = save

    def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """See `Store.get`."""
        self.usage.reads += len(ids) + len(also)
        more = [self.tables.get(other, [record_id])[0] for other, record_id in also]
        return [*self.tables.get(collection, ids), *more]

    def commit(self, unit: Unit) -> list[Version]:
        """Apply one checked unit; see `Store.commit`."""
        (answer,) = self.commit_each([unit])
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """Apply checked units, which name no record twice; see `Store.commit_each`."""
        answers: list[list[Version] | StoreError] = []
        changes: list[Change] = []
        writes = 0
        for unit in units:
            try:
                check_weight(unit, self.limits)
                plan = self.tables.plan(unit)
            except StoreError as error:
                answers.append(error)
            else:
                answers.append(plan.versions)
                changes += plan.changes
                writes += len(unit)
        try:
            self._make(changes, writes)
        except StoreError as error:
            # Nothing was made, or nobody knows: for every unit that would have been.
            return [error if isinstance(answer, list) else answer for answer in answers]
        return answers

    def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """See `Store.claim`. Nobody can come between, so there are no conflicts."""
        plan = self.tables.plan_claim(request, lease, promote)
        self._make(plan.changes, len(plan.changes))
        self.usage.reads += max(1, plan.looked_at)
        return Claimed(plan.taken, conflicts=0, full_page=plan.full_page)

    def query(self, query: Query) -> Page:
        """See `Store.query`."""
        page = self.tables.query(query)
        self.usage.reads += max(1, len(page.records))
        return page

    def count(self, query: Query) -> int:
        """See `Store.count`."""
        self.usage.reads += 1
        return self.tables.count(query)

    def _make(self, changes: Sequence[Change], writes: int) -> None:
        if changes:
            self._save(changes)
            self.tables.apply(changes)
            self.hints.tell(changes)
        deletes = sum(after is None for _, after in changes)
        self.usage.writes += writes - deletes
        self.usage.deletes += deletes
