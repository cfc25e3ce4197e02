"""What middleware is told of ended leases: each once, by whoever ended it, and as its run summary says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta

import pytest

from app.jobs import (
    ContinueLater,
    Job,
    JobContext,
    JobQueue,
    JobStatus,
    Middleware,
    QueueDepth,
    RunSummary,
    Runtime,
    queue_depths,
)
from app.jobs import middleware as module
from app.jobs.functions import complete_job, lease_job
from app.stores.base import Unit
from tests.support.clock import settle
from tests.support.engine import Engine


class Counts(Middleware):
    """Keeps what it is told of runs."""

    def __init__(self) -> None:
        self.runs: list[RunSummary] = []
        self.jobs: list[Job] = []
        self.lost: list[str] = []
        self.rounds = 0

    async def after_attempt(self, job: Job, run: RunSummary) -> None:
        self.jobs.append(job)
        self.runs.append(run)

    async def after_loss(self, job: Job) -> None:
        self.lost.append(job.id)

    async def after_round(self, runtime: Runtime) -> None:
        self.rounds += 1


@pytest.fixture
def counts(engine: Engine) -> Counts:
    counts = Counts()
    engine.runtime.hooks.add([counts])
    return counts


async def test_each_attempt_is_told_once_and_as_it_is_stored(engine: Engine, counts: Counts) -> None:
    @engine.job("fragile", max_retries=1, retry_delay_seconds=30)
    async def fragile(ctx: JobContext) -> None:
        await ctx.report_progress(1, 2, "half of it")
        if ctx.attempt == 1:
            raise ContinueLater(30)
        raise ValueError("broken")

    job_id = await engine.submitted("fragile")
    for _ in range(3):
        await engine.drain()
        engine.clock.jump(31)

    stored = await engine.runs(job_id)
    assert [run.outcome for run in counts.runs] == ["sliced", "retried", "failed"]
    assert [run.model_copy(update={"expire_at": None}) for run in stored] == counts.runs
    assert [job.status for job in counts.jobs] == ["queued", "queued", "failed"]
    await engine.manager.retry_job(job_id)
    await engine.manager.cancel_job(job_id)
    assert len(counts.runs) == 3, "what is done by hand is no attempt"


async def test_a_job_that_is_taken_back_is_told_by_who_takes_it(engine: Engine, counts: Counts) -> None:
    @engine.job("work")
    async def work(ctx: JobContext) -> None:
        """Nothing."""

    await engine.submitted("work")
    await engine.runtime.queue.claim("gone", ["default"], 1)
    engine.clock.jump(61)
    await engine.manager.run_watchdog()
    await engine.manager.run_watchdog()

    assert [(run.outcome, run.worker_id) for run in counts.runs] == [("lease_lost", "gone")]
    assert counts.rounds == 2
    await engine.manager.run_watchdog(dry_run=True)
    assert counts.rounds == 2


async def test_a_lease_by_hand_is_told_too(engine: Engine, counts: Counts) -> None:
    @engine.job("work")
    async def work(ctx: JobContext) -> None:
        """Nothing."""

    job_id = await engine.submitted("work")
    async with engine.manager:
        lease = await lease_job(await engine.get(job_id))
        assert lease is not None
        await complete_job(lease, 1)

    assert [run.outcome for run in counts.runs] == ["completed"]


async def test_a_holder_that_lost_its_lease_is_told_so_and_of_no_end(engine: Engine, counts: Counts) -> None:
    @engine.job("slow")
    async def slow(ctx: JobContext) -> None:
        engine.clock.jump(120)

    job_id = await engine.submitted("slow")
    await engine.drain()

    assert (counts.lost, counts.runs) == ([job_id], [])
    assert (await engine.get(job_id)).status is JobStatus.RUNNING


@pytest.mark.parametrize("point", ["after_loss", "after_round"])
async def test_one_that_fails_is_logged(engine: Engine, caplog: pytest.LogCaptureFixture, point: str) -> None:
    async def fail(self: Middleware, *given: object) -> None:
        raise OSError("the collector is away")

    engine.runtime.hooks.add([type("Broken", (Middleware,), {point: fail})()])

    @engine.job("slow")
    async def slow(ctx: JobContext) -> None:
        engine.clock.jump(120)

    await engine.submitted("slow")
    await engine.drain()
    await engine.manager.run_watchdog()

    records = [record for record in caplog.records if record.name == module.__name__]
    assert f"{point} of Broken failed" in records[0].message
    assert len(records) == 1


async def test_depths_are_of_what_could_run_now(engine: Engine) -> None:
    for queue in ("priority", "maintenance"):

        @engine.job(f"of_{queue}", queue=queue)
        async def work(ctx: JobContext) -> None:
            """Nothing."""

    async def depths() -> dict[str, QueueDepth]:
        return dict(await queue_depths(engine.store, engine.clock.now()))

    assert await depths() == dict.fromkeys(JobQueue, QueueDepth())
    before = engine.store.usage.reads
    await depths()
    assert engine.store.usage.reads == before + 2, "an idle store is asked for little"

    await engine.submitted("of_priority")
    await engine.manager.create_job("of_priority")
    await engine.submitted("of_maintenance", delay_seconds=60)
    engine.clock.jump(30)
    await engine.submitted("of_priority")
    assert await depths() == {"priority": QueueDepth(2, 30.0), "maintenance": QueueDepth()}
    engine.clock.jump(40)
    assert await depths() == {"priority": QueueDepth(2, 70.0), "maintenance": QueueDepth(1, 10.0)}


async def test_a_trace_is_kept_with_its_job_and_told_to_who_is_woken(engine: Engine) -> None:
    from app.jobs.traces import continue_trace, trace_of
    from app.jobs.waking import hints_for

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    class Traces(Middleware):
        async def before_create(self, job: Job) -> None:
            continue_trace(job, {"traceparent": parent, "tracestate": "a=b", "baggage": "no"})

    engine.runtime.hooks.add([Traces()])

    @engine.job("after")
    async def after_it(ctx: JobContext, **told: object) -> None:
        """Nothing."""

    @engine.job("fails", max_retries=0, on_failure="after")
    async def fails(ctx: JobContext) -> None:
        raise ValueError("broken")

    given = {"mine": 1}
    job_id = await engine.submitted("fails", metadata=given)
    job = await engine.get(job_id)
    assert (job.metadata, given) == ({"mine": 1, "traceparent": parent, "tracestate": "a=b"}, {"mine": 1})
    later = job.model_copy(update={"ready_at": None, "wake_at": engine.clock.now() + timedelta(seconds=5)})
    for hinted in (job, later):
        (hint,) = hints_for([hinted])
        assert hint.trace == {"traceparent": parent, "tracestate": "a=b"}

    await engine.drain()
    (after,) = await engine.manager.list_jobs(type="after")
    assert trace_of(after.metadata) == hint.trace, "what follows from a failure is of its trace"


@pytest.mark.parametrize(
    ("metadata", "trace"),
    [
        ({}, {}),
        ({"tracestate": "a=b"}, {}),
        ({"traceparent": 7}, {}),
        ({"traceparent": "x" * 600}, {}),
        ({"traceparent": "00-1-2-01", "tracestate": ["a"]}, {"traceparent": "00-1-2-01"}),
    ],
)
def test_metadata_of_any_kind_are_read(metadata: dict[str, object], trace: dict[str, str]) -> None:
    from app.jobs.traces import trace_of

    assert trace_of(metadata) == trace


async def test_what_a_job_sets_is_not_seen_by_who_renews_its_lease(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat is one for all jobs of a process, and begins with the first of them."""
    current: ContextVar[str] = ContextVar("current", default="none")
    seen: list[str] = []
    commit_each = engine.store.commit_each

    async def noting(units: Sequence[Unit]) -> object:
        seen.append(current.get())
        return await commit_each(units)

    class Sets(Middleware):
        async def before_run(self, context: JobContext) -> None:
            current.set(context.job_id)

    engine.runtime.hooks.add([Sets()])
    done = asyncio.Event()

    @engine.job("slow")
    async def slow(ctx: JobContext) -> None:
        await done.wait()

    await engine.submitted("slow")
    async with engine.working():
        monkeypatch.setattr(engine.store, "commit_each", noting)
        await engine.clock.advance(25)
        assert seen == ["none"], "a renewal"
        done.set()
        await settle()
