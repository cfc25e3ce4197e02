"""Real worker processes that are stopped, killed and asked to end, on the stores that processes share."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from app.jobs import JobRequest, JobStatus, RunSummary, SystemClock
from app.jobs.run_history import RunFilter
from app.stores.base import Query
from tests.support.process_jobs import Effects, register
from tests.support.site import Peer, Site, differences, snapshot
from tests.support.worker_processes import PATIENCE_SECONDS, WorkerProcess, WorkerProcesses, eventually


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    """What handlers do outside of the store."""
    return Effects(tmp_path / "effects")


async def person(site: Site, effects: Effects) -> Peer:
    """The test's own engine, which creates jobs and looks at them."""
    register(site.registry, effects)
    return await site.peer("test", clock=SystemClock())


async def count(peer: Peer, status: JobStatus) -> int:
    return await peer.store.count(Query("jobs.list", {"status": str(status)}))


async def until_none_is(peer: Peer, statuses: set[JobStatus], but: int = 0) -> None:
    """Wait until no job, but for so many, is in one of these statuses."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Twice: a job that goes from one status to another between two counts is in neither.
    while any([sum([await count(peer, status) for status in statuses]) > but for _ in range(2)]):
        assert time.monotonic() < deadline, f"after {PATIENCE_SECONDS:g} s there are still jobs {', '.join(statuses)}"
        await asyncio.sleep(0.05)


async def every_run(peer: Peer) -> list[RunSummary]:
    """All run summaries."""
    runs: list[RunSummary] = []
    cursor: str | None = None
    while True:
        page = await peer.manager.get_run_page(RunFilter({}), limit=500, cursor=cursor)
        runs += page.runs
        cursor = page.cursor
        if cursor is None:
            return runs


async def test_stopped_processes_that_wake_change_nothing(shared_site: Site, effects: Effects) -> None:
    """SIGSTOP in the middle of a job, another takes it over and completes it, SIGCONT.

    One of the two notices by its own clock; the other's stands still with it, so that only the store can stop it.
    """
    peer = await person(shared_site, effects)
    with WorkerProcesses(shared_site, effects) as processes:
        stopped = [
            # Their handlers try every verb after they were told to end: however long that takes, nobody gives them up.
            processes.start("on its clock", lease_seconds=4.0, concurrency=1, cut_seconds=60.0),
            processes.start("suspended", lease_seconds=4.0, concurrency=1, cut_seconds=60.0, suspended_clock=True),
        ]
        await eventually(lambda: all(process.is_ready for process in stopped), "both workers are ready")
        job_ids = [await peer.submitted("stale") for _ in stopped]
        at_work: dict[int, str] = {}

        def stop_who_began() -> bool:
            for effect in effects.read():
                if effect.pid not in at_work:
                    at_work[effect.pid] = effect.job_id
                    next(process for process in stopped if process.pid == effect.pid).send(signal.SIGSTOP)
            return len(at_work) == 2

        await eventually(stop_who_began, "both jobs are being worked on")
        assert sorted(at_work.values()) == sorted(job_ids)

        successor = processes.start("successor", lease_seconds=60.0, concurrency=2, upkeep_seconds=0.2)
        await until_none_is(peer, {JobStatus.QUEUED, JobStatus.RUNNING})
        before = await snapshot(peer.store)

        effects.gate.touch()
        for process in stopped:
            process.send(signal.SIGCONT)
        await eventually(lambda: [e.what for e in effects.read()].count("tried all") == 2, "both have tried every verb")
        await processes.end(*stopped, successor)

    heard = Counter(effect.what for effect in effects.read() if effect.attempt == 1)
    verbs = ("result", "progress", "log", "checkpoint", "commit", "step", "once", "sleep", "wait")
    assert heard == {"began": 2, "tried all": 2, **{f"{verb}: LeaseLost": 2 for verb in verbs}}
    late = {f"runs/{job_id}-1-late": "made" for job_id in job_ids}
    assert differences(before, await snapshot(peer.store)) == late
    for job_id in job_ids:
        job = await peer.get(job_id)
        assert (job.status, job.attempt, job.lease_losses, job.retries_used) == (JobStatus.COMPLETED, 2, 1, 0)
        assert (job.checkpoint, job.progress.message) == ("fresh", "fresh")
        assert await peer.log(job_id) == ["fresh"]
        results = await peer.manager.get_job_results(job_id)
        assert results is not None
        assert (results.result, results.saved) == ("fresh", ["fresh"])
        assert [run for run in await peer.outcomes(job_id) if run[0] != "1-late"] == [
            ("1", "lease_lost"),
            ("2", "completed"),
        ]


JOBS = 500
KILL_AFTER = (60, 180, 320)
"""How many jobs have ended when a worker is killed. No job can lose more than three leases that way."""


async def test_every_job_ends_once_although_workers_are_killed(shared_site: Site, effects: Effects) -> None:
    """kill -9 in the middle of 500 jobs: all end, each is settled once, run summaries agree with jobs."""
    peer = await person(shared_site, effects)
    chance = random.Random(7)
    requests = [JobRequest(type="nap", payload={"seconds": chance.uniform(0.05, 0.15)}) for _ in range(JOBS)]
    jobs = await peer.manager.create_jobs(requests, auto_start=True)

    with WorkerProcesses(shared_site, effects) as processes:
        alive: list[WorkerProcess] = []
        killed: list[int] = []

        def start() -> None:
            name = f"worker-{len(alive) + len(killed)}"
            alive.append(processes.start(name, lease_seconds=4.0, concurrency=8, upkeep_seconds=0.5))

        def at_work() -> list[WorkerProcess]:
            open_jobs: Counter[int] = Counter()
            for effect in effects.read():
                open_jobs[effect.pid] += {"began": 1, "ended": -1}[effect.what]
            return [process for process in alive if open_jobs[process.pid] > 0]

        for _ in range(3):
            start()
        for number in KILL_AFTER:
            await eventually(
                lambda number=number: sum(effect.what == "ended" for effect in effects.read()) >= number,  # type: ignore[misc]  # mypy infers no lambda with a default
                f"{number} jobs have ended",
            )
            await eventually(lambda: bool(at_work()), "a worker is at work")
            victim = chance.choice(at_work())
            victim.send(signal.SIGKILL)
            alive.remove(victim)
            killed.append(victim.pid)
            start()
        await until_none_is(peer, {JobStatus.QUEUED, JobStatus.RUNNING})
        await processes.end(*alive)

    ended = await peer.manager.list_jobs()
    assert {job.id for job in ended} == {job.id for job in jobs}
    assert Counter(job.status for job in ended) == {JobStatus.COMPLETED: JOBS}
    runs: dict[str, list[RunSummary]] = {job.id: [] for job in ended}
    for run in await every_run(peer):
        if not run.id.endswith("-late"):
            runs[run.job_id].append(run)
    for job in ended:
        mine = sorted(runs[job.id], key=lambda run: run.attempt)
        outcomes = [str(run.outcome) for run in mine]
        assert [run.attempt for run in mine] == list(range(1, job.attempt + 1)), job.id
        assert outcomes == ["lease_lost"] * job.lease_losses + ["completed"], job.id
        assert job.retries_used == 0
        assert job.result is not None
        assert job.result.data == job.attempt
    began = Counter(effect.job_id for effect in effects.read() if effect.what == "began")
    assert all(began[job.id] >= 1 for job in ended)
    # The kills met jobs that were being worked on, or this would show nothing.
    lost = {job.id for job in ended if job.lease_losses}
    assert lost
    assert all(began[job_id] >= 1 for job_id in lost)


async def test_a_loaded_worker_gives_every_lease_back_within_eight_seconds(shared_site: Site, effects: Effects) -> None:
    """SIGTERM: handlers are told, then cut off; nothing counts, and the jobs go on elsewhere."""
    peer = await person(shared_site, effects)
    kinds = ["long"] * 5 + ["heedful"] * 2 + ["heedful_thread"] * 2
    job_ids = {await peer.submitted(kind): kind for kind in kinds}
    stubborn = await peer.submitted("stubborn")
    with WorkerProcesses(shared_site, effects) as processes:
        worker = processes.start("worker", lease_seconds=60.0, concurrency=len(kinds) + 1)
        await eventually(lambda: len(effects.read()) == len(kinds) + 1, "every handler has begun")
        told = peer.runtime.clock.now()
        worker.send(signal.SIGTERM)
        await until_none_is(peer, {JobStatus.RUNNING}, but=1)
        await processes.end(worker)

    for job_id, kind in job_ids.items():
        job = await peer.get(job_id)
        assert (job.status, job.retries_used, job.lease_losses) == (JobStatus.QUEUED, 0, 0), kind
        (run,) = await peer.runs(job_id)
        assert (str(run.outcome), run.counted) == ("released" if kind == "long" else "sliced", False), kind
        assert run.ended_at - told < timedelta(seconds=8), f"a lease was not given back in time: {kind}"
    # The one that would not stop was not given back: its lease is shortened, runs out by itself, and counts as nothing.
    assert (await peer.get(stubborn)).status is JobStatus.RUNNING
    await until_expired(peer, stubborn)
    assert await peer.recovered() == 1
    assert await peer.outcomes(stubborn) == [("1", "released")]

    assert (await peer.drain()).completed == len(kinds) + 1
    for job_id in (*job_ids, stubborn):
        job = await peer.get(job_id)
        assert (job.status, job.attempt, job.retries_used, job.lease_losses) == (JobStatus.COMPLETED, 2, 0, 0)


async def until_expired(peer: Peer, job_id: str) -> None:
    """Wait until a lease has run out."""
    expires = (await peer.get(job_id)).lease_expires_at
    assert expires is not None
    await eventually(lambda: peer.runtime.clock.now() > expires, "the lease has run out")
