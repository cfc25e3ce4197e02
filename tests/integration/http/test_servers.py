"""Real gunicorn with real requests, on a SQLite store."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from app.cloud.messages import message_of
from app.jobs import Hint, Job, JobManager, JobStatus
from app.stores import DatabaseJobStore, FirestoreJobStore
from app.stores.base import Store
from app.web.deadlines import ANSWER_SECONDS
from tests.support.served_jobs import STEP_SECONDS
from tests.support.server_process import ServerProcess
from tests.support.worker_processes import PATIENCE_SECONDS

SHUTDOWN_SECONDS = 8.0
SLOTS = 10
REQUEST_SECONDS = 6.0
SLICE_END_SECONDS = 4.0
"""Of a request's time, how much slices have to end in: a step takes much less, but on a slow machine it may not."""


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def manager(store_url: str) -> Iterator[JobManager]:
    from tests.support import served_jobs  # noqa: F401 - registers the types

    with JobManager(DatabaseJobStore(url=store_url), worker=False) as manager:
        yield manager


def push(server: ServerProcess, hint: Hint) -> requests.Response:
    data = base64.b64encode(message_of(hint)).decode()
    return server.post("/pubsub/push", {"message": {"data": data, "messageId": "1"}, "subscription": "s"})


def until_noted(server: ServerProcess, what: str, number: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while len(server.noted(what)) < number:
        assert time.monotonic() < end, server.said
        time.sleep(0.02)


def test_pushes_and_a_sweep(tmp_path: Path, store_url: str, manager: JobManager) -> None:
    jobs = [manager.submit("served_quick", {"n": n}) for n in range(30)]
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store_url) as server:
        assert server.get("/readyz").json() == {"status": "ready", "free_slots": 10}
        assert push(server, Hint(jobs[0].id)).json()["outcome"] == "done"

        swept = server.post("/tasks/drain").json()

        assert (swept["outcome"], swept["due"], swept["completed"]) == ("done", 29, 29)
        server.terminate()
        assert server.ended() == 0
    assert {manager.get_job_status(job.id) for job in jobs} == {JobStatus.COMPLETED}
    assert sorted(server.noted("quick")) == sorted(job.id for job in jobs)


@pytest.fixture(params=["sqlite", "firestore"])
def full_store(request: pytest.FixtureRequest, store_url: str) -> Iterator[tuple[JobManager, dict[str, str]]]:
    """A manager on a store, and what a server has to be told of it."""
    from tests.support import served_jobs  # noqa: F401 - registers the types

    store: Store = DatabaseJobStore(url=store_url)
    settings = {"TORPOR_STORE_URL": store_url}
    if request.param == "firestore":
        emulator = request.getfixturevalue("firestore_emulator")
        prefix = f"{uuid4().hex}_"
        store = FirestoreJobStore(project="torpor-servers", prefix=prefix, emulator=emulator)
        settings = {
            "TORPOR_STORE_URL": "firestore://torpor-servers/(default)",
            "TORPOR_PREFIX": prefix,
            "FIRESTORE_EMULATOR_HOST": emulator,
        }
    with JobManager(store, worker=False) as manager:
        yield manager, settings


def test_sigterm_under_load_gives_every_lease_back_in_time(
    tmp_path: Path, full_store: tuple[JobManager, dict[str, str]]
) -> None:
    """Every slot is taken, by handlers that heed the end and by some that do not."""
    manager, settings = full_store
    long = [manager.submit("served_long") for _ in range(SLOTS - 3)]
    threads = [manager.submit("served_thread") for _ in range(3)]
    answers: list[requests.Response] = []

    def call(job: Job) -> None:
        answers.append(push(server, Hint(job.id)))

    with ServerProcess(tmp_path, TORPOR_CONCURRENCY=str(SLOTS), **settings) as server:
        callers = [threading.Thread(target=call, args=[job]) for job in (*long, *threads)]
        for caller in callers:
            caller.start()
        until_noted(server, "began", SLOTS)
        assert server.get("/readyz").json()["free_slots"] == 0

        told_at = datetime.now(UTC)
        server.terminate()
        for caller in callers:
            caller.join(PATIENCE_SECONDS)
        assert server.ended() == 0
        said = server.said

    assert [answer.status_code for answer in answers] == [200] * SLOTS, said
    for job in map(manager.get_job, [job.id for job in long]):
        assert (job.status, job.retries_used, job.lease_losses) == (JobStatus.QUEUED, 0, 0)
    for job in map(manager.get_job, [job.id for job in threads]):
        assert job.checkpoint == {"told": True}
    # When each lease was free, the server has recorded itself.
    ends = [run.ended_at for job in (*long, *threads) for run in manager.get_run_history(job_id=job.id)]
    assert len(ends) == SLOTS
    assert (max(ends) - told_at).total_seconds() <= SHUTDOWN_SECONDS, said


