"""`max_concurrent` with real worker processes that are killed."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest

from app.jobs import JobRequest, JobStatus, Outcome, RunSummary, SystemClock
from app.jobs.permits import LIFE
from app.stores.base import Query
from tests.support.process_jobs import AT_ONCE, Effects, register
from tests.support.site import Site
from tests.support.worker_processes import PATIENCE_SECONDS, WorkerProcesses, eventually

LEASE_SECONDS = 4.0
BOUND = timedelta(seconds=2 * LEASE_SECONDS * LIFE + 5.0)
"""How long fewer may run than could. A dead worker's permit is free when it has run out, and whatever is free is used
within one lease; a slow machine may take longer. What exactly it takes is tested where time stands still.
"""
WORKERS = 8
KILLS = 3
JOB_SECONDS = 0.75
JOBS = ceil(2 * BOUND.total_seconds() * AT_ONCE / JOB_SECONDS)
"""Work for all places for twice as long, and so for three times as long if a permit were lost for good, which shows."""


def began_and_ended(runs: list[RunSummary], killed: dict[str, datetime]) -> list[tuple[datetime, int]]:
    """When how many more, or fewer, ran than before: by the attempt log, and the deaths that it cannot know."""
    changes: list[tuple[datetime, int]] = []
    for run in runs:
        end = run.ended_at
        if run.outcome is Outcome.LEASE_LOST:
            assert run.worker_id is not None
            end = min(end, killed[run.worker_id])
        changes += [(run.started_at, 1), (max(end, run.started_at), -1)]
    # Whoever ends gives its place away: at one time the ends come first.
    return sorted(changes)


def pids_at_work(effects: Effects) -> set[int]:
    """The processes that have begun with a job and not ended it, also those that are dead."""
    told = effects.read()
    ended = {(effect.job_id, effect.attempt) for effect in told if effect.what == "ended"}
    return {effect.pid for effect in told if (effect.job_id, effect.attempt) not in ended}


def has_begun_after(effects: Effects, seen: int) -> bool:
    """Whether there is more than a round of jobs later one that has only just begun: they often end together."""
    told = effects.read()
    return len(told) > seen + AT_ONCE and told[-1].what == "began"


# Nearly a minute each, of which most is waiting for permits to run out: one database, and the emulator.
@pytest.mark.parametrize("shared_url", ["sqlite", "firestore"], indirect=True)
async def test_never_more_at_once_than_may_and_never_fewer_for_long(shared_site: Site, tmp_path: Path) -> None:
    """Workers are killed in the middle of a job, with their permits; nobody but the workers does anything about it."""
    effects = Effects(tmp_path / "effects")
    register(shared_site.registry, effects)
    peer = await shared_site.peer("test", clock=SystemClock())
    chance = random.Random(3)
    killed: dict[str, datetime] = {}
    options = {"lease_seconds": LEASE_SECONDS, "concurrency": 4, "upkeep_seconds": 1.0}
    with WorkerProcesses(shared_site, effects) as processes:
        workers = [processes.start(f"worker-{number}", **options) for number in range(WORKERS)]
        await eventually(lambda: all(worker.is_ready for worker in workers), "all workers are ready")
        requests = [JobRequest(type="narrow", payload={"seconds": JOB_SECONDS}) for _ in range(JOBS)]
        await peer.manager.create_jobs(requests, auto_start=True)
        for number in range(KILLS):
            seen = len(effects.read())
            await eventually(lambda seen=seen: has_begun_after(effects, seen), "jobs go on")  # type: ignore[misc]  # mypy infers no lambda with a default
            at_work = pids_at_work(effects)
            victim = chance.choice([worker for worker in workers if worker.pid in at_work] or workers)
            workers.remove(victim)
            victim.send(signal.SIGKILL)
            await eventually(lambda victim=victim: victim.has_ended, f"kill {number}")  # type: ignore[misc]  # the same
            killed[victim.name] = datetime.now(UTC)
        deadline = time.monotonic() + PATIENCE_SECONDS
        done = Query("jobs.list", {"status": str(JobStatus.COMPLETED)})
        while await peer.store.count(done) < JOBS:
            assert time.monotonic() < deadline, "jobs are left over"
            await asyncio.sleep(0.1)
        await processes.end(*workers)
    runs = await peer.manager.get_run_history(limit=10_000)

    changes = began_and_ended(runs, killed)
    at_once, most = 0, 0
    last_begin = max(run.started_at for run in runs)
    gap_began: datetime | None = None
    longest = timedelta(0)
    for (time_of, change), (next_time, _) in pairwise(changes):
        at_once += change
        most = max(most, at_once)
        if at_once >= AT_ONCE or next_time > last_begin:
            gap_began = None
        else:
            gap_began = gap_began or time_of
            longest = max(longest, next_time - gap_began)
    assert most == AT_ONCE
    assert longest <= BOUND
    assert any(run.outcome is Outcome.LEASE_LOST for run in runs), "nobody was killed in the middle of a job"
    assert sum(run.outcome is Outcome.COMPLETED for run in runs) == JOBS
