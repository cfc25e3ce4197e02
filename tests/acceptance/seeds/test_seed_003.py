"""Seed 003: decorated tasks, their options, environment overrides, validation and error handling."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from dotenv import dotenv_values

from app.jobs import (
    AsyncJobManager,
    BaseTask,
    Job,
    JobContext,
    JobPriority,
    JobRegistry,
    JobStatus,
    JobType,
    Middleware,
    Outcome,
    RunnerResult,
    Worker,
    discover,
    job,
)
from app.jobs.routes import Served
from app.jobs.schedules import Schedule
from tests.acceptance.seeds.sample import Sample, stored_samples
from tests.support.clock import settle
from tests.support.engine import Engine

BELOW = "async def decorated(context):\n    return context.attempt\n"
"""What a decorator that the document shows alone is put above."""
VALIDATION = ("_validate_config", "_validate_resources", "_validate_prerequisites", "_validate_task_specific")


@dataclass
class MyJobResult(RunnerResult):
    """A result of the samples' kind."""

    number: int = 0


async def ran(engine: Engine, job_type: str, **options: Any) -> Job:
    """A job of a type after everything that can run now has run."""
    job_id = await engine.submitted(job_type, **options)
    await engine.drain()
    return await engine.get(job_id)


@asynccontextmanager
async def day(engine: Engine) -> AsyncIterator[None]:
    """A process that runs jobs and keeps schedules by itself."""
    manager = AsyncJobManager(runtime=engine.runtime, worker=True)
    await manager.open()
    await settle()
    try:
        yield
    finally:
        closing = asyncio.create_task(manager.close())
        await engine.clock.advance(engine.runtime.options.shutdown_seconds)
        await closing
        await engine.store.open()  # closed with its manager; the test reads on


async def begun(engine: Engine, job_type: str) -> list[float]:
    """When the jobs of a type began, in seconds since the first one."""
    jobs = await engine.manager.list_jobs(type=job_type, sort_order="asc")
    times = sorted(each.started_at for each in jobs if each.started_at is not None)
    return [(time - times[0]).total_seconds() for time in times]


class Crowd(Middleware):
    """Lets every handler begin ten seconds late, and counts how many are on their way at once."""

    def __init__(self, engine: Engine) -> None:
        self.most = 0
        self._now = 0
        self._clock = engine.clock

    async def before_run(self, context: JobContext) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await self._clock.sleep(10)

    async def after_run(self, context: JobContext, event: object) -> None:
        self._now -= 1


async def most_at_once(engine: Engine, job_type: str, number: int) -> int:
    """How many of so many jobs run at once, at most; all of them have to end."""
    crowd = Crowd(engine)
    engine.runtime.hooks.add([crowd])
    started = [await engine.submitted(job_type) for _ in range(number)]
    async with day(engine):
        await engine.clock.advance(number * 60)
    assert [(await engine.get(each)).status for each in started] == [JobStatus.COMPLETED] * number
    return crowd.most


# --- how often, and how many at once ---


async def test_a_schedule_triggers_no_job_twice_and_skips_what_was_missed(engine: Engine) -> None:
    beginnings: list[float] = []

    @job("slow")
    async def slow(context: JobContext) -> None:
        beginnings.append(engine.clock.monotonic())
        await engine.clock.sleep(100)

    scheduling: list[Coroutine[Any, Any, Schedule]] = []

    def add_job(**options: Any) -> None:
        scheduling.append(engine.manager.add_job("slow", interval_seconds=30, **options))

    # The document leaves out which job, and how often.
    Sample("003_01_scheduler_add_job").run({"scheduler": SimpleNamespace(add_job=add_job)})
    await engine.store.open()
    (schedule,) = [await each for each in scheduling]
    assert (schedule.definition.overlap, schedule.definition.misfire_grace_seconds) == (False, 60)

    async with day(engine):
        await engine.clock.advance(600)
        assert len(beginnings) >= 4
        assert all(later - earlier >= 100 for earlier, later in pairwise(beginnings)), "one at a time"
        counted = await engine.manager.count_jobs(type="slow")
        engine.clock.jump(3600)  # the system was busy: nobody looked
        await engine.clock.advance(60)
        added = await engine.manager.count_jobs(type="slow") - counted
        assert added <= 8, "of 122 slots those within the misfire grace, and those ahead"


