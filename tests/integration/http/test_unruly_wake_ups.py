"""Many jobs on real services while all goes wrong that may: workers end and are killed, pushes come twice, late, never.

What is shown each time: every job completes, and its completion is recorded once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.cloud.pubsub import PubSubWaker
from app.jobs import AsyncJobManager, JobRequest, NoWaker, Outcome, RunFilter, Runtime, Waker
from tests.support import served_jobs  # noqa: F401 - registers the types
from tests.support.fleet import Fleet, Sweeper
from tests.support.street import Street
from tests.support.topic import PushTopic
from tests.support.unruly_proxy import Fate, UnrulyProxy

SEED = 20261122
JOBS = 2000
SIZE = 2
LEASE_SECONDS = 6
"""Short, because the jobs of a killed worker wait for its end; long enough for a machine that is busy with more."""
PATIENCE_SECONDS = 300.0
"""Half a minute on a machine that does nothing else."""
SETTINGS = {"TORPOR_CONCURRENCY": "20", "TORPOR_LEASE_SECONDS": str(LEASE_SECONDS)}
FATES = {Fate.PASSED: 50, Fate.DOUBLED: 20, Fate.DELAYED: 15, Fate.REFUSED: 10, Fate.SWALLOWED: 5}


@pytest.fixture
def street(tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, monkeypatch: pytest.MonkeyPatch) -> Street:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator)
    return Street(tmp_path, firestore_emulator, PushTopic(pubsub_emulator))


@asynccontextmanager
async def managing(street: Street, waker: Waker) -> AsyncIterator[AsyncJobManager]:
    async with AsyncJobManager(runtime=Runtime(street.store, waker=waker), worker=False) as manager:
        yield manager
    await waker.close()


async def create_in_bursts(manager: AsyncJobManager, number: int, draw: random.Random) -> list[str]:
    """Jobs in bursts of one to a hundred."""
    ids: list[str] = []
    while len(ids) < number:
        burst = min(number - len(ids), draw.choice([1, 1, 5, 20, 50, 100]))
        requests = [JobRequest(type="served_long", payload={"seconds": 0.02}) for _ in range(burst)]
        ids += [job.id for job in await manager.create_jobs(requests, auto_start=True)]
    return ids


async def run_while_workers_end(manager: AsyncJobManager, fleet: Fleet, ends: int) -> list[str]:
    """Create the jobs and wait for all; after each part of them a worker gets a SIGTERM or, in turn, a SIGKILL.

    The next part is created while that worker ends, however long that takes and however fast the others are.
    """
    draw = random.Random(SEED)
    end = time.monotonic() + PATIENCE_SECONDS
    part = JOBS // (ends + 1)
    ids = await create_in_bursts(manager, part, draw)
    struck = 0
    while (completed := await manager.count_jobs(status="completed")) < JOBS:
        if struck < ends and completed >= len(ids) // 2:
            ending = asyncio.create_task(asyncio.to_thread(fleet.replace_oldest, gently=struck % 2 == 0))
            struck += 1
            ids += await create_in_bursts(manager, part if struck < ends else JOBS - len(ids), draw)
            await ending
        # The watchdog, whom a scheduler calls too, takes the jobs of killed workers back.
        await manager.run_watchdog()
        assert time.monotonic() < end, f"{completed} of {JOBS} jobs completed\n{fleet.said()}"
        await asyncio.sleep(0.2)
    assert struck == ends
    return ids


async def check_recorded_once(manager: AsyncJobManager, ids: list[str]) -> None:
    """One completed summary for each job, whatever else happened to it."""
    completed: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        page = await manager.get_run_page(RunFilter.of(outcome=Outcome.COMPLETED), limit=500, cursor=cursor)
        completed.update(run.job_id for run in page.runs if not run.is_late)
        cursor = page.cursor
        if cursor is None:
            break
    assert completed == Counter(ids)


async def test_two_thousand_jobs_while_pushes_go_astray_and_workers_end(street: Street) -> None:
    with Fleet(lambda: street.server(**SETTINGS), SIZE) as fleet:
        with UnrulyProxy(fleet.url, seed=SEED, weights=FATES) as proxy:
            street.topic.push_to(proxy.url)
            async with managing(street, PubSubWaker(street.topic.name)) as manager:
                with Sweeper(fleet, pause_seconds=3):
                    ids = await run_while_workers_end(manager, fleet, ends=4)
                await check_recorded_once(manager, ids)
        assert (fleet.terminated, fleet.killed) == (2, 2)
        assert fleet.ended() == {0}, fleet.said()
        assert set(fleet.noted("ended")) == set(ids)
        assert all(proxy.met[fate] for fate in FATES), proxy.met


async def test_the_sweep_alone_runs_every_job_while_workers_end(street: Street) -> None:
    """Nobody publishes anything: neither who creates the jobs nor the workers."""
    settings = {**SETTINGS, "TORPOR_WAKE_TOPIC": ""}
    with Fleet(lambda: street.server(**settings), SIZE) as fleet:
        async with managing(street, NoWaker()) as manager:
            with Sweeper(fleet, pause_seconds=0.2) as sweeper:
                ids = await run_while_workers_end(manager, fleet, ends=4)
            await check_recorded_once(manager, ids)
        assert (fleet.terminated, fleet.killed) == (2, 2)
        assert fleet.ended() == {0}, fleet.said()
        assert set(fleet.noted("ended")) == set(ids)
        # A sweep that meets a process which ends is told so; nothing else goes wrong.
        assert {200} <= sweeper.statuses <= {200, 503}
