"""How a request's time is shared out, and that nothing is waited for when it is up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.bootstrap import request_time_of
from app.jobs import BadInput
from app.settings import Settings
from app.stores.base import StoreUnavailable
from app.web.deadlines import OutOfTime, RequestTime, request_time
from app.web.service import RETRY_SECONDS, Part, Service
from tests.support.worker_processes import PATIENCE_SECONDS

TOPIC = "projects/p/topics/t"
QUEUE = "projects/p/locations/l/queues/q"


@pytest.mark.parametrize(
    ("given", "runs_jobs", "time"),
    [
        ({}, True, RequestTime(51, 59)),
        ({"shutdown_seconds": 4}, True, RequestTime(55, 59)),
        ({"wake_topic": TOPIC}, True, RequestTime(46, 59)),
        ({"wake_queue": QUEUE}, True, RequestTime(46, 59)),
        ({"wake_topic": TOPIC, "wake_queue": QUEUE, "telemetry": "otlp"}, True, RequestTime(45, 58)),
        ({"telemetry": "google"}, True, RequestTime(50, 58)),
        ({"wake_topic": TOPIC, "telemetry": "google"}, False, RequestTime(58, 58)),
    ],
)
def test_what_follows_the_work_has_its_time(given: dict[str, object], runs_jobs: bool, time: RequestTime) -> None:
    settings = Settings(_env_file=None, request_seconds=60, **given)
    assert request_time_of(settings, runs_jobs=runs_jobs) == time


def test_requests_without_time_for_work_are_refused() -> None:
    with pytest.raises(BadInput, match="10 at least") as refused:
        request_time(9.9, shutdown_seconds=8)
    assert refused.value.field == "request_seconds"
    assert request_time(10, shutdown_seconds=8).work_seconds == 1


class Hanging:
    """Lives on the loop. What it works at does not end, and letting go of it takes its time."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.may_go = asyncio.Event()

    async def work(self) -> None:
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.may_go.wait()
            raise

    async def answer(self) -> Hanging:
        return self

    def begin_stop(self) -> None:
        self.may_go.set()

    async def close(self) -> None:
        self.begin_stop()


LONG_AGO = -PATIENCE_SECONDS
"""When a request came whose time is up now, at 0."""


def service_of(make: Callable[[], Awaitable[Hanging]]) -> Service[Hanging]:
    return Service(make, seconds=PATIENCE_SECONDS, monotonic=lambda: 0.0)


async def hanging() -> Hanging:
    return Hanging()


def test_what_has_no_answer_in_time_is_cancelled_and_not_waited_for() -> None:
    service = service_of(hanging)
    try:
        whole = service.wait_for(Hanging.answer)
        for asked in (service, Part(service, lambda each: each)):
            whole.cancelled.clear()

            async def begun(each: Hanging) -> None:
                await each.work()

            with pytest.raises(OutOfTime):
                asked.wait_for(begun, arrived=LONG_AGO)
            assert whole.cancelled.wait(PATIENCE_SECONDS)
        assert service.wait_for(Hanging.answer) is whole
    finally:
        service.close()


def test_a_store_that_does_not_open_keeps_no_request() -> None:
    """Neither the one that opens it, nor one that waits for that; those that have time left share the attempt."""
    opening, may_open = threading.Event(), threading.Event()

    async def opened_late() -> Hanging:
        opening.set()
        await asyncio.to_thread(may_open.wait, PATIENCE_SECONDS)
        return Hanging()

    service = service_of(opened_late)
    try:
        with pytest.raises(OutOfTime):
            service.wait_for(Hanging.answer, arrived=LONG_AGO)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(service.wait_for, Hanging.answer)
            assert opening.wait(PATIENCE_SECONDS)
            with pytest.raises(OutOfTime):
                service.wait_for(Hanging.answer, arrived=LONG_AGO)
            may_open.set()
            assert service.wait_for(Hanging.answer) is first.result(PATIENCE_SECONDS)
    finally:
        may_open.set()
        service.close()


def test_an_attempt_to_open_is_shared_and_after_a_failure_nobody_tries_for_a_while() -> None:
    now = 0.0
    tried: list[float] = []
    waiting, may_fail = threading.Semaphore(0), threading.Event()

    async def refused() -> Hanging:
        tried.append(now)
        await asyncio.to_thread(may_fail.wait, PATIENCE_SECONDS)
        raise StoreUnavailable("no route")

    class Watched(Service[Hanging]):
        async def _made(self) -> Hanging:
            asyncio.get_running_loop().call_soon(waiting.release)  # when this waits
            return await super()._made()

    service = Watched(refused, seconds=PATIENCE_SECONDS, monotonic=lambda: now)
    try:
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(service.wait_for, Hanging.answer) for _ in range(5)]
            for _ in asked:
                assert waiting.acquire(timeout=PATIENCE_SECONDS)
            may_fail.set()
            failures = [each.exception(PATIENCE_SECONDS) for each in asked]
        assert [type(failure) for failure in failures] == [StoreUnavailable] * 5
        now = RETRY_SECONDS - 0.1
        with pytest.raises(StoreUnavailable):
            service.wait_for(Hanging.answer)
        assert tried == [0.0]
        now = RETRY_SECONDS
        with pytest.raises(StoreUnavailable):
            service.wait_for(Hanging.answer)
        assert tried == [0.0, RETRY_SECONDS]
    finally:
        may_fail.set()
        service.close()