async def test_at_most_so_many_of_a_type_run_at_once(engine: Engine) -> None:
    Sample("003_02_max_concurrent", BELOW).run({"job": job})
    assert JobRegistry.list_jobs()["decorated"]["max_concurrent"] == 2, "called after its function"
    assert await most_at_once(engine, "decorated", 6) == 2


@pytest.mark.parametrize(
    ("sample", "job_type", "seconds"),
    [("003_03_self_contained_job", "chain_state_monitor", 90), ("003_04_queue_processing_job", "tweet", 30)],
)
async def test_both_patterns_run_each_so_many_seconds(engine: Engine, sample: str, job_type: str, seconds: int) -> None:
    given = {
        "job": job,
        "BaseTask": BaseTask,
        "JobContext": JobContext,
        "List": list,
        "results": [],
        "ChainStateMonitorResult": MyJobResult,
        "TweetProcessingResult": MyJobResult,
        "backend": SimpleNamespace(list_queue_messages=lambda filters: ["tweet"]),
        "QueueMessageFilter": dict,
        "QueueMessageType": SimpleNamespace(TWEET="tweet"),
    }
    found = Sample(sample)
    found.run({name: value for name, value in given.items() if name in found.free})
    async with day(engine):
        await engine.clock.advance(seconds * 4)
        assert await begun(engine, job_type) == [0, seconds, 2 * seconds, 3 * seconds]


async def test_a_new_job_is_scheduled_and_at_most_two_of_it_run_at_once(engine: Engine) -> None:
    Sample("003_05_adding_a_job").run()
    async with day(engine):
        await engine.clock.advance(120 * 3)
        assert await begun(engine, "my_awesome_job") == [0, 120, 240]
    assert await most_at_once(engine, "my_awesome_job", 5) == 2


@pytest.mark.parametrize(("enabled", "beginnings"), [("true", [0, 300, 600]), ("false", [])])
async def test_the_schedule_obeys_the_environment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, enabled: str, beginnings: list[float]
) -> None:
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MY_AWESOME_JOB_ENABLED", enabled)
    Sample("003_05_adding_a_job").run()
    async with day(engine):
        await engine.clock.advance(900)
        assert await begun(engine, "my_awesome_job") == beginnings


async def test_the_decorators_options_are_acted_upon(engine: Engine) -> None:
    Sample("003_07_decorator_options", BELOW).run({"job": job, "JobPriority": JobPriority})

    @job("other_job")
    async def other(context: JobContext) -> None:
        return None

    held = await engine.manager.create_job("other_job")
    waiting = await engine.submitted("job_type")
    async with day(engine):
        await engine.clock.advance(20)
        assert (await engine.get(waiting)).unmet == (held.id,), "it waits for the other type's newest job"
        await engine.manager.start_job(held.id)
        await engine.clock.advance(20)
        assert (await engine.get(waiting)).status is JobStatus.COMPLETED
        await engine.clock.advance(240)
        assert len(await begun(engine, "job_type")) >= 4, "each minute, and the one that waited"
    assert await most_at_once(engine, "job_type", 3) == 1


async def test_a_type_that_preserves_its_order_runs_in_order_one_at_a_time(engine: Engine) -> None:
    order: list[int] = []

    below = "async def decorated(context, number=0):\n    await work(number)\n"

    async def work(number: int) -> None:
        order.append(number)
        await engine.clock.sleep(20 - number)
        order.append(number)

    @job("prerequisite_job")
    async def prerequisite(context: JobContext) -> None:
        return None

    Sample("003_10_priority_and_dependencies", below).run({"job": job, "JobPriority": JobPriority, "work": work})
    for number in range(4):
        await engine.manager.submit("high_priority_job", {"number": number})
    async with day(engine):
        await engine.clock.advance(300)
    assert order == [0, 0, 1, 1, 2, 2, 3, 3]


