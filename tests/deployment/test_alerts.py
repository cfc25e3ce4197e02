"""That what alerts are computed from is really logged, in the form in which Cloud Logging is asked for it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.bootstrap import middleware_of
from app.cloud.logs import structured_logs
from app.jobs import AsyncJobManager, JobContext, Outcome, Registry, RetryLater, Runtime, job
from app.settings import Settings
from app.stores import MemoryJobStore
from app.web.instance import Instance
from tests.support.clock import FakeClock

WAITED_SECONDS = 90.0


class Terms:
    """What a log-based metric asks of a line's fields: to be there, or to have a value."""

    def __init__(self, alerts: str, metric: str) -> None:
        block = alerts[alerts.index(f'resource "google_logging_metric" "{metric}"') :]
        (wanted,) = re.findall(r'^\s+filter\s+=\s+"(.*)"$', block[: block.index("\n}\n")], re.MULTILINE)
        self.there = set(re.findall(r"jsonPayload\.(\w+):\*", wanted))
        self.values = dict(re.findall(r'jsonPayload\.(\w+)=\\"(\w+)\\"', wanted))
        self.extracted = set(re.findall(r"EXTRACT\(jsonPayload\.(\w+)\)", block[: block.index("\n}\n")]))

    def match(self, line: dict[str, Any]) -> bool:
        """Whether a line counts."""
        return self.there <= line.keys() and all(line.get(name) == value for name, value in self.values.items())


@pytest.fixture(scope="module")
def alerts(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "terraform/alerts.tf").read_text(encoding="utf-8")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    structured_logs("my-project", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
async def lines(logged: io.StringIO) -> list[dict[str, Any]]:
    """What a worker logs that sweeps: over jobs of which one completes, one fails and one is tried again."""
    registry, clock = Registry(), FakeClock(datetime(2026, 11, 2, tzinfo=UTC))

    @job("good", registry=registry)
    async def good() -> None: ...

    @job("bad", registry=registry, max_retries=0)
    async def bad() -> None:
        raise ValueError("no")

    @job("again", registry=registry)
    async def again(ctx: JobContext) -> None:
        raise RetryLater(3600)

    middleware = middleware_of(Settings(_env_file=None, middleware=()))
    runtime = Runtime(MemoryJobStore(), registry=registry, clock=clock, middleware=middleware)
    manager = AsyncJobManager(runtime=runtime, worker=False)
    await manager.open()
    for each in ("good", "bad", "again"):
        await manager.submit(each)
    held = await manager.create_job("good")
    clock.jump(WAITED_SECONDS)
    instance = Instance(manager, slots=2, work_seconds=60)
    await instance.sweep()
    (tried,) = await manager.list_jobs(type="again")
    for each in (held, tried):
        await manager.cancel_job(each.id)  # ends jobs, but no attempts
    await instance.sweep()
    await instance.close()
    return [json.loads(line) for line in logged.getvalue().splitlines()]


async def test_each_sweep_says_how_long_the_oldest_due_job_has_waited(lines: list[dict[str, Any]], alerts: str) -> None:
    terms = Terms(alerts, "oldest_due")
    (value,) = terms.extracted
    assert [line[value] for line in lines if terms.match(line)] == [WAITED_SECONDS, 0.0]


async def test_each_attempt_says_how_it_ended(lines: list[dict[str, Any]], alerts: str) -> None:
    terms = Terms(alerts, "attempts")
    (value,) = terms.extracted
    outcomes = Counter(line[value] for line in lines if terms.match(line))
    assert outcomes == {"completed": 1, "failed": 1, "retried": 1}
    asked = set(re.findall(r'outcome=\\"(\w+)\\"', alerts))
    assert asked == {str(Outcome.FAILED)}


def test_the_watchdogs_rounds_are_counted_by_the_route_that_it_has(alerts: str, pytestconfig: pytest.Config) -> None:
    (route,) = re.findall(r'requestUrl=~\\"(/\w+/\w+)\$\\"', alerts)
    worker = (pytestconfig.rootpath / "workers/watchdog_worker.py").read_text(encoding="utf-8")
    schedules = (pytestconfig.rootpath / "terraform/scheduler.tf").read_text(encoding="utf-8")
    assert f'"{route}"' in worker
    assert route.removeprefix("/tasks/") in re.findall(r"^    (\w+)\s+= \{ service", schedules, re.MULTILINE)
