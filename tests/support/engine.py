"""A whole engine on the memory store, with a clock and randomness that a test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from app.jobs import (
    AsyncJobManager,
    Chance,
    EngineOptions,
    Job,
    Registry,
    RunSummary,
    Runtime,
    Worker,
    WorkReport,
    job,
)
from app.jobs.codec import TextCodec
from app.stores import MemoryJobStore
from app.stores.base import Query, Store
from app.stores.schema import COLLECTIONS
from tests.support.clock import FakeClock, settle


class FakeChance:
    """Ids and tokens that count up, and a jitter that a test sets."""

    def __init__(self) -> None:
        self.fraction = 0.0
        self._ids = count(1)
        self._tokens = count(1)

    def chance(self) -> Chance:
        """As the engine takes it."""
        return Chance(
            job_id=lambda: f"job-{next(self._ids):04d}",
            token=lambda: f"token-{next(self._tokens):06d}",
            fraction=lambda: self.fraction,
        )


class Engine:
    """Store, registry, manager and workers of one test."""

    def __init__(
        self,
        *,
        store: Store | None = None,
        options: EngineOptions | None = None,
        text_codec: TextCodec | None = None,
        clock: FakeClock | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.chance = FakeChance()
        self.memory = MemoryJobStore()
        self.store: Store = store if store is not None else self.memory
        self.registry = Registry()
        self.runtime = Runtime(
            self.store,
            options=options,
            registry=self.registry,
            clock=self.clock,
            chance=self.chance.chance(),
            text_codec=text_codec,
        )
        self.manager = AsyncJobManager(runtime=self.runtime, worker=False)

    def job(self, job_type: str, **options: Any) -> Callable[[Any], Any]:
        """`@job` on this engine's own registry."""
        return job(job_type, registry=self.registry, **options)

    async def drain(self, **options: Any) -> WorkReport:
        """Work until nothing is claimable and nothing runs; no time goes by."""
        return await Worker(self.runtime, **options).run(drain=True)

    @asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator[Worker]:
        """A worker beside the test. At the end it is stopped, as long as that takes on the clock."""
        worker = Worker(self.runtime, **options)
        task = asyncio.get_running_loop().create_task(worker.run())
        try:
            await settle()
            yield worker
        finally:
            worker.stop()
            await settle()
            if not task.done():
                await self.clock.advance(self.runtime.options.shutdown_seconds)
            # Real seconds, and none of them in a test that passes: a worker that hangs is told from a slow machine.
            await asyncio.wait_for(task, 20)

    async def submitted(self, job_type: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
        """The id of a job that was created and started."""
        return (await self.manager.submit(job_type, payload, **options)).id

    async def get(self, job_id: str) -> Job:
        """The job as it is now."""
        return await self.manager.get_job(job_id)

    async def runs(self, job_id: str) -> list[RunSummary]:
        """Its run summaries, oldest first."""
        return (await self.manager.get_run_history(job_id=job_id, limit=1000))[::-1]

    async def log(self, job_id: str) -> list[str]:
        """The messages of its stored log."""
        return [entry.message for entry in await self.manager.get_logs(job_id)]

    async def records(self) -> dict[str, int]:
        """How many records there are in each collection."""
        if isinstance(self.store, MemoryJobStore):
            tables = self.store._ledger.tables
            return {each.name: sum(r.collection == each.name for r in tables) for each in COLLECTIONS}
        shapes = {"jobs": "jobs.list", "runs": "runs.list"}
        return {name: await self.store.count(Query(shape)) for name, shape in shapes.items()}