# --- the two patterns ---


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([MyJobResult(message="block 7", number=7), MyJobResult(message="block 8", number=8)], JobStatus.COMPLETED),
        ([], JobStatus.COMPLETED),
        ([MyJobResult(), MyJobResult(success=False, message="no node answers")], JobStatus.FAILED),
    ],
    ids=["all well", "nothing", "one failed"],
)
async def test_self_contained_job_runs_and_its_results_are_kept(
    engine: Engine, results: list[MyJobResult], status: JobStatus
) -> None:
    Sample("003_03_self_contained_job").run(
        {
            "job": job,
            "BaseTask": BaseTask,
            "ChainStateMonitorResult": MyJobResult,
            "JobContext": JobContext,
            "List": list,
            "results": results,
        }
    )
    assert JobType.CHAIN_STATE_MONITOR == "chain_state_monitor"  # type: ignore[attr-defined]  # made by registration
    options = JobRegistry.list_jobs()["chain_state_monitor"]
    assert (options["interval_seconds"], options["max_concurrent"]) == (90, 2)
    ended = await ran(engine, "chain_state_monitor")
    assert (ended.status, ended.attempt) == (status, 1)
    assert ended.result is not None
    assert ended.result.data == [asdict(result) for result in results]
    assert ended.result.error == ("no node answers" if status is JobStatus.FAILED else None)


@pytest.mark.parametrize(
    ("waiting", "outcome"), [([], Outcome.SKIPPED), (["tweet 1"], Outcome.COMPLETED)], ids=["no messages", "messages"]
)
async def test_queue_processing_job_runs_only_if_messages_wait(
    engine: Engine, waiting: list[str], outcome: Outcome
) -> None:
    asked: list[object] = []

    def list_queue_messages(filters: object) -> list[str]:
        asked.append(filters)
        return waiting

    Sample("003_04_queue_processing_job").run(
        {
            "job": job,
            "BaseTask": BaseTask,
            "TweetProcessingResult": MyJobResult,
            "JobContext": JobContext,
            "List": list,
            "backend": SimpleNamespace(list_queue_messages=list_queue_messages),
            "QueueMessageFilter": dict,
            "QueueMessageType": SimpleNamespace(TWEET="tweet"),
            "results": [MyJobResult(message="sent")],
        }
    )
    ended = await ran(engine, "tweet")
    assert asked == [{"type": "tweet", "is_processed": False}]
    assert (ended.status, ended.outcome) == (JobStatus.COMPLETED, outcome)
    assert ended.result is not None
    assert ended.result.data == ([asdict(MyJobResult(message="sent"))] if waiting else None)
    (run,) = await engine.runs(ended.id)
    assert run.outcome is outcome


# --- adding a job ---


async def test_a_new_job_is_registered_with_its_type_and_options_and_runs(engine: Engine) -> None:
    names = Sample("003_05_adding_a_job").run()
    assert JobType.MY_AWESOME_JOB == "my_awesome_job"  # type: ignore[attr-defined]  # made by registration
    assert "my_awesome_job" in JobType.get_all_job_types()
    options = JobRegistry.list_jobs()["my_awesome_job"]
    assert (options["name"], options["description"]) == ("My Awesome Job", "Does awesome things")
    assert (options["interval_seconds"], options["max_concurrent"], options["enabled"]) == (120, 2, True)
    assert (options["priority"], options["requires"]) == (JobPriority.NORMAL, {"twitter"})

    job_id = await engine.submitted("my_awesome_job")
    await engine.drain(served=Served(flags=frozenset({"wallet"})))
    assert (await engine.get(job_id)).status is JobStatus.QUEUED, "that worker has no Twitter access"
    await engine.drain(served=Served(flags=frozenset({"twitter"})))
    ended = await engine.get(job_id)
    assert ended.status is JobStatus.COMPLETED
    assert ended.result is not None
    assert ended.result.data == [asdict(names["MyJobResult"](success=True, message="Done!", items_processed=10))]


