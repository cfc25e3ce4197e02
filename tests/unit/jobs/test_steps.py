"""Recorded steps: what is run once, what is replayed, and when the code no longer fits what was recorded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs import (
    BadInput,
    BlockingJobContext,
    IllegalTransition,
    JobContext,
    JobExecutor,
    JobNotFound,
    JobResult,
    JobStatus,
    PermanentError,
    get_current_job_context,
)
from app.jobs.errors import RevisionChanged, StepNameTwice, StepsChanged
from app.jobs.models import Job
from app.jobs.steps import Step as RecordedStep
from app.jobs.steps import StepBook, StepKind, step_id
from tests.support.clock import NOON, FakeClock
from tests.support.engine import Engine

STEP = StepKind.STEP


class Broken(Exception):
    """What a handler raises to be tried again."""


# --- the book ----------------------------------------------------------------------------------------


def called(book: StepBook, *names: str) -> None:
    """Call steps one after the other."""
    for name in names:
        book.end(book.begin((STEP, name)))


def test_a_name_may_be_called_once_in_an_attempt() -> None:
    book = StepBook("j")
    called(book, "a", "b")
    with pytest.raises(StepNameTwice, match="'a' twice"):
        book.begin((STEP, "a"))
    book.begin((StepKind.SLEEP, "a"))  # another kind has names of its own


def test_ids_tell_kinds_and_names_apart() -> None:
    ids = {step_id("j", (kind, name)) for kind in StepKind for name in ("a", "ab", "a b", "\ud800")}
    assert len(ids) == 4 * len(StepKind)
    assert all(each.startswith("j-") for each in ids)


def test_steps_without_names_are_numbered_from_the_second_on() -> None:
    book = StepBook("j")
    names = []
    for _ in range(3):
        name = book.next_name(StepKind.SLEEP, "sleep")
        names.append(name)
        book.end(book.begin((StepKind.SLEEP, name)))
    assert names == ["sleep", "sleep#2", "sleep#3"]


# --- replay ------------------------------------------------------------------------------------------


@pytest.fixture
def runs() -> list[str]:
    """What really ran."""
    return []


def noting(runs: list[str], name: str) -> Callable[[], str]:
    """A function that notes that it ran."""

    def run() -> str:
        runs.append(name)
        return f"did {name}"

    return run


async def test_a_recorded_step_is_replayed_and_not_run_again(engine: Engine, runs: list[str]) -> None:
    @engine.job("it", retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> list[Any]:
        found = [await ctx.step("first", noting(runs, "first")), await ctx.step("second", noting(runs, "second"))]
        if ctx.attempt < 3:
            raise Broken
        return found

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.attempt, job.steps) == (JobStatus.COMPLETED, 3, 2)
    assert job.result is not None
    assert job.result.data == ["did first", "did second"]
    assert runs == ["first", "second"]


async def test_a_plain_job_reads_and_writes_nothing_for_steps(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await ctx.log("nothing else")

    await engine.submitted("it")
    await engine.drain()
    assert (await engine.records())["steps"] == 0


@pytest.mark.parametrize(
    "returned", [None, (1, 2), {"a": [1.5, {"b": None}]}, "x" * 600_000], ids=["none", "tuple", "nested", "large"]
)
async def test_the_first_run_is_given_what_later_ones_are(engine: Engine, returned: Any) -> None:
    seen: list[Any] = []

    @engine.job("it", retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> None:
        seen.append(await ctx.step("s", lambda: returned))
        if ctx.attempt == 1:
            raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    expected = list(returned) if isinstance(returned, tuple) else returned
    assert seen == [expected, expected]
    await engine.manager.delete_job(job_id)
    left = await engine.records()
    assert (left["steps"], left["chunks"]) == (0, 0)


async def test_what_a_step_raises_is_not_recorded(engine: Engine, runs: list[str]) -> None:
    @engine.job("it", retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> None:
        async def fails_once() -> None:
            runs.append("tried")
            if len(runs) == 1:
                raise Broken

        await ctx.step("s", fails_once)

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (runs, (await engine.get(job_id)).retries_used) == (["tried", "tried"], 1)


async def test_a_step_can_be_tried_again_within_its_attempt(engine: Engine, runs: list[str]) -> None:
    times: list[float] = []

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> Any:
        def fails_twice(word: str, *, mark: str) -> str:
            times.append(engine.clock.monotonic())
            runs.append(word + mark)
            if len(runs) < 3:
                raise Broken
            return "at last"

        return await ctx.step("s", fails_twice, "go", mark="!", retries=2, retry_delay_seconds=3)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(60)
        assert (await engine.get(job_id)).status is JobStatus.COMPLETED
    assert runs == ["go!"] * 3
    assert [later - earlier for earlier, later in pairwise(times)] == [3, 6]


async def test_an_error_that_cannot_be_mended_ends_the_tries(engine: Engine, runs: list[str]) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        def gives_up() -> None:
            runs.append("tried")
            raise PermanentError("never")

        await ctx.step("s", gives_up, retries=5)

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (runs, (await engine.get(job_id)).status) == (["tried"], JobStatus.FAILED)


async def test_steps_beside_each_other_may_change_places(engine: Engine, runs: list[str]) -> None:
    """Given branches that come to their steps in another order at the second attempt, then nothing runs twice."""

    @engine.job("it", retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> None:
        async def branch(name: str, turns: int) -> None:
            await ctx.step(f"{name}1", noting(runs, f"{name}1"))
            for _ in range(turns if ctx.attempt == 1 else 50 - turns):
                await asyncio.sleep(0)
            if name == "a" and ctx.attempt == 1:
                raise Broken
            await ctx.step(f"{name}2", noting(runs, f"{name}2"))

        await asyncio.gather(branch("a", 49), branch("b", 1), return_exceptions=ctx.attempt == 1)
        if ctx.attempt == 1:
            raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 2)
    assert sorted(runs) == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize(
    ("then", "says"),
    [
        (["a", "renamed", "c"], "call 2 of a step is named 'renamed' now and was recorded as 'b'"),
        (["a", "c"], "call 2 of a step is named 'c' now and was recorded as 'b'"),
        (["new", "a", "b"], "call 1 of a step is named 'new' now"),
        (["a", "a"], "'a' twice"),
    ],
)
async def test_code_that_changed_under_a_running_job_is_told(
    engine: Engine, runs: list[str], then: list[str], says: str
) -> None:
    @engine.job("it", retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> None:
        for name in ["a", "b"] if ctx.attempt == 1 else then:
            await ctx.step(name, noting(runs, name))
        if ctx.attempt == 1:
            raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.attempt, runs) == (JobStatus.FAILED, 2, ["a", "b"])
    assert job.error is not None
    assert says in job.error.message
    assert job.error.code == (StepNameTwice if "twice" in says else StepsChanged).code


async def test_steps_that_were_added_behind_the_others_are_run(engine: Engine, runs: list[str]) -> None:
    @engine.job("it", retry_delay_seconds=0)
    async def handler(ctx: JobContext) -> None:
        for name in "ab" if ctx.attempt == 1 else "abc":
            await ctx.step(name, noting(runs, name))
        if ctx.attempt == 1:
            raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    assert ((await engine.get(job_id)).status, runs) == (JobStatus.COMPLETED, ["a", "b", "c"])


async def test_a_sync_handler_runs_its_steps_in_its_own_thread(engine: Engine) -> None:
    threads: set[int] = set()
    runs: list[str] = []

    @engine.job("it", retry_delay_seconds=0)
    def handler(ctx: BlockingJobContext) -> list[Any]:
        threads.add(threading.get_ident())

        def blocking(word: str) -> str:
            threads.add(threading.get_ident())
            assert get_current_job_context() is ctx
            runs.append(word)
            return word

        async def asynchronous() -> str:
            await asyncio.sleep(0)
            runs.append("async")
            return "async"

        found = [ctx.step("one", blocking, "sync"), ctx.step("two", asynchronous)]
        if ctx.attempt == 1:
            threads.clear()
            raise Broken
        with pytest.raises(StepNameTwice):
            ctx.step("one", blocking, "again")
        return found

    job_id = await engine.submitted("it")
    await engine.drain()
    job = await engine.get(job_id)
    assert job.result is not None
    assert (job.result.data, runs, len(threads)) == (["sync", "async"], ["sync", "async"], 1)


async def test_without_a_store_steps_are_just_run(runs: list[str]) -> None:
    clock = FakeClock()
    executor = JobExecutor(clock=clock)

    async def handler(ctx: Any) -> Any:
        await ctx.step("b", noting(runs, "b"))
        with pytest.raises(StepNameTwice):
            await ctx.step("b", noting(runs, "again"))
        return JobResult(success=True, data=await ctx.step("c", noting(runs, "c")))

    executor.register_handler("it", handler)
    result = await executor.execute(Job(type="it"))
    assert (result.data, runs) == ("did c", ["b", "c"])
    await executor.close()


# --- again from a step -------------------------------------------------------------------------------


@pytest.mark.parametrize(("from_step", "again"), [("a", ["a", "b", "c"]), ("b", ["b", "c"]), ("c", ["c"]), (None, [])])
async def test_a_job_can_be_retried_from_a_step(
    engine: Engine, runs: list[str], from_step: str | None, again: list[str]
) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        for name in "abc":
            await ctx.step(name, lambda name=name: runs.append(name) or "x" * 300_000)
        if ctx.attempt == 1:
            raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    runs.clear()
    await engine.manager.retry_job(job_id, from_step=from_step)
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.steps, runs) == (JobStatus.COMPLETED, 3, again)
    assert (await engine.records())["steps"] == 3
    await engine.manager.delete_job(job_id)
    assert (await engine.records())["chunks"] == 0


async def test_more_steps_than_one_commit_takes_are_forgotten(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(engine.store.limits(), writes_per_commit=4)
    monkeypatch.setattr(engine.store, "limits", lambda: limits)
    runs: list[int] = []

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        for n in range(20):
            await ctx.step(f"s{n}", runs.append, n)
        if ctx.attempt == 1:
            raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    await engine.manager.retry_job(job_id, from_step="s3")
    assert (await engine.get(job_id)).steps == 3
    await engine.drain()
    assert runs == [*range(20), *range(3, 20)]


async def test_a_review_that_is_retried_asks_again(engine: Engine) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        await ctx.request_review("sure?")
        raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    await engine.manager.review(job_id, "approve", "ann")
    await engine.drain()
    assert (await engine.get(job_id)).status is JobStatus.FAILED
    await engine.manager.retry_job(job_id, from_step="review")
    await engine.drain()
    job = await engine.get(job_id)
    assert job.status is JobStatus.NEEDS_REVIEW
    assert [each["by"] for each in job.review["history"] if "by" in each] == ["ann"]


async def test_what_cannot_be_retried_from_a_step_is_refused(engine: Engine) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext, fails: bool) -> None:
        await ctx.step("only", str)
        if fails:
            raise Broken

    failed, completed = [await engine.submitted("it", {"fails": fails}) for fails in (True, False)]
    await engine.drain()
    with pytest.raises(BadInput, match="from_step: no step is recorded as 'other'; recorded: 'only'"):
        await engine.manager.retry_job(failed, from_step="other")
    with pytest.raises(IllegalTransition):
        await engine.manager.retry_job(completed, from_step="only")
    with pytest.raises(JobNotFound):
        await engine.manager.retry_job("nobody", from_step="only")
    assert (await engine.records())["steps"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload": {"other": 1}},
        {"settings": {"x": object()}},
        {"checkpoint": object()},
        {"max_duration": "never"},
        {"revision": 99},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.parametrize("room", [500, 4], ids=["one commit", "several commits"])
async def test_a_refused_retry_has_forgotten_no_step(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], room: int
) -> None:
    """Given a failed job with steps, when a retry from its first one is refused, then all are recorded as before."""
    limits = replace(engine.store.limits(), writes_per_commit=room)
    monkeypatch.setattr(engine.store, "limits", lambda: limits)

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext, n: int = 0) -> None:
        for number in range(10):
            await ctx.step(f"s{number}", str)
        raise Broken

    job_id = await engine.submitted("it")
    await engine.drain()
    before = await engine.get(job_id)
    with pytest.raises((BadInput, RevisionChanged)):
        await engine.manager.retry_job(job_id, from_step="s0", **wrong)
    after = await engine.get(job_id)
    assert (after.version, after.steps, (await engine.records())["steps"]) == (before.version, 10, 10)


# --- asked to stop between steps ---------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "sync"])
async def test_a_pause_is_obeyed_at_the_next_step(engine: Engine, runs: list[str], blocking: bool) -> None:
    @engine.job("async")
    async def handler(ctx: JobContext) -> None:
        for name in "abc":
            await ctx.step(name, noting(runs, name))
            if name == "a" and ctx.attempt == 1:
                await engine.manager.pause_job(ctx.job_id)
                await ctx.flush()

    @engine.job("sync")
    def sync_handler(ctx: BlockingJobContext) -> None:
        for name in "abc":
            ctx.step(name, noting(runs, name))
            if name == "a" and ctx.attempt == 1:
                ctx.manager.pause_job(ctx.job_id)
                ctx.flush()

    job_id = await engine.submitted("sync" if blocking else "async")
    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.steps, runs) == (JobStatus.PAUSED, 1, ["a"])
    await engine.manager.resume_job(job_id)
    await engine.drain()
    assert ((await engine.get(job_id)).status, runs) == (JobStatus.COMPLETED, ["a", "b", "c"])


@given(
    names=st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=8, unique=True),
    crashes=st.lists(st.integers(0, 8), max_size=6),
)
def test_whenever_attempts_end_each_step_is_recorded_once_and_in_order(names: list[str], crashes: list[int]) -> None:
    """Against a plain model: what is recorded is always the beginning of what the handler does."""
    recorded: list[RecordedStep] = []
    for attempt, ends_after in enumerate([*crashes, len(names)], 1):
        book = StepBook("j", recorded)
        for name in names[:ends_after]:
            call = book.begin((STEP, name))
            if call.recorded is None:
                step = RecordedStep("id", call.key, call.number, attempt, NOON, NOON, name, book.is_in_order(call))
                book.keep(step)
                recorded.append(step)
            book.end(call)
        assert [step.name for step in book.recorded] == names[: len(recorded)]
        assert [step.call for step in book.recorded] == list(range(1, len(recorded) + 1))
        assert all(step.in_order for step in recorded)
    assert [step.name for step in recorded] == names
