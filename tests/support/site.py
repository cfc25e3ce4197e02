"""One database, and the engines of several processes that share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

from app.bootstrap import make_store
from app.jobs import (
    AsyncJobManager,
    Clock,
    EngineOptions,
    Job,
    Registry,
    RunSummary,
    Runtime,
    Watchdog,
    Worker,
    WorkReport,
    job,
)
from app.jobs.lease import Lease
from app.stores import MemoryJobStore
from app.stores.base import Query, Record, Store
from tests.support.clock import FakeClock, settle
from tests.support.late_store import LateStore

LEASE_SECONDS = 60.0
OPTIONS = EngineOptions(lease_seconds=LEASE_SECONDS)
_PAGE = 500
_TRIES = 50
_OF_JOB = ("logs.of_job", "results.of_job", "steps.of_job", "chunks.of_job")

Snapshot: TypeAlias = Mapping[tuple[str, str], Record]
"""Every record that the engine keeps, by collection and id."""


class HurryingClock(FakeClock):
    """Whoever sleeps has slept at once, and the time it waited for has gone by."""

    async def sleep(self, seconds: float) -> None:
        self.jump(max(0.0, seconds))
        await super().sleep(0.0)


class Peer:
    """An engine as one process has it: with a connection, a clock and a name of its own."""

    def __init__(self, site: Site, store: LateStore, clock: Clock, worker_id: str, options: EngineOptions) -> None:
        self.site = site
        self.store = store
        """This process's connection to the database."""
        self.plan = store.plan
        """Which calls over it fail."""
        self.worker_id = worker_id
        self.runtime = Runtime(store, options=options, registry=site.registry, clock=clock)
        self.manager = AsyncJobManager(runtime=self.runtime, worker=False)

    @property
    def clock(self) -> FakeClock:
        """This process's clock, where it is one that tests move."""
        clock = self.runtime.clock
        assert isinstance(clock, FakeClock)
        return clock

    async def submitted(self, job_type: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
        """The id of a job that was created and started."""
        return (await self.manager.submit(job_type, payload, **options)).id

    async def claimed(self, limit: int = 1) -> list[Lease]:
        """Leases of this process on as many jobs, which must be there.

        A database may pass over what another process looks at in the same moment, so it asks more than once.
        """
        leases: list[Lease] = []
        for _ in range(_TRIES):
            more, _ = await self.runtime.queue.claim(
                self.worker_id, sorted(self.site.registry.routes()), limit - len(leases)
            )
            leases += more
            if len(leases) == limit:
                break
            await asyncio.sleep(0.01)
        assert len(leases) == limit, f"{len(leases)} jobs could be claimed, not {limit}"
        return leases

    async def recovered(self) -> int:
        """How many jobs this process's watchdog took back."""
        return await Watchdog(self.runtime).recover_stuck_jobs()

    def worker(self, **options: Any) -> Worker:
        """A worker of this process."""
        return Worker(self.runtime, worker_id=self.worker_id, **options)

    async def drain(self, **options: Any) -> WorkReport:
        """Work until nothing is claimable and nothing runs."""
        return await self.worker(**options).run(drain=True)

    async def get(self, job_id: str) -> Job:
        """A job as it is now."""
        return await self.manager.get_job(job_id)

    async def runs(self, job_id: str) -> list[RunSummary]:
        """A job's run summaries, by attempt."""
        runs = await self.manager.get_run_history(job_id=job_id, limit=1000)
        return sorted(runs, key=lambda run: (run.attempt, run.id))

    async def outcomes(self, job_id: str) -> list[tuple[str, str]]:
        """How each lease of a job ended: the summary's id without the job's, and its outcome."""
        return [(run.id.removeprefix(f"{job_id}-"), str(run.outcome)) for run in await self.runs(job_id)]

    async def log(self, job_id: str) -> list[str]:
        """The messages of a job's stored log."""
        return [entry.message for entry in await self.manager.get_logs(job_id)]


class Site:
    """Makes peers on one empty database, each on a connection of its own."""

    def __init__(self, url: str, prefix: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.prefix = prefix
        self.registry = Registry()
        # Memory is no other process's: there all peers share one object.
        self._memory = MemoryJobStore() if url == "memory:" else None
        self._stack = stack

    def job(self, job_type: str, **options: Any) -> Callable[[Any], Any]:
        """`@job` on the registry that all peers share."""
        return job(job_type, registry=self.registry, **options)

    async def open_store(self) -> Store:
        """One more open connection; closed with the test."""
        store = self._memory or make_store(self.url, prefix=self.prefix)
        await store.open()
        self._stack.push_async_callback(store.close)
        return store

    async def peer(
        self, worker_id: str = "somebody", *, clock: Clock | None = None, options: EngineOptions = OPTIONS
    ) -> Peer:
        """An engine, as another process would have it."""
        return Peer(self, LateStore(await self.open_store()), clock or FakeClock(), worker_id, options)


async def pass_time(seconds: float, *peers: Peer) -> None:
    """Let time go by for peers of one clock, unless the store is at work for one of them: however slow it is."""
    await settle()
    if not any(peer.store.under_way for peer in peers):
        await peers[0].clock.advance(seconds)
    await asyncio.sleep(0.001)


async def snapshot(store: Store) -> Snapshot:
    """Every job, run summary, log page, saved result, step, event, key, chunk and application record that there is."""
    jobs = await _all(store, "jobs.list")
    others = await asyncio.gather(
        _all(store, "runs.list"),
        _all(store, "exercises.list"),
        _all(store, "events.list"),
        _all(store, "once.touched"),
        *(_all(store, shape, {"job_id": each.id}) for shape in _OF_JOB for each in jobs),
    )
    return {(record.collection, record.id): record for records in (jobs, *others) for record in records}


def differences(before: Snapshot, after: Snapshot) -> dict[str, str]:
    """What is there, gone, or has another state: by collection and id, and how."""
    changed: dict[str, str] = {}
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was is None:
            changed["/".join(key)] = "made"
        elif now is None:
            changed["/".join(key)] = "deleted"
        elif (was.version, dict(was.fields)) != (now.version, dict(now.fields)):
            fields = {
                name for name in was.fields.keys() | now.fields.keys() if was.fields.get(name) != now.fields.get(name)
            }
            changed["/".join(key)] = f"changed: {', '.join(sorted(fields)) or 'the version only'}"
    return changed


async def _all(store: Store, shape: str, where: Mapping[str, str] | None = None) -> list[Record]:
    records: list[Record] = []
    cursor: str | None = None
    while True:
        page = await store.query(Query(shape, where or {}, limit=_PAGE, cursor=cursor))
        records += page.records
        cursor = page.cursor
        if cursor is None:
            return records