def test_a_new_job_is_found_by_discovery(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tasks_of_seed_003"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_awesome_job.py").write_text(stored_samples()["003_05_adding_a_job"], encoding="utf-8")
    (package / "broken.py").write_text("from nowhere import nothing\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = discover([package.name])
    for module in [*found.modules, f"{package.name}.broken"]:
        sys.modules.pop(module, None)
    assert found.modules == [package.name, f"{package.name}.my_awesome_job"]
    assert [failure.module for failure in found.failures] == [f"{package.name}.broken"]
    assert "my_awesome_job" in JobRegistry.list_jobs()


# --- configuration ---


def variables() -> dict[str, str]:
    """What the document sets in the environment."""
    read = dotenv_values(stream=io.StringIO(stored_samples()["003_06_environment"]))
    return {name: value or "" for name, value in read.items()}


@pytest.mark.parametrize("spelling", ["MY_AWESOME_JOB_RUNNER_", "MY_AWESOME_JOB_"])
def test_environment_is_laid_over_the_code_in_both_spellings(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    for option in ("ENABLED", "INTERVAL_SECONDS"):
        monkeypatch.setenv(spelling + option, variables()[spelling + option])
    Sample("003_05_adding_a_job").run()
    assert JobRegistry.list_jobs()["my_awesome_job"]["interval_seconds"] == 300

    @job("another_job", interval_seconds=120)
    async def another(context: JobContext) -> None:
        return None

    assert JobRegistry.list_jobs()["another_job"]["interval_seconds"] == 120


def test_environment_enables_what_the_code_disables_and_the_shorter_spelling_wins(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MY_AWESOME_JOB_RUNNER_INTERVAL_SECONDS", "1")
    monkeypatch.setenv("MY_AWESOME_JOB_RUNNER_ENABLED", "false")

    @job("my_awesome_job", enabled=False, interval_seconds=120)
    async def mine(context: JobContext) -> None:
        return None

    options = JobRegistry.list_jobs()["my_awesome_job"]
    assert (options["enabled"], options["interval_seconds"]) == (True, 300)


# --- the decorator ---


async def test_every_decorator_option_is_taken_and_handed_to_jobs(engine: Engine) -> None:
    Sample("003_07_decorator_options", BELOW).run({"job": job, "JobPriority": JobPriority})
    options = JobRegistry.list_jobs()["job_type"]
    declared = {
        "type": "job_type",
        "name": "Human Readable Name",
        "description": "What it does",
        "interval_seconds": 60,
        "enabled": True,
        "priority": JobPriority.NORMAL,
        "max_retries": 3,
        "retry_delay_seconds": 30,
        "timeout_seconds": 300,
        "max_concurrent": 1,
        "batch_size": 10,
        "requires": {"wallet", "twitter", "discord"},
        "dependencies": ("other_job",),
        "preserve_order": False,
        "idempotent": True,
    }
    assert {name: options[name] for name in declared} == declared

    ended = await ran(engine, "job_type")
    assert (ended.name, ended.description, ended.priority) == ("Human Readable Name", "What it does", 2)
    assert (ended.max_retries, ended.retry_delay_seconds, ended.timeout_seconds) == (3, 30, 300)
    assert ended.route == engine.registry.get("job_type").options.route != "default"
    assert ended.idempotent
    assert (ended.status, ended.result.data if ended.result else None) == (JobStatus.COMPLETED, 1)


async def test_a_critical_job_runs_before_normal_ones_that_waited_longer(engine: Engine) -> None:
    Sample("003_10_priority_and_dependencies", BELOW).run({"job": job, "JobPriority": JobPriority})
    options = JobRegistry.list_jobs()["high_priority_job"]
    assert (options["dependencies"], options["preserve_order"]) == (("prerequisite_job",), True)

    @job("usual")
    async def usual(context: JobContext) -> None:
        return None

    @job("prerequisite_job")
    async def prerequisite(context: JobContext) -> None:
        return None

    needed = await engine.submitted("prerequisite_job")
    early = await engine.submitted("high_priority_job")
    assert ((await engine.get(early)).status, (await engine.get(early)).unmet) == (JobStatus.PENDING, (needed,))
    await engine.drain()
    assert [(await engine.get(each)).status for each in (needed, early)] == [JobStatus.COMPLETED] * 2

    waiting = [await engine.submitted("usual") for _ in range(3)]
    engine.clock.jump(5)
    urgent = await engine.submitted("high_priority_job")
    assert (await engine.get(urgent)).priority is JobPriority.CRITICAL
    await Worker(engine.runtime).run(max_jobs=1)
    done = {each.id for each in await engine.manager.list_jobs(status="completed")}
    assert done - {needed, early} == {urgent}
    await engine.drain()
    completed = {each.id for each in await engine.manager.list_jobs(status="completed")}
    assert completed == {needed, early, urgent, *waiting}


# --- validation ---


@pytest.mark.parametrize("refusing", [None, *VALIDATION])
async def test_validation_hooks_are_asked_in_order_until_one_refuses(engine: Engine, refusing: str | None) -> None:
    hooks = Sample("003_08_validation_hooks").run({"JobContext": JobContext})
    asked: list[str] = []

    def told(name: str) -> Any:
        async def hook(self: BaseTask[Any], context: JobContext) -> bool:
            asked.append(name)
            return bool(await hooks[name](self, context)) and name != refusing

        return hook

    async def execute(self: BaseTask[Any], context: JobContext) -> list[MyJobResult]:
        asked.append("execute")
        return []

    job("checked")(type("Checked", (BaseTask,), {name: told(name) for name in VALIDATION} | {"_execute_impl": execute}))
    ended = await ran(engine, "checked")
    assert ended.status is JobStatus.COMPLETED
    if refusing is None:
        assert (asked, ended.outcome) == ([*VALIDATION, "execute"], Outcome.COMPLETED)
    else:
        assert (asked[-1], ended.outcome) == (refusing, Outcome.SKIPPED)
        assert asked == list(VALIDATION[: len(asked)])


# --- errors and retries ---


@pytest.mark.parametrize(
    ("error", "attempts", "data", "code"),
    [
        (ConnectionError("temporary outage"), 3, None, "ConnectionError"),
        (TimeoutError("Temporary"), 3, None, "TimeoutError"),
        (ValueError("temporary confusion"), 1, None, "ValueError"),
        (
            ConnectionError("refused"),
            1,
            [{"success": False, "message": "Unrecoverable: refused", "number": 0}],
            "RESULT_FAILED",
        ),
    ],
    ids=["retried", "retried too", "not an error that is retried", "its results stand for the error"],
)
async def test_error_handling_decides_about_results_and_retries(
    engine: Engine, error: Exception, attempts: int, data: object, code: str
) -> None:
    hooks = Sample("003_09_error_handling").run(
        {"JobContext": JobContext, "Optional": Optional, "List": list, "MyJobResult": MyJobResult}
    )

    async def execute(self: BaseTask[Any], context: JobContext) -> list[MyJobResult]:
        raise error

    names = ("_should_retry_on_error", "_handle_execution_error")
    task = type("Failing", (BaseTask,), {name: hooks[name] for name in names} | {"_execute_impl": execute})
    job("failing", max_retries=2, retry_delay_seconds=0)(task)
    ended = await ran(engine, "failing")
    assert (ended.status, ended.attempt) == (JobStatus.FAILED, attempts)
    assert ended.error is not None
    assert ended.error.code == code
    assert ended.result is not None
    assert ended.result.data == data
    assert (ended.result.error or "").endswith(str(error))
