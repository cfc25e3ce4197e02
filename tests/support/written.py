"""How often each record was written, as a store in front of any other sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from app.stores.base import Claimed, ClaimRequest, Decide, Fields, Record, Store, StoreError, Unit, Verify, Version
from app.stores.faults import FaultPlan, FaultyStore

Written: TypeAlias = Counter[tuple[str, str]]
"""By collection and id."""


class CountingStore(FaultyStore):
    """Counts the writes of every record, also those that a claim makes; several can count together."""

    def __init__(self, inner: Store, written: Written) -> None:
        super().__init__(inner, FaultPlan())
        self._written = written

    def _count(self, unit: Unit) -> None:
        self._written.update((write.collection, write.id) for write in unit if not isinstance(write, Verify))

    async def commit(self, unit: Unit) -> list[Version]:
        """See `Store.commit`."""
        versions = await super().commit(unit)
        self._count(unit)
        return versions

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """See `Store.commit_each`."""
        answers = await super().commit_each(units)
        for unit, answer in zip(units, answers, strict=True):
            if not isinstance(answer, StoreError):
                self._count(unit)
        return answers

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """See `Store.claim`. A claim that the store tries again writes what it decided last."""
        changed: set[tuple[str, str]] = set()

        def noted(decide: Decide) -> Decide:
            def decided(record: Record) -> Fields | None:
                patch = decide(record)
                if patch is not None:
                    changed.add((record.collection, record.id))
                return patch

            return decided

        claimed = await super().claim(request, noted(lease), noted(promote))
        self._written.update(changed)
        return claimed
