"""One memory store, several processes on it whose clocks can fall behind, and what must be true of their jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from app.jobs import AsyncJobManager, EngineOptions, Job, JobStatus, Registry, Runtime, Watchdog, job
from app.jobs.lease import Lease
from app.jobs.models import LATE
from app.stores import MemoryJobStore
from app.stores.base import Record
from app.stores.faults import FaultPlan
from tests.support.clock import NOON
from tests.support.engine import FakeChance
from tests.support.late_store import LateStore

LEASE_SECONDS = 60.0
T = TypeVar("T")
Snapshot: TypeAlias = Mapping[tuple[str, str], Record]


class World:
    """The time that is the same for everybody who is awake."""

    def __init__(self) -> None:
        self.microseconds = 0
        self.clocks: list[LaggingClock] = []

    def pass_by(self, seconds: float) -> None:
        """Let time go by; the clocks of machines that stand still do not notice."""
        step = round(seconds * 1e6)
        self.microseconds += step
        for clock in self.clocks:
            if clock.stands_still:
                clock.lag += step


class LaggingClock:
    """One process's clock. Whoever sleeps has slept at once, and the time has gone by for everybody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lag = 0
        self.stands_still = False
        world.clocks.append(self)

    def now(self) -> datetime:
        return NOON + timedelta(microseconds=self._world.microseconds - self.lag)

    def monotonic(self) -> float:
        return 5000.0 + (self._world.microseconds - self.lag) / 1e6

    async def sleep(self, seconds: float) -> None:
        self._world.pass_by(max(0.0, seconds))
        await asyncio.sleep(0)


class Host:
    """One process: its own clock, connection and name."""

    def __init__(self, name: str, memory: MemoryJobStore, world: World, registry: Registry, chance: FakeChance) -> None:
        self.name = name
        self.clock = LaggingClock(world)
        self.store = LateStore(memory)
        options = EngineOptions(lease_seconds=LEASE_SECONDS)
        self.runtime = Runtime(self.store, options=options, registry=registry, clock=self.clock, chance=chance.chance())
        self.manager = AsyncJobManager(runtime=self.runtime, worker=False)
        self.watchdog = Watchdog(self.runtime)

    @property
    def plan(self) -> FaultPlan:
        """Which calls of this process fail."""
        return self.store.plan

    def heal(self) -> None:
        """Nothing that has not failed yet fails any more."""
        self.store.plan = FaultPlan()


@dataclass(eq=False, slots=True)
class Held:
    """A lease that a process believes it has, or had, and what it wants to have written under it."""

    host: Host
    lease: Lease
    said: list[str] = field(default_factory=list)
    checkpoint: object = None
    confirmed: int = 0
    """So many of the lines are known to be stored."""

    @property
    def job_id(self) -> str:
        return self.lease.job.id


@dataclass(slots=True)
class Known:
    """What the test itself knows of a job that was accepted."""

    base: int = 0
    """The attempt before its counters were last set back to zero."""
    revision: int = 0
    place: tuple[object, ...] = ()
    attempt: int = 0
    gave_up: set[int] = field(default_factory=set)
    """Attempts that were abandoned as failed."""
    promised: list[str] = field(default_factory=list)
    """Log lines of which a holder was told that they are stored."""


