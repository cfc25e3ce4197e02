"""Dependencies and batches on every store: large ones, those that meet a settle, and workers that die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.jobs import DependencyCycle, Job, JobContext, JobResult, JobStatus, Outcome, PermanentError
from app.jobs.batches import BatchStatus
from app.jobs.events import Complete
from app.jobs.lease import Lease
from app.stores.base import Query
from app.stores.faults import Call, Operation
from tests.support.clock import FakeClock
from tests.support.executions import writes
from tests.support.random_graph import expected, may_run, random_graph, requests_of
from tests.support.site import LEASE_SECONDS, Peer, Site

DONE = Complete(JobResult(success=True, data="done"))


def register(site: Site) -> list[str]:
    """Type `it` tells who ran; gives what they told."""
    ran: list[str] = []

    @site.job("it")
    async def it(ctx: JobContext, **payload: Any) -> str:
        ran.append(ctx.job_id)
        if payload.get("fails"):
            raise PermanentError("as told")
        return ctx.job_id

    return ran


async def states(peer: Peer, jobs: list[Job]) -> list[JobStatus]:
    found = await peer.runtime.records.get([job.id for job in jobs])
    return [job.status for job in found if job is not None]


def makes_jobs(call: Call) -> bool:
    """Chooses the commits that write jobs."""
    return any(write.collection == "jobs" for unit in call.units for write in unit)


# --- the same everywhere -----------------------------------------------------------------------------


async def test_a_diamond_and_a_failure_that_is_passed_down(site: Site) -> None:
    peer, ran = await site.peer("worker"), register(site)
    top = await peer.manager.create_job("it")
    left, right = [await peer.manager.submit("it", dependencies=[top]) for _ in range(2)]
    bottom = await peer.manager.submit("it", dependencies=[left, right])
    bad = await peer.manager.create_job("it", {"fails": True}, dependencies=[bottom])
    cancelled = await peer.manager.submit("it", dependencies=[bad])
    anyway = await peer.manager.submit("it", dependencies=[cancelled, left], on_dependency_failure="run")
    for job in (top, bad):
        await peer.manager.start_job(job.id)
    await peer.drain()
    jobs = [top, left, right, bottom, bad, cancelled, anyway]
    done, failed = JobStatus.COMPLETED, JobStatus.FAILED
    assert await states(peer, jobs) == [done, done, done, done, failed, JobStatus.CANCELLED, done]
    assert (ran[0], set(ran[1:3]), ran[3:]) == (top.id, {left.id, right.id}, [bottom.id, bad.id, anyway.id])
    assert {job.id for job in await peer.manager.get_dependent_jobs(left.id)} == {bottom.id, anyway.id}
    assert [job.id for job in await peer.manager.get_dependencies(bottom.id)] == [left.id, right.id]
    assert await peer.runtime.store.count(Query("jobs.releasing", {"release": "pending"})) == 0


# --- an edge and a settle ----------------------------------------------------------------------------

Waiting = Callable[[Peer, str], Awaitable[Job]]


async def new_child(peer: Peer, parent_id: str) -> Job:
    return await peer.manager.submit("it", dependencies=[parent_id])


async def existing_child(peer: Peer, parent_id: str) -> Job:
    child = await peer.manager.submit("it", delay=3600)
    return await peer.manager.add_job_dependency(child.id, parent_id)


async def large_batch(peer: Peer, parent_id: str) -> Job:
    most = peer.store.limits().writes_per_commit
    batch = await peer.manager.create_job_batch([{"type": "it", "dependencies": [parent_id]} for _ in range(most)])
    return batch.jobs[-1]


async def running_parent(site: Site) -> tuple[Peer, Lease]:
    holder = await site.peer("holder")
    await holder.submitted("it")
    (lease,) = await holder.claimed()
    return holder, lease


KINDS = pytest.mark.parametrize("waiting", [new_child, existing_child, large_batch], ids=lambda made: made.__name__)


@KINDS
@pytest.mark.parametrize("has_dependents", [False, True], ids=["the first", "a further one"])
async def test_a_parent_settles_before_the_edge_is_written(site: Site, waiting: Waiting, has_dependents: bool) -> None:
    """Given an edge on its way to the store, when its parent settles first, then the child does not wait."""
    register(site)
    holder, lease = await running_parent(site)
    person = await site.peer("person")
    if has_dependents:
        await new_child(person, lease.job.id)
    is_large = waiting is large_batch
    # A large batch marks the parent in a write of its own, before any of its jobs is there.
    sending = (
        person.plan.hold(Operation.COMMIT, when=makes_jobs)
        if is_large
        else person.plan.hold(Operation.COMMIT_EACH, when=writes(lease.job.id))
    )
    adding = asyncio.create_task(waiting(person, lease.job.id))
    await sending.reached()
    await holder.runtime.settled(await lease.settle(DONE))
    sending.release()
    child = await adding
    assert await states(person, [child]) == [JobStatus.QUEUED]
    assert (await person.get(lease.job.id)).release == ("done" if has_dependents or is_large else None)


@KINDS
async def test_an_edge_is_written_before_its_parent_settles(site: Site, waiting: Waiting) -> None:
    """Given a settle on its way to the store, when an edge is written first, then the settle releases the child."""
    register(site)
    holder, lease = await running_parent(site)
    person = await site.peer("person")
    sending = holder.plan.hold(Operation.COMMIT_EACH, when=writes(lease.job.id))
    settling = asyncio.create_task(lease.settle(DONE))
    await sending.reached()
    child = await waiting(person, lease.job.id)
    assert await states(person, [child]) == [JobStatus.PENDING]
    sending.release()
    ended = await settling
    assert (ended.status, ended.release) == (JobStatus.COMPLETED, "pending")
    await holder.runtime.settled(ended)
    assert await states(person, [child]) == [JobStatus.QUEUED]
    assert (await person.get(lease.job.id)).release == "done"


async def test_edges_that_close_a_cycle_together_are_taken_back(site: Site) -> None:
    """Given three edges that close a cycle, all checked before any is written, then no cycle is left."""
    register(site)
    peers = [await site.peer(f"{number}") for number in range(3)]
    ids = [(await peers[0].manager.submit("it")).id for _ in range(3)]
    # Each parent has something behind it already, as a cycle of new edges only is seen by their guards.
    holds = [peer.plan.hold(Operation.COMMIT_EACH, when=writes(ids[n])) for n, peer in enumerate(peers)]
    adding = [
        asyncio.create_task(peer.manager.add_job_dependency(ids[n], ids[(n + 1) % 3])) for n, peer in enumerate(peers)
    ]
    for hold in holds:
        await hold.reached()
    for hold in holds:
        hold.release()
    answers = await asyncio.gather(*adding, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert refused
    assert all(isinstance(error, DependencyCycle) for error in refused), refused
    edges = {job_id: (await peers[0].get(job_id)).depends_on for job_id in ids}
    assert sum(map(len, edges.values())) <= 2
    await peers[0].drain()
    assert {(await peers[0].get(job_id)).status for job_id in ids} == {JobStatus.COMPLETED}


# --- many --------------------------------------------------------------------------------------------

FAN_OUT = {"file": 1_000, "mysql": 2_000}
"""Children of one parent; 10,000 elsewhere. The file is for small numbers, and MariaDB is slow to make them."""
FAN_IN = {"file": 300, "mysql": 300}


def kind_of(site: Site) -> str:
    return site.url.partition(":")[0].partition("+")[0]


async def test_a_thousand_parents_of_one_job(site: Site) -> None:
    peer, ran = await site.peer("worker"), register(site)
    number = FAN_IN.get(kind_of(site), 1_000)
    graph = [{"type": "it"} for _ in range(number)]
    batch = await peer.manager.create_job_batch([*graph, {"type": "it", "dependencies": list(range(number))}])
    await peer.drain()
    assert (len(ran), len(set(ran)), ran[-1]) == (number + 1, number + 1, batch.jobs[-1].id)
    assert (await peer.manager.get_batch(batch.id)).counts == {"completed": number + 1}


async def test_thousands_of_children_of_one_job(site: Site) -> None:
    """10,000 on memory, SQLite, PostgreSQL and Firestore; 2,000 on MariaDB and 1,000 in a file."""
    peer = await site.peer("worker")
    register(site)
    number = FAN_OUT.get(kind_of(site), 10_000)
    graph = [{"type": "it", "dependencies": [0]} for _ in range(number)]
    batch = await peer.manager.create_job_batch([{"type": "it"}, *graph])
    assert (await peer.manager.get_batch(batch.id)).status is BatchStatus.OPEN
    (lease,) = await peer.claimed()
    await peer.runtime.settled(await lease.settle(DONE))
    assert (await peer.manager.get_batch(batch.id)).counts == {"completed": 1, "queued": number}
    assert (await peer.get(batch.jobs[0].id)).release == "done"


async def test_a_large_batch_is_finished_by_the_watchdog(site: Site) -> None:
    """Given a process that dies when a large batch counts and is half written, then another one writes the rest."""
    dying, peer, ran = await site.peer("dying"), await site.peer("other"), register(site)
    number = 2 * dying.store.limits().writes_per_commit
    graph = [{"type": "it"}, *({"type": "it", "dependencies": [0]} for _ in range(number))]
    dying.plan.refuse(Operation.COMMIT, when=makes_jobs, skip=1, times=1_000)
    batch = await dying.manager.create_job_batch(graph)
    half = await peer.manager.get_batch(batch.id)
    assert half.status is BatchStatus.CREATING
    assert 0 < sum(half.counts.values()) < number + 1
    assert set(half.counts) == {"pending"}, "what depends on others comes first, so that nothing begins too early"
    peer.clock.jump(31)
    assert (await peer.manager.run_watchdog()).batches == 1
    whole = await peer.manager.get_batch(batch.id)
    assert (whole.status, whole.counts) == (BatchStatus.OPEN, {"pending": number, "queued": 1})
    assert ran == []


# --- graphs at random, with workers that die ---------------------------------------------------------


class MortalClock(FakeClock):
    """The time that all processes share, until this one dies: what it still waits for is over at once."""

    def __init__(self, shared: FakeClock) -> None:
        super().__init__()
        self.is_dead = False
        self._shared = shared
        self._ahead = 0.0

    def now(self) -> datetime:
        return self._shared.now() + timedelta(seconds=self._ahead)

    def monotonic(self) -> float:
        return self._shared.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        if self.is_dead:
            self._ahead += max(0.0, seconds)
            await asyncio.sleep(0)
        else:
            await self._shared.sleep(seconds)


async def die(peer: Peer, working: asyncio.Task[Any], shared: FakeClock) -> None:
    """A process dies: nothing of it reaches the store any more."""
    for operation in Operation:
        peer.plan.refuse(operation, times=1_000_000)
    assert isinstance(peer.clock, MortalClock)
    peer.clock.is_dead = True
    working.cancel()
    while not working.done():
        await shared.advance(1)  # whoever slept when it died
        await asyncio.wait({working}, timeout=0.001)


async def expect_one_end_each(peer: Peer, job_ids: list[str], runs: dict[str, int]) -> None:
    """Whatever ran has one summary of its end, and before it one for each lease that was lost; the rest has none."""
    outcomes: dict[str, list[Outcome]] = {job_id: [] for job_id in job_ids}
    for run in await peer.manager.get_run_history(limit=10_000):
        outcomes[run.job_id].append(run.outcome)
    for job in await peer.runtime.records.get(job_ids):
        assert job is not None
        lost, ends = [Outcome.LEASE_LOST] * job.lease_losses, [Outcome(job.status)] if job.id in runs else []
        assert sorted(outcomes[job.id]) == sorted([*lost, *ends])
        assert job.attempt == len(lost) + len(ends)
        assert runs.get(job.id, 0) <= job.attempt


async def worked_off(site: Site, chance: random.Random, size: int, kills: int) -> None:
    """A graph at random, worked off by workers that die at random, ends as the model says."""
    wrong: list[str] = []
    runs: dict[str, int] = {}
    killed = asyncio.Event()
    steps = 0
    die_after = 0

    @site.job("node", max_retries=0)
    async def node(ctx: JobContext, fails: bool) -> None:
        nonlocal steps
        steps += 1
        if steps >= die_after > 0:
            killed.set()
            await asyncio.sleep(0)
        above = {job.id: job.status for job in await ctx.manager.get_dependencies(ctx.job_id)}
        if not may_run(ctx.job.on_dependency_failure, above):
            wrong.append(f"{ctx.job_id} runs while {above}")
        runs[ctx.job_id] = runs.get(ctx.job_id, 0) + 1
        if fails:
            raise PermanentError("as told")

    nodes = random_graph(chance, size)
    order = chance.sample(range(size), size)
    clock = FakeClock()
    keeper = await site.peer("keeper", clock=clock)
    batch = await keeper.manager.create_job_batch(requests_of(nodes, "node", order), on_complete=None, auto_start=True)
    for number in range(kills):
        steps, die_after = 0, chance.randint(1, max(1, size // (kills + 1)))
        killed.clear()
        worker = await site.peer(f"worker {number}", clock=MortalClock(clock))
        working = asyncio.create_task(worker.drain(concurrency=chance.randint(1, 5)))
        dying = asyncio.create_task(killed.wait())
        await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(chance.randint(0, 20)):
            await asyncio.sleep(0)
        await die(worker, working, clock)
        dying.cancel()
        clock.jump(LEASE_SECONDS + 11)
        await keeper.manager.run_watchdog()
    die_after = 0
    for _ in range(3):
        await (await site.peer("last", clock=clock)).drain()
        clock.jump(LEASE_SECONDS + 11)
        await keeper.manager.run_watchdog()
    jobs = dict(zip(order, batch.jobs, strict=True))
    ended = await states(keeper, [jobs[number] for number in range(size)])
    assert ended == expected(nodes)
    assert wrong == []
    never = {JobStatus.CANCELLED, JobStatus.PENDING}
    assert runs.keys() == {jobs[number].id for number, status in enumerate(ended) if status not in never}
    await expect_one_end_each(keeper, [job.id for job in batch.jobs], runs)
    assert await keeper.runtime.store.count(Query("jobs.releasing", {"release": "pending"})) == 0


@pytest.mark.parametrize("seed", [20261102, 7])
async def test_a_random_graph_ends_as_the_model_says_though_workers_die(site: Site, seed: int) -> None:
    await worked_off(site, random.Random(seed), 60 if kind_of(site) == "file" else 200, kills=3)


@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(0, 3))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_graphs_on_the_memory_store(seed: int, size: int, kills: int) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await worked_off(Site("memory:", "", stack), random.Random(seed), size, kills)

    asyncio.run(run())
