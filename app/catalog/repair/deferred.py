"""A repairer that is made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from app.catalog.plans.plan import ChangePlan
from app.jobs import Repair, RepairableError, Repairer


class DeferredRepairer:
    """Stands for a repairer whose making is expensive: most plans need none.

    Args:
        make: makes it; called once, and never where every plan is valid.
    """

    def __init__(self, make: Callable[[], Repairer[ChangePlan]]) -> None:
        self._make = make

    @cached_property
    def _inner(self) -> Repairer[ChangePlan]:
        return self._make()

    async def repair(self, work: ChangePlan | None, error: RepairableError, repairs_left: int) -> Repair[ChangePlan]:
        """What the repairer answers."""
        return await self._inner.repair(work, error, repairs_left)
