"""Seed 003: decorated tasks, their options, environment overrides, validation and error handling."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from dotenv import dotenv_values

from app.jobs import (
    BaseTask,
    Job,
    JobContext,
    JobPriority,
    JobRegistry,
    JobStatus,
    JobType,
    Outcome,
    RunnerResult,
    Worker,
    discover,
    job,
)
from app.jobs.routes import Served
from tests.acceptance.seeds.sample import Sample, stored_samples
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
    assert {each.id for each in await engine.manager.list_jobs(status="completed")} == {urgent, *waiting}


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
