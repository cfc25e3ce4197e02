"""An engine with a catalogue in memory, and a job type that carries out whatever plan a test gives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from app.catalog.aliases import Alias
from app.catalog.apply import Journal
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.plans import ChangePlan, Operation, Snapshot, Touches, make_plan, touched
from app.catalog.store import CatalogStore
from app.catalog.tasks.planning import carry_out
from app.jobs import Job, JobContext, Repairer
from app.stores.base import Record, Store
from tests.support.clock import FakeClock, settle
from tests.support.engine import Engine

TYPE = "carry"
CATALOG = ("exercises", "exercise_aliases", "exercise_families")
JOURNAL = ("catalog_changes", "catalog_lines")


class Planned:
    """One engine and its catalogue."""

    def __init__(self, *, store: Store | None = None, clock: FakeClock | None = None) -> None:
        self.engine = Engine(store=store, clock=clock)
        self.engine.runtime.application["catalog_apply_enabled"] = True
        self.catalog = CatalogStore(self.engine.store)
        self.journal = Journal(self.engine.store)
        self.operations: tuple[Operation, ...] = ()
        self.touches: Touches | None = None
        self.locks: tuple[str, ...] | None = None
        self.repairer: Repairer[ChangePlan] | None = None
        self.snapshots: list[Snapshot] = []
        """What the planner was shown, each time that it was asked."""
        self.plan_fields: dict[str, Any] = {}

        @self.engine.job(TYPE, max_retries=3, retry_delay_seconds=0)
        async def carry(ctx: JobContext) -> dict[str, Any]:
            plan = make_plan(TYPE, self.operations, **self.plan_fields)

            def build(snapshot: Snapshot) -> ChangePlan:
                self.snapshots.append(snapshot)
                return plan

            touches = touched(plan) if self.touches is None else self.touches
            return await carry_out(ctx, build, touches=touches, locks=self.locks, repairer=self.repairer)

    async def open(self, exercises: Iterable[Exercise], related: Iterable[Alias | Family] = ()) -> None:
        """Fill the catalogue."""
        await self.engine.manager.open()
        await self.catalog.add_new(exercises)
        await self.catalog.add_related(related)

    async def run(self, *operations: Operation, mode: str = "apply") -> Job:
        """The job that carries out these operations, when nothing is claimable any more."""
        self.operations = operations or self.operations
        job_id = await self.engine.submitted(TYPE, mode=mode)
        return await self.drained(job_id)

    async def drained(self, job_id: str) -> Job:
        """A job after the engine has worked off all that it can."""
        await self.engine.drain()
        await settle()
        return await self.engine.get(job_id)

    async def later(self, seconds: float) -> None:
        """Let time go by."""
        self.engine.clock.jump(timedelta(seconds=seconds).total_seconds())

    async def exercise(self, exercise_id: str) -> Exercise:
        """An exercise as it is stored."""
        (found,) = await self.catalog.get([exercise_id])
        assert found is not None, exercise_id
        return found.exercise

    def records(self, *collections: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Stored records of the memory store, without versions."""
        tables: Iterable[Record] = self.engine.memory._ledger.tables
        return {
            (record.collection, record.id): dict(record.fields)
            for record in tables
            if record.collection in (collections or (*CATALOG, *JOURNAL))
        }


def result_of(job: Job) -> dict[str, Any]:
    """What a completed job returned."""
    assert job.result is not None, job
    assert job.result.success, (job.status, job.error)
    assert isinstance(job.result.data, dict)
    return job.result.data
