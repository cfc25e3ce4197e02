"""A catalogue on a store, engines of several processes on it, and what enrichment ought to come to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

import app.catalog.tasks  # noqa: F401 - registers the job types
from app.catalog import Exercise, read_catalog, sample_catalog
from app.catalog.enrichment import DeterministicEnricher, FieldSpec, ReferenceIndex, fields_to_ask
from app.catalog.payloads import DEFAULT_FIELDS, EnrichmentChoice
from app.catalog.plans import Snapshot
from app.catalog.plans.replay import replay_plan
from app.catalog.store import CatalogStore, StoredExercise
from app.catalog.tasks.counts import Counts
from app.catalog.tasks.enriching import Decided, decide, plan_of
from app.jobs import AsyncJobManager, Clock, EngineOptions, Job, JobStatus, Runtime, SystemClock, Worker
from app.stores import DatabaseJobStore, FirestoreJobStore, MemoryJobStore
from app.stores.base import Store
from app.stores.faults import FaultPlan, FaultyStore

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
SPECS = tuple(FieldSpec(path=path) for path in DEFAULT_FIELDS)


class LaterClock(SystemClock):
    """A clock by which every lease that was taken by another has run out."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=5)


class Process:
    """An engine as one process has it, with a connection of its own on which calls can be made to fail."""

    def __init__(
        self,
        store: Store,
        *,
        apply_enabled: bool = True,
        options: EngineOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.plan = FaultPlan()
        self.store = FaultyStore(store, self.plan)
        application = {"catalog_apply_enabled": apply_enabled}
        self.runtime = Runtime(self.store, options=options, clock=clock, application=application)
        self.manager = AsyncJobManager(runtime=self.runtime, worker=False)
        self.catalog = CatalogStore(store)

    async def submit(self, job_type: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
        """The id of a job that was created and started."""
        return (await self.manager.submit(job_type, payload, **options)).id

    async def drain(self) -> None:
        """Work until nothing is due and nothing runs."""
        while True:
            await Worker(self.runtime, concurrency=4).run(drain=True)
            soon = self.runtime.clock.now() + timedelta(seconds=1)
            queued = await self.manager.list_jobs(status=JobStatus.QUEUED)
            if not any(job.wake_at is not None and job.wake_at <= soon for job in queued):
                return

    async def ended(self, job_type: str, payload: dict[str, Any] | None = None, **options: Any) -> Job:
        """A job that was created, and run to its end by this process."""
        job_id = await self.submit(job_type, payload, **options)
        await self.drain()
        job = await self.manager.get_job(job_id)
        assert job.is_terminal, job
        return job

    async def shards(self, parent_id: str) -> list[Job]:
        """The children of a job, in the order in which they were created."""
        return await self.manager.list_jobs(parent_id=parent_id, sort_order="asc")


@dataclass(slots=True)
class Site:
    """One database with a catalogue, and the processes that work on it."""

    make: Callable[[], Store]
    shared: bool
    """Whether each process has a store object of its own."""
    stack: AsyncExitStack
    stores: list[Store] = field(default_factory=list)

    async def process(self, **options: Any) -> Process:
        """One more process; options as for `Process`."""
        if self.shared or not self.stores:
            store = self.make()
            self.stores.append(store)
            await self.stack.enter_async_context(_opened(store))
        return Process(self.stores[-1], **options)

    async def catalogued(self, exercises: Iterable[Exercise]) -> Process:
        """A process on a store that holds these exercises."""
        process = await self.process()
        await process.catalog.add_new(exercises)
        return process


class _opened:  # noqa: N801 - used like a function
    def __init__(self, store: Store) -> None:
        self._store = store

    async def __aenter__(self) -> None:
        await self._store.open()

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()


@pytest.fixture
async def memory() -> AsyncIterator[Site]:
    """A site in memory."""
    async with AsyncExitStack() as stack:
        yield Site(MemoryJobStore, shared=False, stack=stack)


async def _site(make: Callable[[], Store]) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(make, shared=True, stack=stack)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Site]:
    """A site in a file."""
    async for site in _site(lambda: DatabaseJobStore(dialect="sqlite", path=str(tmp_path / "torpor.db"))):
        yield site


@pytest.fixture(params=["memory", "sqlite"])
def site(request: pytest.FixtureRequest) -> Site:
    """A site on each store that needs no server."""
    site: Site = request.getfixturevalue(request.param)
    return site


@pytest.fixture(params=["postgresql", "firestore"])
async def remote(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A site on each store that needs a server."""
    prefix = f"catalog_{uuid4().hex[:8]}_"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        made: Callable[[], Store] = lambda: DatabaseJobStore(url=url, prefix=prefix)  # noqa: E731 - two of a kind
    else:
        emulator = request.getfixturevalue("firestore_emulator")
        made = lambda: FirestoreJobStore(project="torpor-catalog", prefix=prefix, emulator=emulator)  # noqa: E731
    async for site in _site(made):
        yield site


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent looks after its children often, so that tests need not wait for it."""
    monkeypatch.setattr("app.catalog.tasks.enrich.LONGEST_PAUSE_SECONDS", 0.02)


@cache
def sample() -> tuple[Exercise, ...]:
    """The project's own sample."""
    return read_catalog(sample_catalog(), NOW).exercises


@cache
def few() -> tuple[Exercise, ...]:
    """Some of the sample: as good where only the way matters, and done sooner."""
    return sample()[:60]


@pytest.fixture(scope="session")
def real(shared_data: Path) -> tuple[Exercise, ...]:
    """The 873 real records."""
    return read_catalog((shared_data / "exercises" / "free-exercise-db.json").read_bytes(), NOW).exercises


Expected: TypeAlias = tuple[Counts, dict[str, Exercise]]


def expected(exercises: Sequence[Exercise]) -> Expected:
    """What the default fields of exercises ought to become: by pure functions, all at once, and without any engine."""

    async def work() -> Expected:
        enricher = DeterministicEnricher(ReferenceIndex(exercises))
        in_turn = sorted(exercises, key=lambda exercise: exercise.family_slug)
        proposals = {
            exercise.id: await enricher.enrich(exercise, fields_to_ask(exercise, SPECS)) for exercise in in_turn
        }
        before = Snapshot({exercise.id: exercise for exercise in exercises})
        decided = decide(in_turn, before, proposals, EnrichmentChoice(), NOW)
        after, problems = replay_plan(before, plan_of("catalog_enrich_field_shard", decided, before), NOW)
        assert problems == []
        return counted_as_written(decided), dict(after.exercises)

    return asyncio.run(work())


def counted_as_written(decided: Iterable[Decided]) -> Counts:
    """The counts of all of them, none of which anybody interferes with."""
    return sum((each.written for each in decided), Counts())


def contents(stored: Iterable[StoredExercise]) -> dict[str, dict[str, Any]]:
    """What exercises say, without when they were changed."""
    return {each.exercise.id: each.exercise.model_dump(exclude={"updated_at"}) for each in stored}


def says(exercises: dict[str, Exercise]) -> dict[str, dict[str, Any]]:
    """The same of exercises that are not stored."""
    return {exercise.id: exercise.model_dump(exclude={"updated_at"}) for exercise in exercises.values()}


def totals(job: Job) -> Counts:
    """The counts in the result of a completed `catalog_enrich_field`."""
    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result is not None
    return Counts.model_validate({name: job.result.data[name] for name in Counts.model_fields})


@pytest.fixture(scope="session")
def expected_sample() -> Expected:
    """What the sample ought to become."""
    return expected(sample())


@pytest.fixture(scope="session")
def expected_few() -> Expected:
    """What some of the sample ought to become."""
    return expected(few())


@pytest.fixture(scope="session")
def expected_real(real: tuple[Exercise, ...]) -> Expected:
    """What the real records ought to become."""
    return expected(real)