def test_a_killed_server_loses_nothing(tmp_path: Path, store_url: str, manager: JobManager) -> None:
    job = manager.submit("served_long", {"seconds": 0.2})
    held = manager.submit("served_long", {"seconds": 600})
    settings = {"TORPOR_STORE_URL": store_url, "TORPOR_LEASE_SECONDS": "1"}
    with ServerProcess(tmp_path, **settings) as server:
        caller = threading.Thread(target=_unanswered, args=[server, held])
        caller.start()
        until_noted(server, "began", 1)
        server.kill()
        caller.join(PATIENCE_SECONDS)

    with ServerProcess(tmp_path, **settings) as server:
        assert push(server, Hint(job.id)).json()["completed"] == 1
    with ServerProcess(tmp_path, **settings, TORPOR_SERVICE="watchdog_worker") as server:
        end = time.monotonic() + PATIENCE_SECONDS
        while manager.get_job(held.id).lease_losses == 0:
            assert server.post("/tasks/watchdog").status_code == 200
            assert time.monotonic() < end
            time.sleep(0.1)
    assert manager.get_job_status(held.id) is JobStatus.QUEUED


def test_a_job_that_takes_longer_than_requests_may_goes_on_from_one_to_the_next(
    tmp_path: Path, store_url: str, manager: JobManager
) -> None:
    """More than two requests' time of work: each answers in its time, and the next goes on where it ended."""
    work_seconds = REQUEST_SECONDS - ANSWER_SECONDS - SLICE_END_SECONDS
    steps = int(2.5 * work_seconds / STEP_SECONDS)
    job = manager.submit("served_in_slices", {"steps": steps})
    settings = {
        "TORPOR_STORE_URL": store_url,
        "TORPOR_REQUEST_SECONDS": str(REQUEST_SECONDS),
        "TORPOR_SHUTDOWN_SECONDS": str(SLICE_END_SECONDS),
    }
    took: list[float] = []
    with ServerProcess(tmp_path, **settings) as server:
        assert server.url
        end = time.monotonic() + PATIENCE_SECONDS
        while not manager.get_job_status(job.id).is_terminal:
            began = time.monotonic()
            answer = push(server, Hint(job.id))
            took.append(time.monotonic() - began)
            assert (answer.status_code, answer.json()["outcome"]) == (200, "done"), server.said
            assert time.monotonic() < end, server.said
    ended = manager.get_job(job.id)
    assert (ended.status, ended.retries_used, ended.lease_losses) == (JobStatus.COMPLETED, 0, 0)
    assert ended.slices >= 2
    assert len(server.noted("slice")) == len(took) == ended.slices + 1 == ended.attempt
    # No step is done twice: a slice ends at a checkpoint, which is stored.
    assert [len(server.noted(f"step{number}")) for number in range(steps)] == [1] * steps
    # The promise to whoever calls, which a slow machine has to keep as well: it may end slices earlier.
    assert max(took) < REQUEST_SECONDS
    outcomes = [str(run.outcome) for run in manager.get_run_history(job_id=job.id)]
    assert sorted(outcomes) == ["completed", *["sliced"] * ended.slices]


def _unanswered(server: ServerProcess, job: Job) -> None:
    with pytest.raises(requests.ConnectionError):
        push(server, Hint(job.id))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"TORPOR_HOST": "0.0.0.0"}, "TORPOR_OIDC_AUDIENCE"),  # noqa: S104 - what has to be refused
        ({"TORPOR_HOST": "0.0.0.0", "TORPOR_OIDC_AUDIENCE": "https://me"}, "nobody may call anything"),  # noqa: S104
    ],
)
def test_a_server_that_others_reach_is_refused_without_authentication(
    tmp_path: Path, store_url: str, settings: dict[str, str], says: str
) -> None:
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **settings) as server:
        assert server.ended() != 0
        assert says in server.said


def test_without_a_token_nothing_is_done(tmp_path: Path, store_url: str, manager: JobManager) -> None:
    job = manager.submit("served_quick")
    callers = '{"push@project.iam.gserviceaccount.com": ["/pubsub/push"]}'
    settings = {"TORPOR_OIDC_AUDIENCE": "https://worker.example", "TORPOR_OIDC_CALLERS": callers}
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **settings) as server:
        refused = [
            push(server, Hint(job.id)),
            server.post("/tasks/drain"),
            server.post("/pubsub/push", {}, Authorization="Bearer x.y.z"),
        ]
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(401, "UNAUTHENTICATED")}
        assert server.get("/healthz").status_code == 200
    assert manager.get_job_status(job.id) is JobStatus.QUEUED
