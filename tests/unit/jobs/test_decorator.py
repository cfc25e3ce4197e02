"""`@job`: the function stays what it was, and becomes a job type that can be submitted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from app.jobs import BaseTask, BlockingJobContext, Job, JobContext, JobFunction, NoEngine, Registry, RunnerResult, job
from app.jobs.binding import bind
from app.jobs.decorator import SubmitOptions
from app.jobs.errors import BadInput, DuplicateJobType, PayloadInvalid
from app.jobs.request import JobRequest
from tests.support.engine import Engine


class Size(BaseModel):
    width: int
    height: int = 100


@pytest.fixture
async def bound(engine: Engine) -> Engine:
    """The engine, bound in the context of the test."""
    bind(engine.manager)
    return engine


def test_a_decorated_function_is_still_that_function() -> None:
    registry = Registry()

    @job("area", registry=registry, max_retries=1)
    def area(ctx: BlockingJobContext, width: int) -> int:
        """The area."""
        return width * width

    assert isinstance(area, JobFunction)
    assert (area.__name__, area.__doc__, area.definition.options.max_retries) == ("area", "The area.", 1)
    assert area(None, 3) == 9
    assert registry.get("area").handler(None, width=4) == 16


def test_a_decorated_task_is_still_that_class() -> None:
    registry = Registry()

    @job("task", registry=registry)
    class Task(BaseTask[RunnerResult]):
        """A task."""

    assert issubclass(Task, BaseTask)
    assert Task.definition is registry.get("task")


async def test_submit_creates_and_starts_a_job_with_the_handlers_own_arguments(bound: Engine) -> None:
    @bound.job("area", queue="maintenance")
    async def area(ctx: JobContext, width: int, height: int = 1) -> int:
        return width * height

    submitted: Job = await area.submit(width=3)
    assert (submitted.status, submitted.payload, submitted.queue) == (
        "queued",
        {"width": 3, "height": 1},
        "maintenance",
    )
    await bound.drain()
    assert (await bound.get(submitted.id)).status == "completed"


async def test_submit_takes_one_model_by_position(bound: Engine) -> None:
    @bound.job("area")
    async def area(ctx: JobContext, size: Size) -> int:
        return size.width * size.height

    submitted = await area.submit(Size(width=3))
    assert submitted.payload == {"width": 3, "height": 100}
    with pytest.raises(TypeError, match="takes its arguments by name"):
        await area.submit(3)


async def test_options_of_one_job(bound: Engine) -> None:
    @bound.job("area", priority="low", timeout_seconds=5)
    async def area(ctx: JobContext, width: int) -> int:
        return width

    options: dict[str, Any] = {"priority": "high", "delay": timedelta(minutes=1), "tags": ["a"], "max_retries": 7}
    changed = await area.options(idempotency_key="k", timeout_seconds=9, **options).submit(width=3)
    assert (changed.priority, changed.tags, changed.max_retries, changed.timeout_seconds) == (3, ("a",), 7, 9)
    assert changed.wake_at == bound.clock.now() + timedelta(minutes=1)
    assert (await area.submit(width=3)).priority == 1
    again = await area.options(idempotency_key="k").submit(width=3)
    assert (again.id, again.existing) == (changed.id, True)


def test_every_option_of_a_job_can_be_given() -> None:
    chosen_otherwise = {"type", "payload", "batch_id", "delay_seconds"}
    assert set(SubmitOptions.__annotations__) == set(JobRequest.model_fields) - chosen_otherwise | {
        "delay",
        "transaction",
    }


async def test_another_manager_can_be_named(engine: Engine) -> None:
    @engine.job("area")
    async def area(ctx: JobContext, width: int) -> int:
        return width

    with pytest.raises(NoEngine, match=r"call app\.bootstrap.use_engine"):
        await area.submit(width=3)
    assert (await area.options(manager=engine.manager).submit(width=3)).status == "queued"


async def test_a_payload_that_does_not_fit_is_refused_at_submit(bound: Engine) -> None:
    @bound.job("area")
    async def area(ctx: JobContext, width: int) -> int:
        return width

    with pytest.raises(PayloadInvalid, match=r"^payload\.width: "):
        await area.submit(width="wide")
    assert (await bound.records())["jobs"] == 0


async def test_a_handler_submits_further_jobs_to_its_own_engine(engine: Engine) -> None:
    """Given no engine bound outside, when a handler submits another job, then it goes to the engine that runs it."""

    @engine.job("child")
    async def child(ctx: JobContext, n: int) -> int:
        return n

    @engine.job("parent")
    async def parent(ctx: JobContext) -> None:
        for n in range(3):
            await child.submit(n=n)

    @engine.job("blocking_parent")
    def blocking_parent(ctx: BlockingJobContext) -> None:
        ctx.wait_for(child.submit(n=3))

    await engine.submitted("parent")
    await engine.submitted("blocking_parent")
    await engine.drain()
    children = await engine.manager.list_jobs(type="child", status="completed")
    assert sorted(each.payload["n"] for each in children) == [0, 1, 2, 3]


def test_bad_options_and_names_are_refused_when_the_code_is_loaded() -> None:
    registry = Registry()
    with pytest.raises(BadInput, match=r"^colour: "):
        job("area", registry=registry, colour="red")(lambda: None)
    with pytest.raises(BadInput, match=r"^type: "):
        job("", registry=registry)(lambda: None)

    @job("area", registry=registry)
    def first() -> None: ...

    with pytest.raises(DuplicateJobType, match="rename one of them"):

        @job("area", registry=registry)
        def second() -> None: ...

    with pytest.raises(BadInput, match=r"^handler: "):
        job("twice", registry=registry)(first)


def test_a_type_without_a_name_is_called_after_its_handler() -> None:
    registry = Registry()

    @job(registry=registry, max_concurrent=2)
    async def send_mail(ctx: JobContext) -> None: ...

    for name in ("ChainStateMonitorTask", "HTTPCheckTask", "Task", "Import2Files"):
        job(registry=registry)(type(name, (BaseTask,), {}))
    # The same decorator on two functions names each.
    twice = job(registry=registry)
    twice(lambda_like("first"))
    twice(lambda_like("second"))

    assert registry.get("send_mail").options.max_concurrent == 2
    named = {"send_mail", "chain_state_monitor", "http_check", "task", "import2_files", "first", "second"}
    assert named <= {each.options.type for each in registry}


def lambda_like(name: str) -> Any:
    """A handler with a name of its own."""

    async def handler(ctx: JobContext) -> None: ...

    handler.__name__ = handler.__qualname__ = name
    return handler


def test_a_decorator_without_parentheses_is_refused() -> None:
    with pytest.raises(BadInput, match=r"write @job\(\)"):

        @job  # type: ignore[arg-type]
        async def bare(ctx: JobContext) -> None: ...
