"""A worker beside the requests: what it answers, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from app.jobs import (
    AsyncJobManager,
    EngineOptions,
    Hint,
    InProcessWaker,
    JobContext,
    Registry,
    Runtime,
    Worker,
    heartbeat,
    job,
)
from app.serve.front import front
from app.serve.house import House
from app.serve.resident import Resident
from app.serve.timetable import Timetable
from app.stores import MemoryJobStore
from app.web.api.desk import Desk
from app.web.api.streams import Streams
from app.web.instance import ShuttingDown, WakeUpOutcome
from tests.support.worker_processes import PATIENCE_SECONDS


class Home:
    """A resident with two slots, on the memory store, and the house around it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.began = threading.Event()
        self.release = threading.Event()
        self.gone = asyncio.Event()

        @job("quick", registry=self.registry)
        async def quick() -> None:
            return None

        @job("long", registry=self.registry)
        async def long(ctx: JobContext) -> None:
            self.began.set()
            await asyncio.sleep(600)

        @job("stuck", registry=self.registry)
        def stuck() -> None:
            self.began.set()
            self.release.wait(PATIENCE_SECONDS)

        bells = InProcessWaker()
        options = EngineOptions(shutdown_seconds=0.2, cancel_grace_seconds=0)
        runtime = Runtime(MemoryJobStore(), registry=self.registry, options=options, waker=bells)
        self.manager = AsyncJobManager(runtime=runtime, worker=False)
        bell = bells.bell()
        worker = Worker(runtime, concurrency=2, ears=[bell])
        self.resident = Resident(self.manager, worker, bell, self.gone.set)
        self.house = House(Desk(self.manager, Streams(1)), self.resident, Timetable({}))

    async def start(self) -> None:
        await self.manager.open()
        self.resident.start()


@pytest.fixture
async def home() -> Home:
    home = Home()
    await home.start()
    return home


async def begun(home: Home) -> None:
    assert await asyncio.to_thread(home.began.wait, PATIENCE_SECONDS)


async def test_wake_ups_are_answered_at_once_and_jobs_run_beside_them(home: Home) -> None:
    job_id = (await home.manager.submit("quick")).id
    assert (await home.manager.wait(job_id, timeout=PATIENCE_SECONDS)).status == "completed"
    for hint in (Hint(job_id), Hint(more=True), Hint("unknown")):
        assert (await home.resident.push(hint)).outcome is WakeUpOutcome.WOKEN
    assert (await home.resident.sweep()).done == {"due": 0, "hints": 0}

    await home.manager.submit("long")
    await begun(home)
    assert (home.resident.is_ready, home.resident.free_slots) == (True, 1)
    await home.house.close()


async def test_the_end_gives_leases_back_and_takes_no_more(home: Home) -> None:
    job_id = (await home.manager.submit("long")).id
    await begun(home)
    store = home.manager.runtime.store
    home.house.begin_stop()
    assert not home.resident.is_ready
    for ask in (home.resident.push(Hint()), home.resident.drain(), home.resident.sweep(), home.resident.tick()):
        with pytest.raises(ShuttingDown):
            await ask
    await home.house.close()

    await store.open()
    job = await home.manager.get_job(job_id)
    assert (job.status, job.lease_token, job.retries_used, job.lease_losses) == ("queued", None, 0, 0)
    await store.close()
    assert not home.gone.is_set()


async def test_who_cannot_work_any_more_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that would not stop hold every slot: the worker ends by itself, and the process is told."""
    monkeypatch.setattr(heartbeat, "CUT_SECONDS", 0.01)
    jobs = [await home.manager.submit("stuck", timeout_seconds=0.2) for _ in range(2)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await home.gone.wait()
    assert not home.resident.is_ready
    assert len(jobs) == 2
    home.release.set()
    await home.house.close()


def test_each_route_is_answered_by_its_application() -> None:
    def named(name: str) -> Callable[..., list[bytes]]:
        return lambda environ, start_response: [name.encode()]

    application = front(named("web"), named("worker"), {"/tasks/drain"})
    for path, name in (("/tasks/drain", b"worker"), ("/tasks/drain/", b"web"), ("/", b"web"), (None, b"web")):
        environ = {} if path is None else {"PATH_INFO": path}
        assert list(application(environ, lambda *given: None)) == [name]
