"""However a handler ends, its job ends up somewhere, with a result, an error that names the cause, and a summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, model_serializer

from app.jobs import (
    BaseTask,
    Cancel,
    ContinueLater,
    Job,
    JobContext,
    JobResult,
    JobStatus,
    Outcome,
    PermanentError,
    RetryLater,
    ReviewNeeded,
    RunnerResult,
)
from app.jobs.errors import BadInput
from tests.support.engine import Engine
from tests.support.values import nested

Q, C, F, X, N = JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.NEEDS_REVIEW


class RudeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class OwnBaseError(BaseException):
    pass


class Unwilling(BaseModel):
    @model_serializer
    def refuse(self) -> Any:
        raise KeyError("not this one")


def raising(error: BaseException | Callable[[], BaseException]) -> Callable[[JobContext], Any]:
    async def handler(ctx: JobContext) -> None:
        raise error if isinstance(error, BaseException) else error()

    return handler


def returning(value: Any) -> Callable[[JobContext], Any]:
    async def handler(ctx: JobContext) -> Any:
        return value

    return handler


async def run_once(engine: Engine, handler: Any, **options: Any) -> Job:
    """The job after one attempt of this handler."""
    engine.job("it", **options)(handler)
    job_id = await engine.submitted("it")
    report = await engine.drain()
    assert (report.claimed, report.settled) == (1, 1)
    job = await engine.get(job_id)
    (run,) = await engine.runs(job_id)
    assert (run.attempt, run.outcome, run.status) == (1, job.outcome, job.status)
    assert job.status is Q or job.result is not None or job.status is N
    return job


# --- what it returns ---------------------------------------------------------------------------------


@dataclass
class Item(RunnerResult):
    name: str = ""


@pytest.mark.parametrize(
    ("returned", "status", "data", "error"),
    [
        (None, C, None, None),
        (0, C, 0, None),
        ({"a": [1, None]}, C, {"a": [1, None]}, None),
        ((1, 2), C, [1, 2], None),
        ([], C, [], None),
        (Decimal("1.5"), C, "1.5", None),
        (JobResult(success=True, data=3, artifacts={"file": "a"}), C, 3, None),
        (JobResult(success=False, data=3, error="no"), F, 3, "no"),
        (JobResult(success=False), F, None, None),
        (Item(name="a"), C, [{"success": True, "message": "", "name": "a"}], None),
        ([Item(name="a"), Item()], C, [{"success": True, "message": "", "name": n} for n in ("a", "")], None),
        ([Item(), Item(success=False, message="b broke")], F, None, "b broke"),
        ([Item(success=False, message="a"), Item(success=False, message="b")], F, None, "a; b"),
        ([Item(), 3], F, None, None),
    ],
    ids=repr,
)
async def test_what_a_handler_returns(
    engine: Engine, returned: Any, status: JobStatus, data: Any, error: str | None
) -> None:
    job = await run_once(engine, returning(returned))
    if returned == [Item(), 3]:
        # A list that is not all results is data like any other.
        status, data = C, [{"success": True, "message": "", "name": ""}, 3]
    assert job.status is status
    assert job.result is not None
    assert (job.result.success, job.result.error) == (status is C, error)
    if data is not None or status is C:
        assert job.result.data == data
    if status is F:
        assert job.error is not None
        assert (job.error.code, job.error.message) == ("RESULT_FAILED", error or "the handler returned a failure")
        assert job.retries_used == 0


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    "returned",
    [
        object(),
        {1: 2},
        float("nan"),
        [float("inf")],
        {"a": {None: 1}},
        b"\xff\xfe",
        nested(101),
        nested(300),
        nested(20_000),
        CIRCULAR,
        10**5000,
        Unwilling(),
        [Unwilling()],
        JobResult(success=True, artifacts={"a": object()}),
        JobResult(success=False, data=float("nan")),
        "x" * (4 * 2**20 + 1),
        (lambda: 1),
        (i for i in range(3)),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_result_that_cannot_be_stored_is_recorded_as_such(engine: Engine, returned: Any) -> None:
    """Given a handler whose result no store can keep, when it ends, then its job FAILED and says why."""
    job = await run_once(engine, returning(returned))
    assert (job.status, job.error and job.error.code, job.retries_used) == (F, "RESULT_INVALID", 0)
    assert job.result is not None
    assert "the handler's result cannot be stored: result: " in str(job.result.error)


# --- what it raises ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "outcome", "code"),
    [
        (ValueError("x"), Q, Outcome.RETRIED, "ValueError"),
        (RetryLater(42), Q, Outcome.RETRIED, "RETRY_LATER"),
        (ContinueLater(5), Q, Outcome.SLICED, None),
        (PermanentError("no use"), F, Outcome.FAILED, "PERMANENT_ERROR"),
        (Cancel("not needed"), X, Outcome.CANCELLED, "CANCELLED"),
        (Cancel(), X, Outcome.CANCELLED, "CANCELLED"),
        (ReviewNeeded("which?", {"a": [1]}), N, Outcome.REVIEW, "NEEDS_REVIEW"),
        (ReviewNeeded("which?", object()), F, Outcome.FAILED, "RESULT_INVALID"),
        (StopIteration(3), Q, Outcome.RETRIED, "RuntimeError"),
        (StopAsyncIteration(), Q, Outcome.RETRIED, "StopAsyncIteration"),
        (GeneratorExit(), Q, Outcome.RETRIED, "GeneratorExit"),
        (asyncio.CancelledError(), Q, Outcome.RETRIED, "RuntimeError"),
        (OwnBaseError("x"), Q, Outcome.RETRIED, "OwnBaseError"),
        (SystemExit(3), Q, Outcome.RETRIED, "HANDLER_EXIT"),
        (ExceptionGroup("both", [ValueError("a"), TypeError("b")]), Q, Outcome.RETRIED, "ExceptionGroup"),
        (RudeError(), Q, Outcome.RETRIED, "RudeError"),
        (ValueError("a\x00b \ud800"), Q, Outcome.RETRIED, "ValueError"),
        (ValueError("x" * 20_000_000), Q, Outcome.RETRIED, "ValueError"),
        (Cancel("a\x00b \ud800"), X, Outcome.CANCELLED, "CANCELLED"),
        (ReviewNeeded("a\x00b \ud800"), N, Outcome.REVIEW, "NEEDS_REVIEW"),
        (ContinueLater(0, checkpoint={"page": 2}), Q, Outcome.SLICED, None),
        (ContinueLater(0, checkpoint=object()), Q, Outcome.RETRIED, "BAD_INPUT"),
        (TimeoutError(), Q, Outcome.RETRIED, "TimeoutError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("where", ["async", "sync", "task"])
async def test_what_a_handler_raises(
    engine: Engine, where: str, error: BaseException, status: JobStatus, outcome: Outcome, code: str | None
) -> None:
    """Given any exception at all, when a handler raises it, then its job goes where its kind says; never astray."""
    handler: Any
    if where == "async":
        handler = raising(error)
    elif where == "sync":

        def in_thread(ctx: Any) -> None:
            raise error

        handler = in_thread
    else:

        class Failing(BaseTask[RunnerResult]):
            async def _execute_impl(self, context: JobContext) -> list[RunnerResult]:
                raise error

        handler = Failing
    engine.job("it", retry_delay_seconds=60)(handler)
    job_id = await engine.submitted("it")
    report = await engine.drain(concurrency=1) if not isinstance(error, ContinueLater) else await _one(engine)
    assert report.settled == 1
    job = await engine.get(job_id)
    assert (job.status, job.outcome) == (status, outcome)
    assert (job.error and job.error.code) == code
    (run,) = await engine.runs(job_id)
    assert run.counted == (outcome in (Outcome.RETRIED, Outcome.FAILED))


async def _one(engine: Engine) -> Any:
    from app.jobs import Worker

    return await Worker(engine.runtime).run(drain=True, max_jobs=1)


async def test_what_is_kept_of_an_error(engine: Engine) -> None:
    job = await run_once(engine, raising(lambda: ValueError("a\x00b")))
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("builtins.ValueError", "a\\x00b")
    assert "test_attempt.py" in job.error.traceback
    assert job.result is not None
    assert job.result.error == "a\\x00b"


async def test_an_error_without_a_text_is_told_by_its_class(engine: Engine) -> None:
    job = await run_once(engine, raising(KeyError()))
    assert job.error is not None
    assert job.error.message == "KeyError"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(ValueError("x"), 60.0), (RetryLater(42), 42.0), (RetryLater(0), None), (ContinueLater(7), 7.0)],
)
async def test_when_it_is_tried_again(engine: Engine, error: Exception, seconds: float | None) -> None:
    engine.job("it", retry_delay_seconds=60)(raising(error))
    job_id = await engine.submitted("it")
    await _one(engine)
    job = await engine.get(job_id)
    waits = None if job.wake_at is None else (job.wake_at - engine.clock.now()).total_seconds()
    assert waits == seconds


async def test_a_job_is_executed_once_more_than_it_has_retries(engine: Engine) -> None:
    seen: list[int] = []

    @engine.job("it", max_retries=3, retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> None:
        seen.append(ctx.attempt)
        raise ValueError("again")

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (seen, job.status, job.retries_used) == ([1, 2, 3, 4], F, 3)
    assert [run.outcome for run in await engine.runs(job_id)] == [Outcome.RETRIED] * 3 + [Outcome.FAILED]


# --- slices ------------------------------------------------------------------------------------------


async def test_slices_count_as_nothing_and_keep_the_checkpoint(engine: Engine) -> None:
    """Given a handler that does a part at a time, when it asks to go on later, then it does, uncounted."""
    seen: list[Any] = []

    @engine.job("pages", max_retries=0)
    async def pages(ctx: JobContext) -> str:
        page = (ctx.checkpoint or {"page": 0})["page"]
        seen.append(page)
        if page < 5:
            raise ContinueLater(0, checkpoint={"page": page + 1})
        return "all"

    job_id = await engine.submitted("pages")
    await engine.drain()
    job = await engine.get(job_id)
    assert (seen, job.status, job.attempt, job.slices) == ([0, 1, 2, 3, 4, 5], C, 6, 5)
    assert (job.retries_used, job.lease_losses, job.checkpoint) == (0, 0, {"page": 5})
    runs = await engine.runs(job_id)
    assert [(run.outcome, run.counted) for run in runs] == [(Outcome.SLICED, False)] * 5 + [(Outcome.COMPLETED, True)]


async def test_a_slice_without_a_checkpoint_keeps_the_one_that_was_saved(engine: Engine) -> None:
    seen: list[Any] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        seen.append(ctx.checkpoint)
        if ctx.attempt == 1:
            await ctx.save_checkpoint([1])
            raise ContinueLater
        if ctx.attempt == 2:
            raise ValueError("a failure keeps it too")

    await engine.submitted("it", retry_delay_seconds=0)
    await engine.drain()
    assert seen == [None, [1], [1]]


# --- tasks -------------------------------------------------------------------------------------------

HOOKS = ["_validate_config", "_validate_resources", "_validate_prerequisites", "_validate_task_specific"]


@dataclass
class Calls:
    order: list[str] = field(default_factory=list)


def task_of(calls: Calls, **methods: Any) -> type[BaseTask[Item]]:
    """A task whose hooks note that they were called."""

    class Noting(BaseTask[Item]):
        async def _execute_impl(self, context: JobContext) -> list[Item]:
            calls.order.append("_execute_impl")
            return [Item(name=context.job_type)]

    def noting(name: str, answer: Any) -> Any:
        async def hook(self: Any, *arguments: Any) -> Any:
            calls.order.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return hook

    for hook in HOOKS:
        setattr(Noting, hook, noting(hook, methods.pop(hook, True)))
    for name, method in methods.items():
        setattr(Noting, name, method)
    return Noting


async def test_a_task_validates_in_order_and_then_executes(engine: Engine) -> None:
    calls = Calls()
    job = await run_once(engine, task_of(calls))
    assert calls.order == [*HOOKS, "_execute_impl"]
    assert job.result is not None
    assert (job.status, job.result.data) == (C, [{"success": True, "message": "", "name": "it"}])


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_validation_that_says_no_completes_the_job_as_skipped(engine: Engine, hook: str) -> None:
    calls = Calls()
    job = await run_once(engine, task_of(calls, **{hook: False}))
    assert calls.order == HOOKS[: HOOKS.index(hook) + 1]
    assert (job.status, job.outcome, job.retries_used) == (C, Outcome.SKIPPED, 0)


async def test_a_validation_that_fails_is_a_failed_attempt(engine: Engine) -> None:
    job = await run_once(engine, task_of(Calls(), _validate_resources=ValueError("no disk")))
    assert (job.status, job.outcome, job.error and job.error.message) == (Q, Outcome.RETRIED, "no disk")


@pytest.mark.parametrize(
    ("wanted", "status", "asked"),
    [(True, Q, 1), (False, F, 1), (ValueError("broken hook"), F, 1)],
    ids=["retry", "do not", "the hook itself fails"],
)
async def test_a_task_says_which_errors_it_retries(
    engine: Engine, wanted: Any, status: JobStatus, asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    questions: list[tuple[str, str]] = []

    async def failing(self: Any, context: JobContext) -> list[Item]:
        raise KeyError("x")

    def should_retry(self: Any, error: Exception, context: JobContext) -> bool:
        questions.append((type(error).__name__, context.job_type))
        if isinstance(wanted, Exception):
            raise wanted
        return bool(wanted)

    job = await run_once(engine, task_of(Calls(), _execute_impl=failing, _should_retry_on_error=should_retry))
    assert (job.status, questions) == (status, [("KeyError", "it")] * asked)
    assert job.error is not None
    assert job.error.code == "KeyError"


@pytest.mark.parametrize(
    ("handled", "status", "data", "error"),
    [
        (None, Q, None, "x"),
        ([], C, [], None),
        ([Item(name="instead")], C, [{"success": True, "message": "", "name": "instead"}], None),
        (
            [Item(success=False, message="gave up")],
            F,
            [{"success": False, "message": "gave up", "name": ""}],
            "gave up",
        ),
    ],
    ids=["none", "empty", "success", "failure"],
)
async def test_results_that_stand_for_an_error_are_the_outcome(
    engine: Engine, handled: Any, status: JobStatus, data: Any, error: str | None
) -> None:
    """Given a task that turns its error into results, then they are the outcome, and a failure is not retried."""

    async def failing(self: Any, context: JobContext) -> list[Item]:
        raise ValueError("x")

    async def handle(self: Any, failure: Exception, context: JobContext) -> Any:
        assert str(failure) == "x"
        return handled

    job = await run_once(engine, task_of(Calls(), _execute_impl=failing, _handle_execution_error=handle))
    assert (job.status, job.retries_used) == (status, 1 if status is Q else 0)
    assert job.result is not None
    assert (job.result.data, job.result.error) == (data, error)


async def test_signals_are_not_errors_to_be_handled(engine: Engine) -> None:
    """Given a task that handles every error, when it asks for a pause in its work, then it gets that."""

    async def slicing(self: Any, context: JobContext) -> list[Item]:
        if context.attempt == 1:
            raise ContinueLater(0, checkpoint=[1])
        return []

    async def handle(self: Any, failure: Exception, context: JobContext) -> list[Item]:
        return [Item(success=False, message="handled")]

    engine.job("it")(task_of(Calls(), _execute_impl=slicing, _handle_execution_error=handle))
    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.slices) == (C, 1)


async def test_a_task_without_work_says_so(engine: Engine) -> None:
    class Lazy(BaseTask[Item]):
        pass

    job = await run_once(engine, Lazy)
    assert job.error is not None
    assert "Lazy does not define _execute_impl" in job.error.message


async def test_each_attempt_has_a_task_object_of_its_own(engine: Engine) -> None:
    objects: list[object] = []

    async def failing(self: Any, context: JobContext) -> list[Item]:
        objects.append(self)
        raise ValueError("x")

    engine.job("it", retry_delay_seconds=0, max_retries=2)(task_of(Calls(), _execute_impl=failing))
    await engine.submitted("it")
    await engine.drain()
    assert len({id(each) for each in objects}) == 3


# --- what it records on the way ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        lambda ctx: ctx.report_progress(1, 2, "a\x00b"),
        lambda ctx: ctx.report_progress(1, 2, "\ud800"),
        lambda ctx: ctx.report_progress(1, 2, "x" * 20_000_000),
        lambda ctx: ctx.report_progress(10**400, 2),
        lambda ctx: ctx.report_progress(float("nan"), 2),
        lambda ctx: ctx.report_progress(1, float("inf")),
        lambda ctx: ctx.report_progress("many", 2),
        lambda ctx: ctx.log("a\x00b \ud800"),
        lambda ctx: ctx.log("x" * 20_000_000),
        lambda ctx: ctx.log(ValueError("an error object")),
        lambda ctx: ctx.log("x", "LOUD"),
        lambda ctx: ctx.save_checkpoint(float("nan")),
        lambda ctx: ctx.save_checkpoint(object()),
        lambda ctx: ctx.save_checkpoint("x" * 20_000_000),
        lambda ctx: ctx.save_result({1: 1}),
        lambda ctx: ctx.save_result("\ud800\x00"),
    ],
    ids=str(list(range(16)))[1:-1].split(", "),
)
async def test_nothing_a_handler_records_keeps_its_job_from_ending(engine: Engine, record: Any) -> None:
    """Given something odd to record, then it is either recorded or refused on the spot; the job ends all the same."""

    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        try:
            await record(ctx)
        except (ValueError, TypeError, BadInput):
            return "refused"
        return "recorded"

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert job.status is C
    assert len(await engine.runs(job_id)) == 1


async def test_a_flood_of_log_lines_does_not_keep_a_job_from_ending(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        for number in range(20):
            await ctx.log(f"{number} " + "x" * 2**20)

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).status is C
    assert len(await engine.manager.get_logs(job_id)) == 20
