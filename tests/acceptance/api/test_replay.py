"""A slice of real arrivals through the API, on Firestore with pushed workers: each is one job that completed once.

`python -m bench replay` does the same with all of them, and measures.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from app.jobs import AsyncJobManager, JobStatus, NoWaker, Runtime
from bench import marks
from bench.marks import Marks
from bench.replay import completed_runs
from bench.trace import arrivals, replay
from tests.support.street import Street
from tests.support.topic import PushTopic
from tests.support.worker_processes import PATIENCE_SECONDS

ARRIVALS = 200
SPEED = 60.0


@pytest.fixture
def street(tmp_path: Path, firestore_emulator: str, pubsub_emulator: str) -> Street:
    return Street(tmp_path, firestore_emulator, PushTopic(pubsub_emulator))


async def test_real_arrivals_at_sixty_times_their_speed(street: Street, tmp_path: Path, shared_data: Path) -> None:
    settings = {"TORPOR_TASK_PACKAGES": "bench.tasks", marks.VARIABLE: str(tmp_path / "marks")}
    wanted = arrivals(shared_data, ARRIVALS)
    with (
        street.server(TORPOR_SERVICE="web", **settings) as web,
        street.server(TORPOR_CONCURRENCY="20", **settings) as worker,
    ):
        street.topic.push_to(worker.url)
        replayed = await replay(web.url, wanted, SPEED)
        async with AsyncJobManager(runtime=Runtime(street.store, waker=NoWaker()), worker=False) as manager:
            for job_id in replayed.job_ids:
                ended = await manager.wait(job_id, timeout=PATIENCE_SECONDS)
                assert ended.status is JobStatus.COMPLETED, worker.said
            completed = await completed_runs(manager)

    assert len(set(replayed.job_ids)) == ARRIVALS
    assert completed == Counter(replayed.job_ids)
    seen = Marks(tmp_path / "marks")
    seen.read()
    seen.close()
    assert seen.first_ns.keys() == set(range(ARRIVALS))