class LeaseWorld:
    """Three holders and a person, all on one store."""

    def __init__(self) -> None:
        self.time = World()
        self.memory = MemoryJobStore()
        self.registry = Registry()
        chance = FakeChance()

        async def work() -> None:
            raise AssertionError("the test holds the leases itself")

        job("work", registry=self.registry)(work)
        job("once", idempotent=False, registry=self.registry)(work)
        self.holders = [Host(f"holder-{n}", self.memory, self.time, self.registry, chance) for n in range(3)]
        self.person = Host("person", self.memory, self.time, self.registry, chance)
        self.jobs: dict[str, Known] = {}
        self.held: list[Held] = []
        self.runs: dict[str, Record] = {}
        """Every run summary that was ever seen."""
        self.loop = asyncio.new_event_loop()
        self.run(self.memory.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let something happen, to its end."""
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        """Let go of everything."""
        self.run(self.memory.close())
        self.loop.close()

    # --- what is stored ---

    def snapshot(self) -> Snapshot:
        """Every record."""
        return {(record.collection, record.id): record for record in self.memory._ledger.tables}

    def stored(self, job_id: str) -> Job | None:
        """A job as it is now."""
        (record,) = self.memory._ledger.tables.get("jobs", [job_id])
        return None if record is None else self.person.runtime.codec.job(record)

    def runs_of(self, job_id: str) -> list[Record]:
        """The summaries of a job's ended leases, by attempt; without late evidence."""
        mine = [run for run in self.runs.values() if run.fields["job_id"] == job_id and not run.id.endswith(LATE)]
        return sorted(mine, key=lambda run: int(str(run.fields["attempt"])))

    def log_of(self, job_id: str) -> list[tuple[int, str]]:
        """The numbers and messages of a job's stored log, as its pages hold them."""
        pages = [
            record
            for (collection, _), record in self.snapshot().items()
            if collection == "logs" and record.fields["job_id"] == job_id
        ]
        pages.sort(key=lambda page: int(str(page.fields["first"])))
        return [(line[0], line[3]) for page in pages for line in json.loads(str(page.fields["entries"]))]

    def holds(self, held: Held) -> bool:
        """Whether the store says that it is this lease under which the job runs."""
        job = self.stored(held.job_id)
        return job is not None and job.status is JobStatus.RUNNING and job.lease_token == held.lease.token

    # --- what must be true ---

    def check(self) -> None:
        """All of it."""
        now = self.snapshot()
        for (collection, record_id), record in now.items():
            if collection == "runs":
                before = self.runs.setdefault(record_id, record)
                assert before == record, f"run summary {record_id} was written twice"
        missing = [run_id for run_id in self.runs if ("runs", run_id) not in now]
        assert not missing, f"run summaries are gone: {missing}"
        for job_id, known in self.jobs.items():
            found = self.stored(job_id)
            assert found is not None, f"the accepted job {job_id} is lost"
            self._check_place(found)
            self._check_runs(found, known)
            self._check_log(found, known)
            self._check_results(found, now)
            self._check_revision(found, known)
        self._check_leases()

    @staticmethod
    def _check_place(job: Job) -> None:
        waits = [name for name in ("ready_at", "wake_at", "parked_on") if getattr(job, name) is not None]
        assert len(waits) == (job.status is JobStatus.QUEUED), f"{job.id} is {job.status} and waits by {waits}"
        lease = [name for name in ("worker_id", "lease_token", "lease_expires_at") if getattr(job, name) is not None]
        assert len(lease) == (3 if job.status is JobStatus.RUNNING else 0), f"{job.id} is {job.status} with {lease}"
        assert job.status is JobStatus.RUNNING or job.control_action is None, f"{job.id}: a request outlives its lease"
        assert job.is_terminal == (job.finished_at is not None)

    def _check_runs(self, job: Job, known: Known) -> None:
        runs = self.runs_of(job.id)
        ended = job.attempt - (job.status is JobStatus.RUNNING)
        assert [run.fields["attempt"] for run in runs] == list(range(1, ended + 1)), f"{job.id}: one summary a lease"
        for run in runs:
            assert run.id == f"{job.id}-{run.fields['attempt']}"
        counted = [run for run in runs if int(str(run.fields["attempt"])) > known.base]
        lost = [run for run in counted if run.fields["outcome"] == "lease_lost"]
        tried = [
            run
            for run in counted
            if run.fields["outcome"] == "retried"
            or (run.fields["outcome"] == "failed" and run.fields["attempt"] in known.gave_up)
        ]
        assert (job.lease_losses, job.retries_used) == (len(lost), len(tried)), f"{job.id}: losses and retries"
        assert job.lease_losses <= job.max_lease_losses + 1
        if job.lease_losses > job.max_lease_losses:
            assert job.status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.NEEDS_REVIEW)
        if job.type == "once":
            for run in lost:
                assert run.fields["status"] in ("needs_review", "cancelled"), f"{job.id} was to run once"
        for late in (run for run in self.runs.values() if run.id.startswith(job.id) and run.id.endswith(LATE)):
            assert late.fields["counted"] is False
            assert f"{job.id}-{late.fields['attempt']}" in self.runs or job.attempt == late.fields["attempt"]

    def _check_log(self, job: Job, known: Known) -> None:
        lines = self.log_of(job.id)
        assert [number for number, _ in lines] == list(range(1, job.log_length + 1)), f"{job.id}: its log has gaps"
        texts = [text for _, text in lines]
        assert len(set(texts)) == len(texts), f"{job.id}: a line was stored twice"
        assert [text for text in texts if text in set(known.promised)] == known.promised, f"{job.id}: lines are lost"

    @staticmethod
    def _check_results(job: Job, now: Snapshot) -> None:
        mine = [
            record.fields["seq"]
            for (collection, _), record in now.items()
            if collection == "results" and record.fields["job_id"] == job.id
        ]
        assert sorted(map(int, map(str, mine))) == list(range(1, job.results_saved + 1)), f"{job.id}: saved results"

    @staticmethod
    def _check_revision(job: Job, known: Known) -> None:
        place = (job.status, job.attempt, job.parked_on)
        assert job.revision >= known.revision
        assert job.attempt >= known.attempt
        if place != known.place:
            assert job.revision > known.revision, f"{job.id}: it moved, and its revision did not"
        known.place, known.revision, known.attempt = place, job.revision, job.attempt

    def _check_leases(self) -> None:
        believers: dict[str, list[Held]] = {}
        for held in self.held:
            if self.holds(held):
                believers.setdefault(held.job_id, []).append(held)
        for job_id, holding in believers.items():
            assert len(holding) == 1, f"{job_id} has {len(holding)} live leases"
            (held,) = holding
            job = self.stored(job_id)
            assert job is not None
            assert held.lease.attempt == job.attempt
